"""Leases and checkpoints in DynamoDB."""
