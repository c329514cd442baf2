"""A port of the loopback at which nobody listens, and nobody will."""

PORT_OF_NOBODY = 1
"""One that is free at a moment is given to the next server that starts, of whichever test."""
