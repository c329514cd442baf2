"""Snapshots in the control schema: asked for, segments, exports and repairs."""
