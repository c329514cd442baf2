"""The walks of docs/extending.md, made in a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support.bounds import USUAL_SECONDS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "extending.md"
COPIED = ("replicator", "migrations", "docs", "deploy/prometheus")
EDIT = re.compile(
    r"# (?P<path>[\w./-]+), (?:(?P<where>above|below|in place of) `(?P<anchor>.+)`|a new file)$"
)


@dataclass(frozen=True)
class Edit:
    """One block of the page: text that is put into a file at an anchor."""

    path: str
    where: str | None
    anchor: str | None
    text: str

    def make(self, root: Path) -> None:
        path = root / self.path
        if self.where is None or self.anchor is None:
            path.write_text(self.text)
            return
        before = path.read_text()
        assert before.count(self.anchor) >= 1, f"{self.path} has no {self.anchor!r}"
        if self.where == "in place of":
            path.write_text(before.replace(self.anchor, self.text.strip(), 1))
            return
        lines = before.splitlines(keepends=True)
        place = next(number for number, line in enumerate(lines) if self.anchor in line)
        lines.insert(place + (self.where == "below"), self.text)
        path.write_text("".join(lines))


def walk(heading: str) -> list[Edit]:
    """The edits below a heading of the page."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")
    text = section[0] if "```markdown" not in section[0] else "\n## ".join(section)
    text = text.split("\n## A ")[0].split("\n## An ")[0]
    edits = []
    for block in re.findall(r"^```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first, _, rest = block.partition("\n")
        found = EDIT.match(first)
        assert found is not None, first
        edits.append(Edit(found["path"], found["where"], found["anchor"], rest))
    assert edits
    return edits


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and what belongs to it, to be changed."""
    for name in COPIED:
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.png")
        )
    return tmp_path


def python(copy: Path, *words: str) -> str:
    """What Python prints, with the copy in place of the package."""
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy), "PYTHONPYCACHEPREFIX": ""},  # goes with it
        capture_output=True,
        text=True,
        check=False,
        timeout=USUAL_SECONDS,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def configured(copy: Path, column: str) -> Path:
    path = copy / "replicator.yaml"
    path.write_text(
        "version: 1\ndeployment: d\ntables:\n  items:\n    into:\n      public.t:\n"
        f"        key: {{id: {{from: id, type: text}}}}\n        columns:\n          c: {column}\n"
    )
    return path


def mapped(copy: Path, column: str, value: str) -> str:
    """The row of an item, by `replicator map`."""
    path = configured(copy, column)
    item = f'{{"id": {{"S": "a"}}, "c": {value}}}'
    script = (
        "import io, sys; from replicator.cli import main; "
        f"sys.stdin = io.TextIOWrapper(io.BytesIO({item!r}.encode())); "
        f"sys.argv = ['replicator', 'map', '--table', 'items', '--keys', 'id:S', "
        f"'--json', '--config', {str(path)!r}]; main()"
    )
    return python(copy, "-c", script)


def test_a_column_type(copy: Path):
    for edit in walk("A column type"):
        edit.make(copy)

    assert '"c": 4294967295' in mapped(copy, "oid", '{"N": "4294967295"}')


def test_a_transform(copy: Path):
    for edit in walk("A transform"):
        edit.make(copy)

    column = "{from: c, type: text, transform: title}"
    assert '"c": "Ada Lovelace"' in mapped(copy, column, '{"S": "ada lovelace"}')


def test_a_metric(copy: Path):
    for edit in walk("A metric"):
        edit.make(copy)

    shown = python(
        copy,
        "-c",
        "from prometheus_client import generate_latest\n"
        "from replicator.core.telemetry_events import LeaseReleased\n"
        "from replicator.monitoring.metrics import Metrics\n"
        "metrics = Metrics()\n"
        "metrics.observe(LeaseReleased('t', 's'))\n"
        "print(generate_latest(metrics.registry).decode())",
    )
    assert "replicator_leases_released_total 1.0" in shown


def test_a_command(copy: Path):
    for edit in walk("A command"):
        edit.make(copy)
    path = configured(copy, "text")

    assert "where" in python(copy, "-m", "replicator", "--help")
    assert python(copy, "-m", "replicator", "where", "--config", str(path)) == "replicator\n"


def test_an_alert(copy: Path):
    for edit in walk("An alert"):
        edit.make(copy)

    rules = yaml.safe_load((copy / "deploy/prometheus/alerts.yml").read_text())
    alerts = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    runbook = (copy / "docs/runbook.md").read_text()
    added = alerts["ReplicatorLeasesMoveOften"]
    anchor = added["annotations"]["runbook_url"].partition("#")[2]
    assert anchor in {
        heading.lower() for heading in re.findall(r"^## (\w+)$", runbook, re.MULTILINE)
    }


def test_every_file_that_the_page_names_exists():
    named = re.findall(r"`((?:[\w]+/)+[\w]+\.(?:py|md|yml))`", PAGE.read_text())

    places = (ROOT, ROOT / "replicator")
    assert named
    assert [name for name in named if not any((place / name).exists() for place in places)] == []
