"""Keeps PostgreSQL tables equal to DynamoDB tables."""

__version__ = "0.1.0"
