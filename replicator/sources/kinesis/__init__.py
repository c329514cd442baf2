"""Kinesis Data Streams as a source of the changes of DynamoDB tables."""
