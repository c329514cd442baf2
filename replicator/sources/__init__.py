"""Sources of records and items in AWS, one room for each kind."""
