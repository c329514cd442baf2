"""Shards of a stream: lineage, leases, lag, and the proof that no record was trimmed. Pure."""
