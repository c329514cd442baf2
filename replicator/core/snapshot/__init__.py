"""Scans of a source table: pages, segments, state and read budget. Pure."""
