"""A configured mapping compiles to keys, columns, routes and child tables. Pure."""
