"""Sources of records. Siblings that never import each other."""
