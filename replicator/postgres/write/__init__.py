"""Write plans become statements behind a fence."""
