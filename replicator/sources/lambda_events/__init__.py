"""Batches that AWS Lambda delivers, and those that it gave up, as records of the streams."""
