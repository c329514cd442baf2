"""No expression takes more than linear time, whatever text a stranger writes into an item."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bounds import USUAL_SECONDS
from tests.support.warm_start import ROOT

PROGRAM = Path(__file__).with_name("adversarial_inputs.py")


@pytest.mark.parametrize("inputs", ["few", pytest.param("every", marks=pytest.mark.wide)])
def test_every_expression_ends_soon_with_every_adversarial_input(inputs: str):
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.adversarial_inputs", inputs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    tried = done.stdout.split()
    assert "replicator.core.values.canonical_numbers" in tried
    assert "replicator.core.values.columnar_cells" in tried
    assert "replicator.core.mapping.attribute_paths" in tried
    assert "replicator.core.values.column_types" in tried
    assert "replicator.config.cross_checks" in tried  # has no expression but in a call
