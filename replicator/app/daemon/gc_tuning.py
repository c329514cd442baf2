"""Tunes Python's garbage collector: lasting objects are exempt, the rest is collected rarely."""

import gc

YOUNG_OBJECTS = 50_000
"""Allocations without a look: a batch makes and drops tens of thousands of objects, no cycles."""


def settle() -> None:
    """Exempt all existing objects from collection; to be called once everything long-lived exists.

    Libraries, service models and compiled mappings are half a million objects: examining all
    of that again and again took half of the time of a worker under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
