"""Faults put into the product by hand, and the tests that notice them."""
