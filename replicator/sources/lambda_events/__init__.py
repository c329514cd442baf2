"""Batches that AWS Lambda delivers, and batches that Lambda gave up, as records of the streams."""
