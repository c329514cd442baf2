"""The terminal of all commands: the options, the output, and the loading of modules."""
