"""The composition root: settings become objects, signals become a stop, failures an exit code."""
