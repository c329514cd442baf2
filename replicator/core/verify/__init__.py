"""Differences between items and rows, and their explanation. Pure."""
