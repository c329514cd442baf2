"""The history of a target: the changes in it, each as a row. Pure."""

from collections.abc import Sequence

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.planning.batch_in_planning import BatchInPlanning
from replicator.core.planning.dead_letter import DeadLetter
from replicator.core.planning.record_outcomes import Rank
from replicator.core.snapshot.export_lines import MICROSECONDS
from replicator.core.stream.order_by_time import history_number
from replicator.core.stream_record import Image, StreamRecord
from replicator.core.values.cells import Cell, Unfit
from replicator.core.values.column_options import OnNul
from replicator.core.values.json_text import json_object, object_texts, objects_alike
from replicator.errors import ValueRejected

HistoryRow = tuple[Cell, ...]
"""Version, operation, creation time, keys, new image, old image: as text."""
_image_texts = object_texts(list)
_UNUSUAL = b""  # no text is made of it
HISTORY_TRANSPORTS = ("text",) * 6
STATE_AFTER_GAP = "state_after_gap"
"""Operation of the entry that stands for all that a gap has lost of an item: the state then."""


def plan_history(
    target: TargetMapping,
    state: BatchInPlanning,
    refused: tuple[str, str | None] | None,
    *,
    healing: bool = False,
) -> tuple[Sequence[HistoryRow], Sequence[StreamRecord]]:
    """Every change of the batch that concerns the target, oldest first, and the records.

    `healing`: each entry stands for all changes of an item in a gap, and is marked so.

    `refused`: why PostgreSQL would not take the one change of the batch. A change that cannot be
    written becomes a dead letter of the history, which no later change supersedes.
    """
    if target.history is None:
        return [], []
    usual = _usual_rows(state)
    if refused is None and not healing and target.spec.when is None and None not in usual:
        state.rank_all(state.keys, Rank.APPLIED)
        return list(filter(None, usual)), [state.records[index] for index in state.keys]
    rows: list[HistoryRow] = []
    records: list[StreamRecord] = []
    for place, index in enumerate(state.keys):
        record = state.records[index]
        reason, sqlstate = refused or (None, None)
        try:
            if not _concerns(target, state, record):
                continue
            if refused is None:
                row = usual[place] or _row(state, record, target.spec.nul)
                rows.append(_state_after_gap(row, record) if healing else row)
                records.append(record)
                state.rank(index, Rank.APPLIED)
                continue
        except ValueRejected as rejection:
            reason = str(rejection)
        letter = DeadLetter(target.history, record, str(reason), sqlstate, of_history=True)
        state.set_aside(index, letter, target.spec.on_error)
    return rows, records


def _concerns(target: TargetMapping, state: BatchInPlanning, record: StreamRecord) -> bool:
    """True when the item belonged to the target before or after the change, as far as images tell.

    A stream without old images does not say what an item was: then every change counts of an item
    that may have belonged.
    """
    if target.condition.on_keys_only:
        return target.condition.matches(record.keys, None)
    if record.new_image is not None and _matches(target, state, record.keys, record.new_image):
        return True
    if record.event == "insert":
        return False
    return record.old_image is None or _matches(target, state, record.keys, record.old_image)


def _matches(target: TargetMapping, state: BatchInPlanning, keys: Image, raw: memoryview) -> bool:
    matches = (
        target.condition.matches_raw(keys, raw)
        if state.shows(target.condition.attributes)
        else None
    )
    return target.condition.matches(keys, state.decoded(raw)) if matches is None else matches


def _usual_rows(state: BatchInPlanning) -> Sequence[HistoryRow | None]:
    """The entries of all changes of the batch, made together; None where an image or a key must be
    decoded or rejected, which `_row` does.
    """
    records = [state.records[index] for index in state.keys]
    keys = _key_texts([record.keys for record in records])
    images = [image for record in records for image in (record.new_image, record.old_image)]
    there = [place for place, image in enumerate(images) if image is not None]
    shown = state.shown([image for image in images if image is not None])
    texts: list[Cell] = [None] * len(images)
    unusual = {place for place, text in enumerate(keys) if text is None}
    for place, text in zip(there, _image_texts([raw or _UNUSUAL for raw in shown]), strict=True):
        texts[place] = text
        if text is None:
            unusual.add(place // 2)
    rows = zip(
        [str(history_number(record.version)) for record in records],
        [record.event for record in records],
        state.created_at_each(records),
        keys,
        texts[::2],
        texts[1::2],
        strict=True,
    )
    return [None if place in unusual else row for place, row in enumerate(rows)]


def _key_texts(images: Sequence[Image]) -> Sequence[str | None]:
    """The JSON of keys, None where it cannot be stored."""
    return objects_alike(images) or list(map(_key_text, images))


def _key_text(image: Image) -> str | None:
    try:
        return json_object(image)
    except Unfit:
        return None


def _row(state: BatchInPlanning, record: StreamRecord, nul: OnNul) -> HistoryRow:
    return (
        str(history_number(record.version)),
        record.event,
        None if record.created_at is None else state.created_at(record),
        _json(record.keys, "keys", nul),
        _image(state, record.new_image, "new_image", nul),
        _image(state, record.old_image, "old_image", nul),
    )


def _state_after_gap(row: HistoryRow, record: StreamRecord) -> HistoryRow:
    """The entry of a change that has a time and no place in a stream."""
    micros = round((record.created_at or 0.0) * MICROSECONDS)
    return (str(micros), STATE_AFTER_GAP, *row[2:])


def _image(state: BatchInPlanning, raw: memoryview | None, column: str, nul: OnNul) -> Cell:
    return None if raw is None else _json(state.decoded(raw), column, nul)


def _json(image: Image, column: str, nul: OnNul) -> str:
    try:
        return json_object(image, nul)
    except Unfit as unfit:
        attribute = unfit.inside.removeprefix(".")
        raise ValueRejected(unfit.reason, attribute=attribute, column=column) from unfit
