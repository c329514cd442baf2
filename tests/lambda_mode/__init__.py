"""Tables that AWS Lambda writes."""
