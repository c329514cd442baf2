"""Where records come from. Siblings that never import each other."""
