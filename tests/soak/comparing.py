"""What PostgreSQL holds of a kind of load, compared with what it must hold."""

import json
from collections.abc import Sequence
from typing import TypeVar

from tests.faults.replica import Replica
from tests.soak.kinds import Entry, Kind, Letter
from tests.support.comparison import DIFFERENCES_SHOWN, differences, read_rows
from tests.support.daemon import Worker, brought_about
from tests.support.shop import by_item, read_history

Told = TypeVar("Told")

LETTERS = """
select target, item_key from replicator.dead_letter where source = $1 and state = 'open'
"""
HISTORY = """
select sequence_number, operation, keys->>'pk' as key, (old_image->>'n')::bigint as before,
       (new_image->>'n')::bigint as after, extract(epoch from created_at)::bigint as at,
       coalesce(new_image, old_image) = jsonb_build_object(
           'pk', keys->'pk', 'n', coalesce(new_image, old_image)->'n',
           'note', 'change ' || (coalesce(new_image, old_image)->>'n')) as whole
  from {table}
 order by sequence_number
"""
LOADS = """
select state from replicator.snapshot
 where source = $1 and state in ('asked', 'running', 'refused')
 union all
select mode from replicator.table_state where source = $1 and mode <> 'fence'
"""


async def settled(it: Replica, kinds: Sequence[Kind], workers: Sequence[Worker]) -> None:
    """Wait until each table is as it must be and loaded by nobody; fail with all that differs."""
    found: dict[str, list[str]] = {kind.name: [] for kind in kinds}

    async def same() -> bool:
        for kind in kinds:
            found[kind.name] = await wrong(it, kind)
        return not any(found.values())

    try:
        await brought_about(same, what="all is as it must be", by=workers)
    except AssertionError as error:
        shown = [
            f"{name}: {len(differing)} differences\n" + "\n".join(differing[:DIFFERENCES_SHOWN])
            for name, differing in found.items()
            if differing
        ]
        raise AssertionError("\n".join([*shown, str(error)])) from None


async def wrong(it: Replica, kind: Kind) -> list[str]:
    """What is missing, extra or different of one table, in words, beside its damaged rows."""
    found = [f"a load goes on: {row['state']}" for row in await it.sql(LOADS, kind.name)]
    for target, rows in kind.rows().items():
        actual = await read_rows(it.dsn, target, key=tuple(kind.targets[target]))
        untrue = [key for key in {**rows, **actual} if key[0] in kind.damaged]
        left, there = (
            {k: v for k, v in side.items() if k not in untrue} for side in (rows, actual)
        )
        found += [f"{target}: {each}" for each in differences(left, there)]
    letters = await open_letters(it, kind)
    found += _unlike("dead letters", sorted(kind.letters()), letters)
    entries = kind.history()
    if entries is not None:
        found += _unlike("history", entries, await _history(it, f"audit.{kind.name}"))
    for table, told in kind.histories().items():
        actual_of = await read_history(it.dsn, table)
        found += _unlike(table, sorted(by_item(told).items()), sorted(actual_of.items()))
    return found


async def open_letters(it: Replica, kind: Kind) -> list[Letter]:
    """Target and item of every dead letter that is open, one as often as it is there."""
    rows = await it.sql(LETTERS, kind.name)
    keys = [(row["target"], json.loads(row["item_key"])) for row in rows]
    return sorted((target, tuple(key[name]["S"] for name in kind.key)) for target, key in keys)


async def _history(it: Replica, table: str) -> list[Entry]:
    rows = await it.sql(HISTORY.format(table=table))
    assert all(row["whole"] for row in rows), "an image of the history is not that of its change"
    return [(int(row["sequence_number"]), *list(row.values())[1:6]) for row in rows]


def _unlike(what: str, expected: Sequence[Told], actual: Sequence[Told]) -> list[str]:
    """The places at which two sequences differ, entries that are there twice included."""
    if list(expected) == list(actual):
        return []
    missing = [each for each in expected if each not in actual]
    extra = [each for each in actual if each not in expected]
    counts = f"{len(actual)} instead of {len(expected)}"
    shown = f"missing {missing[:DIFFERENCES_SHOWN]}, extra {extra[:DIFFERENCES_SHOWN]}"
    return [f"{what}: {counts}: {shown}"]
