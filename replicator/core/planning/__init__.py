"""A batch of records becomes one write plan, by the fast path or change by change. Pure."""
