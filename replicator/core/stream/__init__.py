"""Shards of a stream: lineage, lag, order of changes, the proof that nothing was trimmed. Pure."""
