"""Reading and applying the shards of a stream."""
