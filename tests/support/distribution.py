"""Which worker of xdist runs a test, and in what order tests begin.

A unit is what one worker runs, one test after another: a group of tests, or a single one. Units of
servers that all others would have to start again come first, for they are the longest. Then those
of every directory, spread evenly: a test with processes mostly waits, for a lease or a page, and
one of the core computes, so a mixture of both keeps the cores at work from the beginning to the
end. What takes milliseconds comes last: whoever is done early finds something to do, and nobody
ends alone with a test of a minute.

The process that starts the workers knows tests by their names alone, so the first worker writes
down the groups. (xdist would add a group to the names, where it does not matter that they are
typed to run a test again; with the pytest of requirements/dev.txt its group is lost.)
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support import endpoints

ROOT = Path(__file__).parents[1]
OF_ONE_SERVER = {"kinesis_url": "kinesis", "chrome": "chromium"}
"""Servers that take longer to start than most of their tests: one worker runs all of these."""
OF_MODULES = {"config", "core", "docs", "house", "model", "mutants", "selftest"}
"""Directories whose tests take less than a message to a worker does: it gets a module at once."""
LAST = {"config", "docs", "house", "mutants"}
"""Those of them in which no test computes for long."""


def is_on_another_emulator(item: pytest.Item) -> bool:
    """Its DynamoDB is not the first one; the tests of contracts hold that they behave alike."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    return given.get("dynamodb_endpoint") in endpoints.NAMES[1:]


def group_of(item: pytest.Item) -> str | None:
    """Tests of one group run in one worker, one after another; None: anywhere.

    What a module makes once for its tests would else be made once in every worker.
    """
    if shared := _server_of(item):
        return shared
    if _room(item) in OF_MODULES or item.path.parent == ROOT:
        return _module(item)
    return None


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """All of them in the order in which they are to begin, as all workers must see it."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(group_of(item) or item.nodeid, []).append(item)
    rooms: dict[tuple[int, str], list[list[pytest.Item]]] = {}
    for unit in units.values():
        rooms.setdefault((rank_of(unit[0]), _room(unit[0])), []).append(unit)
    placed = [
        (rank, place / len(of_room), unit)
        for (rank, _), of_room in rooms.items()
        for place, unit in enumerate(of_room)
    ]
    placed.sort(key=lambda each: each[:2])
    return [item for _, _, unit in placed for item in unit]


def write_groups(file: Path, items: Sequence[pytest.Item]) -> None:
    """Write down the group of each test that has one."""
    groups = {item.nodeid: group for item in items if (group := group_of(item))}
    file.write_text(json.dumps(groups))


class UnitScheduling(LoadScopeScheduling):  # type: ignore[misc]  # which has no types
    """Hands whole units to workers, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Any, groups: Path) -> None:
        super().__init__(config, log)
        self._file = groups
        self._groups: dict[str, str] | None = None

    def _split_scope(self, nodeid: str) -> str:
        """The unit of a test; all workers have collected when the first one is asked for."""
        if self._groups is None:
            self._groups = json.loads(self._file.read_text())
        return self._groups.get(nodeid, nodeid)


def rank_of(item: pytest.Item) -> int:
    """0: its unit is among the first; 1: in the mixture; 2: among the last."""
    if _server_of(item):
        return 0
    return 2 if _room(item) in LAST or item.path.parent == ROOT else 1


def _server_of(item: pytest.Item) -> str | None:
    """The group of those that share a server, or something else that is made once."""
    if item.get_closest_marker("crowd"):
        return "crowd"
    if is_on_another_emulator(item):
        return "another emulator"  # which takes longer to start than most of its tests
    for fixture in getattr(item, "fixturenames", ()):
        if fixture in OF_ONE_SERVER:
            return OF_ONE_SERVER[fixture]
    return _module(item) if _has_fixtures_of_a_module(item) else None


def _has_fixtures_of_a_module(item: pytest.Item) -> bool:
    fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return any(each.scope == "module" for found in fixtures.values() for each in found)


def _module(item: pytest.Item) -> str:
    return f"{_room(item)} {item.path.stem}"


def _room(item: pytest.Item) -> str:
    """The directory of tests that it is in."""
    return _room_of(item.path)


@cache
def _room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]
