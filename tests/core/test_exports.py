"""Manifests, lines and windows of exports to S3."""

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicator.core.snapshot.export_lines import changes_of_lines, items_of_lines
from replicator.core.snapshot.export_manifest import (
    DataFile,
    ExportSummary,
    read_files,
    read_summary,
    require_checksum,
    require_file,
    require_fit,
)
from replicator.core.snapshot.export_windows import (
    ASKING_ROOM,
    BACK_MAX,
    CUT_EDGES_MAX,
    MARGIN,
    SINCE_MARGIN,
    WINDOW_MAX,
    WINDOW_MIN,
    Recovery,
    Window,
    export_time,
    why_not,
    windows,
)
from replicator.core.snapshot.scan_and_export_cost import (
    changes_cost_min,
    export_cost,
    recovery_cost,
    scan_cost,
    scan_price,
)
from replicator.core.snapshot.snapshot_state import ExportRecord
from replicator.core.values.dynamodb_json import decode_image
from replicator.errors import ExportUnfit
from tests.support.exports import Item, TableLog

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
TABLE = "arn:aws:dynamodb:us-east-1:111122223333:table/orders"
FULL: dict[str, Any] = {
    "version": "2020-06-30",
    "exportArn": f"{TABLE}/export/01693685827463-2d8752fd",
    "startTime": "2026-11-29T12:00:01.000Z",
    "endTime": "2026-11-29T12:04:04.473Z",
    "tableArn": TABLE,
    "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
    "exportTime": "2026-11-29T12:00:00Z",
    "s3Bucket": "exports",
    "s3Prefix": None,
    "s3SseAlgorithm": "AES256",
    "s3SseKmsKeyId": None,
    "manifestFilesS3Key": "AWSDynamoDB/01693685827463-2d8752fd/manifest-files.json",
    "billedSizeBytes": 20901239349,
    "itemCount": 5,
    "outputFormat": "DYNAMODB_JSON",
}
CHANGES = FULL | {
    "exportFromTime": "2026-11-28T12:00:00.000Z",
    "exportToTime": "2026-11-29T12:00:00.000Z",
    "exportType": "INCREMENTAL_EXPORT",
    "outputView": "NEW_AND_OLD_IMAGES",
}


def summary(**changed: Any) -> bytes:
    return json.dumps(FULL | changed).encode()


def files(*counts: int) -> bytes:
    lines = [
        {
            "itemCount": count,
            "md5Checksum": "sQMSpEILNgoQmarvDFonGQ==",
            "etag": "af83d6f217c19b8b0fff8023d8ca4716-1",
            "dataFileS3Key": f"AWSDynamoDB/data/{number}.json.gz",
        }
        for number, count in enumerate(counts)
    ]
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def test_a_summary_of_a_full_export_and_of_an_incremental_one():
    full, changes = read_summary(summary()), read_summary(json.dumps(CHANGES).encode())

    assert (full.window, full.at, full.items) == (None, NOON, 5)
    assert full.files_key == FULL["manifestFilesS3Key"]
    assert changes.window == Window(NOON - timedelta(days=1), NOON)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        summary(outputFormat="ION"),
        summary(exportTime=None),
        summary(exportType="INCREMENTAL_EXPORT"),
        summary(itemCount="5"),
    ],
)
def test_what_is_no_summary_that_can_be_read(body: bytes):
    with pytest.raises(ExportUnfit):
        read_summary(body)


def test_files_add_up_to_the_summary_and_empty_ones_are_files():
    found = read_files(files(2, 0, 3), read_summary(summary()))

    assert [file.items for file in found] == [2, 0, 3]
    assert found[0].key == "AWSDynamoDB/data/0.json.gz"


@pytest.mark.parametrize("body", [files(2, 3)[:-9], files(2), files(2, 4), b"", b"{}\n"])
def test_a_list_of_files_that_lacks_one(body: bytes):
    with pytest.raises(ExportUnfit):
        read_files(body, read_summary(summary()))


def test_checksums_in_both_spellings():
    digest = md5(b"body", usedforsecurity=False)
    require_checksum("it", b"body", f"{b64encode(digest.digest()).decode()}\n")
    require_checksum("it", b"body", digest.hexdigest())
    with pytest.raises(ExportUnfit):
        require_checksum("it", b"other", digest.hexdigest())


def test_a_file_is_the_one_that_its_list_names():
    digest = md5(b"body", usedforsecurity=False).digest()
    file = DataFile("key", 2, b64encode(digest).decode())

    require_file(file, lines=2, digest=digest)
    for lines, wrong in ((1, digest), (2, b"other"), (3, digest)):
        with pytest.raises(ExportUnfit):
            require_file(file, lines=lines, digest=wrong)
    with pytest.raises(ExportUnfit):
        require_file(DataFile("key", 2, "no base64!"), lines=2, digest=digest)


def line(document: Any) -> bytes:
    return json.dumps(document).encode()


def change(key: str = "a", **images: Any) -> bytes:
    micros = {"WriteTimestampMicros": {"N": "1764417600000001"}}
    return line({"Metadata": micros, "Keys": {"pk": {"S": key}}, **images})


def test_items_of_a_full_export_keep_every_type_as_it_is():
    item = {"pk": {"S": "ü"}, "n": {"N": "1.0"}, "b": {"B": "AAE="}, "m": {"M": {}}}

    [image] = items_of_lines([line({"Item": item})])

    assert decode_image(image) == item


def test_changes_of_an_incremental_export():
    new = {"pk": {"S": "a"}, "n": {"N": "1"}}
    put, gone = changes_of_lines(
        [change(NewImage=new), change("b", OldImage={"pk": {"S": "b"}}, NewImage=None)]
    )

    assert (put.event, put.keys, put.created_at) == (
        "modify",
        {"pk": {"S": "a"}},
        1764417600.000001,
    )
    assert decode_image(put.new_image or memoryview(b"")) == new
    assert (gone.event, gone.new_image) == ("remove", None)
    assert max(put.letter_id, gone.letter_id) < 0


@pytest.mark.parametrize(
    "wrong",
    [
        b"{}",
        b"{",
        line({"Item": {}}),
        line({"Keys": {"pk": {"S": "a"}}}),
        line({"Metadata": {"WriteTimestampMicros": {"N": "now"}}, "Keys": {"pk": {"S": "a"}}}),
    ],
)
def test_a_line_that_is_something_else_stops_the_load(wrong: bytes):
    with pytest.raises(ExportUnfit):
        changes_of_lines([change(), wrong])


def test_a_full_line_is_needed_for_an_item():
    with pytest.raises(ExportUnfit):
        items_of_lines([change(NewImage={})])


@given(
    st.lists(st.timedeltas(timedelta(0), BACK_MAX), min_size=1, max_size=30),
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_windows_cover_the_gap_without_a_hole_each_within_the_limits(
    back: list[timedelta], later: timedelta
):
    guarded_at = NOON + later
    cuts = [guarded_at - each for each in back]

    found = windows(cuts, guarded_at)

    assert found[0].until >= guarded_at + MARGIN
    assert found[-1].since <= min(cuts) - SINCE_MARGIN
    for newer, older in pairwise(found):
        assert newer.until >= older.until >= newer.since, "no hole, the newest state first"
    for window in found:
        assert WINDOW_MIN <= window.until - window.since <= WINDOW_MAX
        assert window.since.microsecond == window.until.microsecond == 0
    assert len(found) <= CUT_EDGES_MAX + 2 * len(cuts) + BACK_MAX.days * 2


def test_a_gap_of_three_days_takes_nine_exports():
    found = windows([NOON - timedelta(days=3)], NOON)

    assert len(found) == 9
    assert len([each for each in found if each.until - each.since > timedelta(hours=1)]) == 4


@dataclass(frozen=True)
class Change:
    """A change of an item, so many seconds after the one before; `n` None: it is deleted."""

    after: int
    key: str
    n: int | None


HISTORIES = st.lists(
    st.builds(
        Change,
        st.sampled_from((1, 2, 60, 14 * 60, 5 * 3600, 30 * 3600)),
        st.sampled_from("abcd"),
        st.none() | st.integers(1, 9),
    ),
    max_size=14,
)
ROUNDED = {"down": timedelta(0), "to the nearest": timedelta(seconds=0.5)}


@example([Change(1, "a", 1), Change(60, "a", None)], (1, 0), "down")
@example([Change(1, "a", 1), Change(5 * 3600, "c", 1), Change(1, "c", None)], (1, 1), "down")
@given(HISTORIES, st.tuples(st.integers(0, 8), st.integers(0, 8)), st.sampled_from([*ROUNDED]))
def test_a_gap_is_healed_wherever_its_shards_were_cut(
    changes: list[Change], applied: tuple[int, int], rounded: str
):
    """Two shards each applied some of their changes; all others are lost."""
    log, at = TableLog(), NOON + timedelta(seconds=0.7)
    rows: dict[str, Item] = {}
    cuts, seen = [NOON, NOON], [0, 0]
    for change in changes:
        at += timedelta(seconds=change.after)
        item = {"pk": {"S": change.key}, "n": {"N": str(change.n)}}
        log.add(item, gone=change.n is None, at=at)
        shard = change.key in "cd"
        seen[shard] += 1
        if seen[shard] <= applied[shard]:
            cuts[shard] = (at + ROUNDED[rounded]).replace(microsecond=0)
            rows.pop(change.key, None)
            rows |= {} if change.n is None else {change.key: item}

    healed: dict[str, Item | None] = {}
    for window in windows(cuts, at):
        for line in log.lines(window.since, window.until):
            healed.setdefault(line["Keys"]["pk"]["S"], line.get("NewImage"))

    after = {key: item for key, item in {**rows, **healed}.items() if item is not None}
    assert after == {item["pk"]["S"]: item for item in log.state(at + MARGIN).values()}


def test_an_export_is_of_a_time_behind_the_guard():
    assert export_time(NOON) == NOON + MARGIN
    assert export_time(NOON + timedelta(microseconds=1)) == NOON + MARGIN + timedelta(seconds=1)


def recovery(days: int) -> Recovery:
    return Recovery(NOON - timedelta(days=days), NOON - timedelta(minutes=5), NOON)


def test_when_a_gap_cannot_be_healed_from_exports():
    day = timedelta(days=1)

    assert why_not(NOON - 3 * day, recovery(7)) is None
    assert "is off" in (why_not(NOON - 3 * day, None) or "")
    assert "nobody knows" in (why_not(None, recovery(7)) or "")
    assert "can be exported from" in (why_not(NOON - 7 * day, recovery(7)) or "")
    assert "can be exported from" in (why_not(NOON - 35 * day, recovery(60)) or "")


def test_a_gap_whose_beginning_is_soon_out_of_reach_is_not_healed_from_exports():
    edge = NOON - BACK_MAX + SINCE_MARGIN

    for minutes, room, healed in ((29, ASKING_ROOM, False), (31, ASKING_ROOM, True)):
        reason = why_not(edge + timedelta(minutes=minutes), recovery(35), room=room)
        assert (reason is None) is healed
    assert why_not(edge + timedelta(minutes=5), recovery(35)) is not None
    assert why_not(edge, recovery(35), room=timedelta(0)) is None


def test_the_room_to_ask_is_that_of_the_newest_window():
    latest_behind = timedelta(minutes=5)
    [newest, *_] = windows([NOON], NOON)

    assert newest.until - NOON + latest_behind < ASKING_ROOM


def record(since: datetime | None, until: datetime | None) -> ExportRecord:
    return ExportRecord(1, since, until, "token", "arn", None, None, None)


def told(**changed: Any) -> ExportSummary:
    return read_summary(json.dumps(CHANGES | changed).encode())


def test_an_export_of_the_guard_or_before_is_not_loaded():
    full = read_summary(summary())

    require_fit(full, record(None, None), NOON - MARGIN, TABLE)
    for guarded_at in (NOON, NOON - MARGIN + timedelta(microseconds=1)):
        with pytest.raises(ExportUnfit, match="it may lack") as refused:
            require_fit(full, record(None, None), guarded_at, TABLE)
        assert "make one of 2026-11-29T12:0" in (refused.value.remedy or "")


def test_an_export_of_another_table_or_window_is_not_loaded():
    day = timedelta(days=1)
    fit = record(NOON - day, NOON)

    require_fit(told(), fit, NOON, TABLE)
    for summary_, wanted in (
        (told(tableArn=f"{TABLE}2"), fit),
        (told(), record(NOON - day, NOON + timedelta(seconds=1))),
        (told(), record(NOON - 2 * day, NOON)),
        (told(), record(None, None)),
        (read_summary(summary()), fit),
    ):
        with pytest.raises(ExportUnfit):
            require_fit(summary_, wanted, NOON, TABLE)


def test_prices_for_a_terabyte():
    terabyte = 1024**4
    scan = scan_cost(items=2**28, size_bytes=terabyte, units_per_second=500)

    assert export_cost(terabyte) == pytest.approx(102.4)
    assert scan_price(scan.read_units) == pytest.approx(33.55, abs=0.01)
    assert recovery_cost(terabyte) == pytest.approx(204.8)
    assert changes_cost_min(4) == pytest.approx(0.0039, abs=0.0001)
