"""The AWS Lambda function: its environment, its handler, and batches of an event."""
