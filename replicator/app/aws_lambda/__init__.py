"""The AWS Lambda function: the environment, the handler, and batches of an event."""
