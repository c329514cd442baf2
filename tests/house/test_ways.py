"""The ways that docs/architecture.md tells of are the ways that the code goes."""

import re
from pathlib import Path

from tests.house.record_way import record_way
from tests.house.ways import PACKAGE, column_way

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"


async def test_the_page_names_every_file_that_a_usual_record_passes(migrated_database: str):
    way = await record_way(migrated_database)

    assert told("The way of a record") == way.modules
    assert re.findall(r"comes back (\d+) times", PAGE.read_text()) == [str(way.returns)]


def told(heading: str) -> list[str]:
    """The files in the table of a section of the page."""
    _, _, behind = PAGE.read_text().partition(f"\n## {heading}\n")
    section, _, _ = behind.partition("\n## ")
    return re.findall(r"^\| `([\w/]+\.py)` \|", section, re.MULTILINE)


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r"`([\w/]+/\w+\.py)`", PAGE.read_text()))
    missing = sorted(
        name
        for name in named
        if not any((root / name).exists() for root in (PACKAGE, PACKAGE.parent))
    )

    assert missing == []


def test_a_column_of_the_configuration_is_parsed_once(tmp_path: Path):
    way = column_way(tmp_path / "replicator.yaml")

    assert way.calls["parse_type", "numeric(12,2)"] == 1
    assert way.calls["parse_path", "total"] == 1


def test_the_page_names_every_file_that_a_column_passes(tmp_path: Path):
    way = column_way(tmp_path / "replicator.yaml")

    assert told("The way of a column") == way.modules
