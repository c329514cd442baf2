"""Keeps PostgreSQL tables equal to DynamoDB tables."""

__version__ = "0.1.0"
DISTRIBUTION = "dynamodb-postgres-replicator"
"""The name by which a package index knows it."""
