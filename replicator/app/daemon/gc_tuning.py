"""Tunes Python's garbage collector: lasting objects are exempt, the rest is collected rarely."""

import gc

YOUNG_OBJECTS = 50_000
"""Allocations without a look: a batch makes and drops tens of thousands of objects, no cycles."""


def expect_lasting_objects() -> None:
    """Collect rarely from here on; to be called before settings are read and mappings compiled."""
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)


def settle() -> None:
    """Exempt all existing objects from collection; to be called once everything long-lived exists.

    Libraries, service models and compiled mappings are half a million objects: examining all
    of that again and again took half of the time of a worker under load.
    """
    gc.collect()
    gc.freeze()
    expect_lasting_objects()
