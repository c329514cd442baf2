"""The terminal of all commands: their options, their output, and how they are loaded."""
