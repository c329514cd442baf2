"""Every interleaving of pages, batches, sweeps and modes ends equal; each rule is needed."""

from random import Random

import pytest

from tests.engine.snapshot_model import FLAWS, Mode, World
from tests.support.wide import every, examples

SCHEDULES = examples(1500)
SCHEDULES_TO_FIND_A_FLAW = 4000


def is_wrong(seed: int, flaw: str | None) -> bool:
    home: Mode = "lambda" if seed % 3 == 0 else "fence"
    world = World(Random(seed), flaw=flaw, home=home, fails_over=seed % 3 == 1)
    world.run()
    return not world.is_equal()


@pytest.mark.generated
def test_every_interleaving_of_snapshot_and_stream_ends_equal() -> None:
    assert [seed for seed in range(SCHEDULES) if is_wrong(seed, None)] == []


@pytest.mark.parametrize("flaw", every(3, of=FLAWS))
def test_a_rule_of_the_snapshot_that_is_left_out_is_noticed(flaw: str) -> None:
    assert any(is_wrong(seed, flaw) for seed in range(SCHEDULES_TO_FIND_A_FLAW))
