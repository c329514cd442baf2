"""The control schema: claims, positions, incidents, heartbeats, snapshots, dead letters, status."""
