"""Differences between items and rows: what they are and how they are explained. Pure."""
