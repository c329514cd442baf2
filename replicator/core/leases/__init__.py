"""Leases: shares of workers, what to take and to give back, owners. Pure."""
