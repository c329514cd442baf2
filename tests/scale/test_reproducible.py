"""A fleet in virtual time makes the same calls in every process: no bound fails now and then."""

import os
import subprocess
import sys

from tests.support.bounds import USUAL_SECONDS
from tests.support.warm_start import ROOT


def life(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scale.short_life"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_no_order_of_a_set_changes_what_a_fleet_does():
    first = life("1")

    assert first.count("leases take") > 60
    assert life("2") == first
