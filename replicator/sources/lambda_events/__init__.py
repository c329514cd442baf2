"""What AWS Lambda delivers and what it gave up, as records of the streams."""
