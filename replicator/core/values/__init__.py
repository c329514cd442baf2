"""DynamoDB values become cells of PostgreSQL, one at a time or a whole column at once. Pure."""
