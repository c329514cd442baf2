"""The loops that read, apply and coordinate, written against ports. No clients."""
