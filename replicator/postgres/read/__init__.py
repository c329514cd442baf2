"""Rows of target tables as `verify`, `explain` and sweeps read them."""
