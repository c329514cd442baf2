"""What the documentation says is run, or looked up."""
