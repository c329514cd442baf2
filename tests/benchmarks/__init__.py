"""How fast it is, beside PostgreSQL's own limit and what people use instead: `make bench`."""
