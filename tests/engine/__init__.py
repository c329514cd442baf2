"""The engine on servers in memory, in virtual time."""
