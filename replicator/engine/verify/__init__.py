"""Comparing a source table with the target rows."""
