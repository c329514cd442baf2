"""A newcomer's first minute: everything started, shown and compared by one command."""
