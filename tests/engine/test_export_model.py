"""Every interleaving of files of exports, batches, sweeps and modes ends equal; each rule is
needed."""

from random import Random

import pytest

from tests.engine.export_model import EXPORT_FLAWS, HEAL_FLAWS, ExportedWorld, Origin
from tests.engine.snapshot_model import Mode
from tests.support.wide import every, examples

SCHEDULES = examples(1500)
SCHEDULES_TO_FIND_A_FLAW = 6000


def is_wrong(seed: int, origin: Origin, flaw: str | None) -> bool:
    home: Mode = "lambda" if origin == "export" and seed % 3 == 0 else "fence"
    world = ExportedWorld(
        Random(seed), origin=origin, flaw=flaw, home=home, fails_over=seed % 3 == 1
    )
    world.run()
    return not world.is_equal()


@pytest.mark.generated
@pytest.mark.parametrize("origin", ["export", "changes"])
def test_every_interleaving_of_an_export_and_the_stream_ends_equal(origin: Origin) -> None:
    assert [seed for seed in range(SCHEDULES) if is_wrong(seed, origin, None)] == []


@pytest.mark.parametrize("flaw", EXPORT_FLAWS)
def test_a_rule_of_a_load_from_exports_that_is_left_out_is_noticed(flaw: str) -> None:
    assert any(is_wrong(seed, "export", flaw) for seed in range(SCHEDULES_TO_FIND_A_FLAW))


@pytest.mark.parametrize("flaw", every(3, of=HEAL_FLAWS))
def test_a_rule_of_a_heal_that_is_left_out_is_noticed(flaw: str) -> None:
    assert any(is_wrong(seed, "changes", flaw) for seed in range(SCHEDULES_TO_FIND_A_FLAW))
