"""Each group of tests is run by one worker of xdist; what takes milliseconds comes last."""

import re
import subprocess
import sys
from itertools import groupby

import pytest

from tests.support import distribution
from tests.support.bounds import USUAL_SECONDS
from tests.support.warm_start import ROOT

QUICK = ("lag", "masking", "notices", "retention", "routing")
FEW = (
    *("tests/test_waiting.py", "tests/test_clock.py", "tests/selftest"),
    *(f"tests/core/test_{name}.py" for name in QUICK),
)


def test_every_test_is_in_the_order_once_and_each_group_in_one_piece(
    request: pytest.FixtureRequest,
):
    items = request.session.items

    ordered = distribution.in_order(items)

    assert sorted(item.nodeid for item in ordered) == sorted(item.nodeid for item in items)
    if hasattr(request.config, "workerinput"):
        assert items == ordered
    pieces = [group for group, _ in groupby(map(distribution.group_of, ordered)) if group]
    assert len(pieces) == len({*pieces})
    ranks = [distribution.rank_of(item) for item in ordered]
    assert ranks == sorted(ranks)


def test_directories_that_the_order_names_are_there():
    named = distribution.OF_MODULES | distribution.LAST

    assert [name for name in named if not (distribution.ROOT / name).is_dir()] == []


@pytest.mark.wide
def test_one_worker_runs_all_tests_of_a_module_that_is_a_unit():
    """Which xdist alone does not see to with every pytest."""
    options = ("--numprocesses", "2", "--dist", "loadgroup", "--no-loadscope-reorder", "--verbose")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", *FEW],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "units waiting" not in done.stdout + done.stderr  # which xdist says when it debugs
    ran = {*re.findall(r"^\[(gw\d)\] .* PASSED (\S+?)::", done.stdout, re.MULTILINE)}
    modules = [module for _, module in ran]
    assert len(modules) == len({*modules}) > 5
    assert len({worker for worker, _ in ran}) > 1
