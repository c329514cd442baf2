"""A newcomer's first minute: everything started, looked at and compared by one command."""
