"""The same draws in every run of a simulated fleet."""

import random
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def same_draws() -> Iterator[None]:
    """Workers draw when they act; how far that spreads them is bounded here for these draws.

    With time that is virtual, and with them, a run is the same on each machine and each time.
    """
    state = random.getstate()
    random.seed(0)
    yield
    random.setstate(state)
