"""Snapshots from exports on a real server: their parts in turn, and the guard of a heal."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from replicator.core.planning.plan_snapshot_page import plan_changes
from replicator.core.snapshot.export_lines import changes_of_lines
from replicator.core.snapshot.export_manifest import ExportSummary
from replicator.core.snapshot.export_windows import Window
from replicator.core.snapshot.snapshot_state import (
    SegmentAdvance,
    SegmentClaim,
    SnapshotFacts,
    SnapshotOrigin,
)
from replicator.errors import Fenced, NotClaimable
from replicator.postgres.control.snapshot.exports import ExportRecords
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.shard_claims import Claims
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.write.plan_writer import SegmentSink
from tests.postgres.loaded import SHARD, Loaded, registered
from tests.support.builders import NOON, STREAM, record, table_mapping, target

DAY = timedelta(days=1)
NEWER_STREAM = STREAM.replace("2026-03-01", "2026-03-02")


@pytest.fixture
async def table(migrated_database: str) -> AsyncIterator[Loaded]:
    mapping = table_mapping(target(history="public.h"))
    loaded = await registered(migrated_database, mapping)
    yield loaded
    await loaded.database.close()


async def begin(
    table: Loaded, origin: SnapshotOrigin, *, segments: int = 1, instead: str | None = None
) -> SnapshotFacts:
    await table.snapshots.ask(table.name, "asked", who="test", why=None, origin=origin)
    [asked] = [each for each in await table.known() if each.state == "asked"]
    assert await table.snapshots.begin(
        asked, table.mapping.targets, segments=segments, items_estimated=None, instead=instead
    )
    [running] = [each for each in await table.known() if each.state == "running"]
    return running


async def laid_out(table: Loaded, snapshot: SnapshotFacts, *wanted: Window | datetime) -> None:
    """Every export is complete: the parts that load their files are there."""
    records, claim = ExportRecords(table.database), await table.claim(snapshot)
    await records.guarded(claim, NOON)
    await records.want(claim, list(wanted), None)
    for phase in range(1, len(wanted) + 1):
        await records.asked(claim, phase, f"arn:{phase}")
        summary = ExportSummary("arn", "table", NOON, None, "bucket", "files", 2, 1000)
        await records.complete(claim, phase, summary, "summary")
    await records.lay_out(claim)


def change(key: str, n: int | None, *, at: datetime = NOON) -> bytes:
    micros = {"N": str(int(at.timestamp() * 1_000_000))}
    line: dict[str, Any] = {
        "Metadata": {"WriteTimestampMicros": micros},
        "Keys": {"pk": {"S": key}},
    }
    if n is not None:
        line["NewImage"] = {"pk": {"S": key}, "n": {"N": str(n)}}
    return json.dumps(line).encode()


async def heal(table: Loaded, claim: SegmentClaim, *lines: bytes) -> None:
    records = changes_of_lines(lines)
    plan = plan_changes(records, table.mapping, read_at=0.0)
    advance = SegmentAdvance(None, len(records), plan.rows, 0.0, ended=True)
    await SegmentSink(table.database, table.mapping).apply(plan, claim=claim, advance=advance)


async def rows(table: Loaded) -> dict[object, object]:
    return dict(await table.sql("select pk, n from public.t"))  # type: ignore[arg-type]


async def test_each_phase_begins_when_the_one_before_it_is_done(table: Loaded):
    await table.sql("insert into public.t values ('stale', 1)")
    snapshot = await begin(table, "export", segments=2)
    assert [part.number for part in snapshot.ready()] == [0]
    with pytest.raises(NotClaimable):
        await table.claim(snapshot, 1)
    await laid_out(table, snapshot, NOON)
    [running] = await table.known()
    files = running.ready()

    assert [(part.phase, part.target) for part in files] == [(1, None), (1, None)]
    claims = [await table.claim(running, part.number) for part in files]
    assert [(claim.share, claim.parts) for claim in claims] == [(0, 2), (1, 2)]
    with pytest.raises(NotClaimable):
        await table.claim(running, 1)
    for claim, key in zip(claims, "ab", strict=True):
        await table.load(claim, key)
    [swept] = (await table.known())[0].ready()
    assert swept.target == "public.t"
    assert running.items_estimated == 2


async def test_newer_windows_are_loaded_before_older_ones_and_win(table: Loaded):
    await table.sql("insert into public.t values ('gone', 1), ('kept', 1), ('untouched', 1)")
    snapshot = await begin(table, "changes")
    newer, older = Window(NOON - DAY / 2, NOON), Window(NOON - DAY, NOON - DAY / 2)
    await laid_out(table, snapshot, newer, older)
    [running] = await table.known()
    first, second = [part.number for part in running.segments if part.phase > 0]
    with pytest.raises(NotClaimable):
        await table.claim(running, second)

    await heal(table, await table.claim(running, first), change("gone", None), change("kept", 3))
    await heal(
        table,
        await table.claim(running, second),
        change("gone", 2),
        change("kept", 2),
        change("a", 1),
    )

    assert await rows(table) == {"kept": 3, "untouched": 1, "a": 1}
    [complete] = await table.known()
    assert complete.complete, "no row is deleted as stale"
    found = await table.sql("select keys->>'pk', operation, new_image->>'n' from public.h")
    assert sorted(map(str, found)) == sorted(
        str((key, "state_after_gap", n)) for key, n in (("gone", None), ("kept", "3"), ("a", "1"))
    )


async def test_what_the_stream_has_written_since_a_heal_began_is_left(table: Loaded):
    await table.sql("insert into public.t values ('a', 1), ('b', 1)")
    snapshot = await begin(table, "changes")
    await table.apply(record(7, "a", n={"N": "7"}))
    await table.apply(record(8, "b"))
    await laid_out(table, snapshot, Window(NOON - DAY, NOON))
    [running] = await table.known()
    [part] = running.ready()

    await heal(table, await table.claim(running, part.number), change("a", 2), change("b", 2))

    assert await rows(table) == {"a": 7}
    assert await table.sql("select operation from public.h where operation like 'state%'") == []


async def test_a_heal_supersedes_no_dead_letter_of_an_item_that_it_does_not_name(table: Loaded):
    await table.apply(record(1, "odd", n={"S": "x"}))
    await table.sql("update replicator.dead_letter set first_seen = first_seen - interval '1 hour'")
    snapshot = await begin(table, "changes")
    await laid_out(table, snapshot, Window(NOON - DAY, NOON))
    [running] = await table.known()
    await heal(table, await table.claim(running, running.ready()[0].number), change("a", 1))
    [complete] = await table.known()

    assert await table.snapshots.finish(complete)
    assert await table.sql("select state from replicator.dead_letter") == [("open",)]


async def test_who_takes_the_place_of_a_load_of_the_whole_table_loads_the_whole_table(
    table: Loaded,
):
    await begin(table, "export")

    assert (await begin(table, "changes")).origin == "export"
    assert (await begin(table, "changes", instead="too old")).origin == "export"
    assert (await begin(table, "scan")).origin == "scan"
    assert (await begin(table, "changes")).origin == "scan"


async def test_a_heal_that_cannot_be_is_a_scan_that_says_why(table: Loaded):
    snapshot = await begin(table, "changes", instead="recovery is off")

    assert (snapshot.origin, snapshot.detail) == ("scan", "recovery is off")


async def test_only_who_holds_the_part_says_anything_of_the_exports(table: Loaded):
    snapshot = await begin(table, "export")
    records, lost = ExportRecords(table.database), await table.claim(snapshot)
    heir = await table.claim(snapshot)
    await records.guarded(heir, NOON)
    await records.want(heir, [NOON], None)

    with pytest.raises(Fenced):
        await records.asked(lost, 1, "arn")
    with pytest.raises(Fenced):
        await records.lay_out(lost)
    for say in (records.tell, records.refuse):
        with pytest.raises(Fenced):
            await say(lost, "the export that was given before is too old")
    [running] = await table.known()
    assert (running.state, running.detail) == ("running", None)
    await records.guarded(heir, NOON + DAY)
    wanted = await records.wanted(snapshot.id)
    assert (wanted.guarded_at, wanted.exports[0].arn) == (NOON, None)


async def test_a_snapshot_that_begins_anew_forgets_exports_that_are_older_than_its_guard(
    table: Loaded,
):
    snapshot = await begin(table, "export")
    await laid_out(table, snapshot, NOON)
    await table.sql("update replicator.snapshot set state = 'asked'")
    await table.sql("update replicator.table_state set snapshot_id = null")
    await table.sql("delete from replicator.segment")

    again = await begin(table, "export")

    wanted = await ExportRecords(table.database).wanted(again.id)
    assert (again.id, wanted.guarded_at, wanted.exports) == (snapshot.id, None, ())


async def test_a_gap_of_a_shard_begins_where_all_before_is_applied(table: Loaded):
    await table.apply(record(1, "a", n={"N": "1"}))
    claim = await Claims(table.database, "worker").claim(
        table.name, STREAM, SHARD, mapping_fingerprint=table.mapping.fingerprint
    )
    await GapsAndHalts(table.database).add_gap(claim, kind="certain", detail="it was away")
    [gap] = await GapsAndHalts(table.database).gaps()

    assert (gap.since, gap.cuts) == (NOON, [NOON])


@pytest.mark.parametrize("known", [True, False])
async def test_a_gap_between_two_streams_begins_where_the_last_shards_end(
    table: Loaded, known: bool
):
    gaps_and_halts = GapsAndHalts(table.database)
    label = datetime(2026, 3, 1, tzinfo=UTC)
    await gaps_and_halts.start_stream(table.name, STREAM, label_at=label, detail="first")
    if known:
        await table.apply(record(1, "a", n={"N": "1"}))
    await gaps_and_halts.start_stream(
        table.name, NEWER_STREAM, label_at=label + DAY, detail="second"
    )
    [gap] = (await ShardStore(table.database).tables())[table.name].gaps

    assert (gap.since, gap.cuts) == ((NOON, [NOON]) if known else (None, []))
    number = await table.snapshots.ask(table.name, "gap", who="test", why=None, origin="changes")
    [asked] = await table.known()
    assert (asked.id, asked.lost_since) == (number, gap.since)
