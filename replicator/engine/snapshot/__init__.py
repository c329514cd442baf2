"""Loading a table by a scan beside the stream, and repairing rows."""
