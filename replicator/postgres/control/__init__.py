"""The control schema: claims, positions, incidents, snapshots, dead letters, status."""
