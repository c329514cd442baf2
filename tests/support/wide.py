"""Cases of a test that differ in one value: some are for every run, the rest is wide."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

EXAMPLES = "REPLICATOR_TEST_EXAMPLES"
"""`all` where generated tests are to have all their examples, as in `make test-wide`."""
EXAMPLES_MIN = 10


def examples(number: int) -> int:
    """So many generated examples of a test in `make test-wide`, a fifth of them in `make test`."""
    if os.environ.get(EXAMPLES) == "all":
        return number
    return min(number, max(EXAMPLES_MIN, number // 5))


def wide_but(*usual: str, of: Mapping[str, Any]) -> list[Any]:
    """A parameter for each case, with its name as id; all but the usual ones are wide.

    Cases that are tuples are several parameters.
    """
    unknown = {*usual} - of.keys()
    assert not unknown, f"no case is called {unknown}"
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            id=name,
            marks=() if name in usual else (pytest.mark.wide,),
        )
        for name, case in of.items()
    ]


def every(number: int, *, of: Sequence[Any]) -> list[Any]:
    """A parameter for each case; all but the first one of each `number` are wide."""
    return [
        pytest.param(case, marks=() if place % number == 0 else (pytest.mark.wide,))
        for place, case in enumerate(of)
    ]
