"""`replicator selftest`: replicates a scratch table in one's own account, measures the service."""
