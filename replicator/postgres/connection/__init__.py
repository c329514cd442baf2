"""Connections to PostgreSQL: addresses, pools, quoting, translated failures, blockers."""
