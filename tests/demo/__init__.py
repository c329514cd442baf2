"""The newcomer's first minute."""
