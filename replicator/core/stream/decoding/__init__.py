"""Pages of streams become records: of DynamoDB Streams, and of Kinesis Data Streams. Pure."""
