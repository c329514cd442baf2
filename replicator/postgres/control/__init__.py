"""The control schema: claims, positions, gaps, halts, heartbeats, snapshots, dead letters."""
