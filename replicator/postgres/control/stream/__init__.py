"""Streams in the control schema: generations, shards, claims, gaps, halts and modes of tables."""
