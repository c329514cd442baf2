"""The configuration that `init` proposes from a sample of items. Pure."""
