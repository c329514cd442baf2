"""One worker process: leases, tables, supervision and periodic refresh."""
