"""Changes by hand: what a person asks of the control schema, one module for each subject."""
