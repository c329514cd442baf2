"""Numbers, lines and pages."""
