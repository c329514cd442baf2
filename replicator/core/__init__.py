"""Everything that thinks: batches into plans, leases into plans, shards into lineage. Pure."""
