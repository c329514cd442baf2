"""Plans of single items made the way that several go, which a small item alone does not."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from replicator.core.planning import columnar_plan


@contextmanager
def planned_as_several() -> Iterator[None]:
    """Plan an item that comes alone as one of several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columnar_plan, "ALONE_BYTES_MAX", -1)
        yield
