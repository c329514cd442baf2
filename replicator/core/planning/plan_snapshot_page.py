"""Plans a page of a snapshot: items of a scan or of an export, like records of a batch. Pure."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.row_guard import GuardRejection, outcomes_after_guard
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.snapshot.scan_responses import keys_of
from replicator.core.stream_record import NOWHERE, SCANNED, TOO_DEEP, Image, LetterId, StreamRecord
from replicator.core.table_spec import SourceKey
from replicator.core.telemetry_events import RecordOutcome
from replicator.core.values.dynamodb_json import decode_image
from replicator.errors import UnknownRecord, ValueRejected


def records_of_page(images: Sequence[memoryview], source_key: SourceKey) -> list[StreamRecord]:
    """Items as if each had just been put into the table.

    Items of a scan have no place in a stream; dead-letter ids below 0 identify such items.
    """
    return [
        StreamRecord(
            NOWHERE,
            SCANNED,
            LetterId(-place),
            "insert",
            _keys_in(image, source_key),
            image,
            None,
            None,
        )
        for place, image in enumerate(images, 1)
    ]


def _keys_in(image: memoryview, source_key: SourceKey) -> Image:
    """The key of an item, also of one that planning rejects: the dead letter needs it."""
    try:
        return keys_of(decode_image(image), source_key)
    except ValueRejected:
        pass
    try:
        item = json.loads(bytes(image))
    except RecursionError as error:
        raise UnknownRecord(TOO_DEEP) from error
    known = item if isinstance(item, dict) else {}
    return {
        name: known[name] for name, _ in source_key.attributes if isinstance(known.get(name), dict)
    }


def plan_page(
    records: Sequence[StreamRecord],
    mapping: TableMapping,
    *,
    read_at: float,
    refused: Refusals | None = None,
) -> WritePlan:
    """Plan items of a page: rows of items that belong to a target, dead letters of unfit items.

    An item that does not belong to a target causes no write there: the sweep finds a stale row.
    Nothing of a scan is history.
    """
    return plan_batch(records, mapping, read_at=read_at, refused=refused, scanned=True)


def plan_changes(
    records: Sequence[StreamRecord],
    mapping: TableMapping,
    *,
    read_at: float,
    refused: Refusals | None = None,
) -> WritePlan:
    """Plan the last changes of items in a gap, from incremental exports.

    Stale rows are not deleted afterwards, so that an item that belongs to a target no more, or is
    gone, is deleted there.
    """
    return plan_batch(records, mapping, read_at=read_at, refused=refused, healing=True)


def outcomes_of_page(
    records: Sequence[StreamRecord], plan: WritePlan, rejections: Sequence[GuardRejection]
) -> Mapping[RecordOutcome, int]:
    """Every item of a page, counted once; superseded where the stream was quicker."""
    outcomes: Counter[RecordOutcome] = Counter()
    for (_, outcome), count in outcomes_after_guard(records, plan, rejections).items():
        outcomes["snapshot", outcome] += count
    return outcomes
