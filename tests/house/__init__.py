"""Figures of the house: rooms, docstrings, and the ways of a record and of a column."""
