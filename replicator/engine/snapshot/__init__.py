"""Loading a table by a scan beside its stream, and repairing rows."""
