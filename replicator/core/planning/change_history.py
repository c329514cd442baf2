"""The history of a target: the changes in it, each as a row. Pure."""

from collections.abc import Mapping

from replicator.core.mapping.compile import TargetMapping
from replicator.core.planning.batch_ledger import DeadLetter, Ledger, Rank
from replicator.core.records import Image, StreamRecord
from replicator.core.snapshot.export_lines import MICROSECONDS
from replicator.core.stream.time_order import history_number
from replicator.core.values.cells import Cell, Unfit
from replicator.core.values.json_text import json_object, plain_texts
from replicator.core.values.reading_options import OnNul
from replicator.errors import ValueRejected

HistoryRow = tuple[Cell, ...]
"""Version, operation, creation time, keys, new image, old image: as text."""
HISTORY_TRANSPORTS = ("text",) * 6
STATE_AFTER_GAP = "state_after_gap"
"""Operation of the entry that stands for all that a gap has lost of an item: the state then."""


def plan_history(
    target: TargetMapping,
    ledger: Ledger,
    refused: tuple[str, str | None] | None,
    *,
    healing: bool = False,
) -> list[tuple[HistoryRow, StreamRecord]]:
    """Every change of the batch that concerns the target, oldest first, with the record.

    `healing`: each entry stands for all changes of an item in a gap, and is marked so.

    `refused`: why PostgreSQL would not take the one change of the batch. A change that cannot be
    written becomes a dead letter of the history, which no later change supersedes.
    """
    rows: list[tuple[HistoryRow, StreamRecord]] = []
    if target.history is None:
        return rows
    texts = _texts_of(ledger)
    for index in ledger.keys:
        record = ledger.records[index]
        reason, sqlstate = refused or (None, None)
        try:
            if not _concerns(target, ledger, record):
                continue
            if refused is None:
                row = _row(ledger, record, target.spec.nul, texts)
                rows.append((_state_after_gap(row, record) if healing else row, record))
                ledger.rank(index, Rank.APPLIED)
                continue
        except ValueRejected as rejection:
            reason = str(rejection)
        letter = DeadLetter(target.history, record, str(reason), sqlstate, of_history=True)
        ledger.set_aside(index, letter, target.spec.on_error)
    return rows


def _concerns(target: TargetMapping, ledger: Ledger, record: StreamRecord) -> bool:
    """True when the item belonged to the target before or after the change, as far as images tell.

    A stream without old images does not say what an item was: then every change counts of an item
    that may have belonged.
    """
    if target.routes_on_keys_only:
        return target.matches(record.keys, None)
    if record.new_image is not None and _matches(target, ledger, record.keys, record.new_image):
        return True
    if record.event == "insert":
        return False
    return record.old_image is None or _matches(target, ledger, record.keys, record.old_image)


def _matches(target: TargetMapping, ledger: Ledger, keys: Image, raw: memoryview) -> bool:
    matches = target.matches_raw(keys, raw) if ledger.shows(target.routes_on) else None
    return target.matches(keys, ledger.decoded(raw)) if matches is None else matches


def _texts_of(ledger: Ledger) -> dict[int, str | None]:
    """The JSON of all images of the batch that are as usual, by the identity of the image."""
    records = [ledger.records[index] for index in ledger.keys]
    images = [image for record in records for image in (record.new_image, record.old_image)]
    shown = [(id(image), ledger.shown(image)) for image in images if image is not None]
    whole = [(of, b'{"M":%s}' % raw) for of, raw in shown if raw is not None]
    return dict(zip([of for of, _ in whole], plain_texts([raw for _, raw in whole]), strict=True))


def _row(
    ledger: Ledger, record: StreamRecord, nul: OnNul, texts: Mapping[int, str | None]
) -> HistoryRow:
    return (
        str(history_number(record.version)),
        record.event,
        None if record.created_at is None else ledger.created_at(record),
        _json(record.keys, "keys", nul),
        _image(ledger, record.new_image, "new_image", nul, texts),
        _image(ledger, record.old_image, "old_image", nul, texts),
    )


def _state_after_gap(row: HistoryRow, record: StreamRecord) -> HistoryRow:
    """The entry of a change that has a time and no place in a stream."""
    micros = round((record.created_at or 0.0) * MICROSECONDS)
    return (str(micros), STATE_AFTER_GAP, *row[2:])


def _image(
    ledger: Ledger,
    raw: memoryview | None,
    column: str,
    nul: OnNul,
    texts: Mapping[int, str | None],
) -> Cell:
    if raw is None:
        return None
    text = texts.get(id(raw))
    return _json(ledger.decoded(raw), column, nul) if text is None else text


def _json(image: Image, column: str, nul: OnNul) -> str:
    try:
        return json_object(image, nul)
    except Unfit as unfit:
        attribute = unfit.inside.removeprefix(".")
        raise ValueRejected(unfit.reason, attribute=attribute, column=column) from unfit
