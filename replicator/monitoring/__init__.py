"""Observations become numbers, lines and pages."""
