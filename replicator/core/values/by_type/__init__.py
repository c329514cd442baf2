"""Values into cells, a module for each family of types. Pure."""
