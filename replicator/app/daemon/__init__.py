"""The daemon: composed, run to the end, watched, and told about."""
