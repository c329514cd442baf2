"""DynamoDB as a source: the tables, the streams, scans, and exports to S3."""
