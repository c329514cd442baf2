"""Comparing a source table with its target rows."""
