"""The history of a target: which changes it holds, and each of them as a row. Pure."""

from replicator.core.cells import Cell
from replicator.core.ledger import DeadLetter, Ledger, Rank
from replicator.core.mapping import TargetMapping
from replicator.core.mapping_spec import OnNul
from replicator.core.plain_json import json_object
from replicator.core.records import Image, StreamRecord
from replicator.core.unfit import Unfit
from replicator.errors import Rejected

HistoryRow = tuple[Cell, ...]
"""Sequence number, operation, creation time, keys, new image, old image: as text."""
HISTORY_TRANSPORTS = ("text",) * 6


def plan_history(
    target: TargetMapping, ledger: Ledger, refused: tuple[str, str | None] | None
) -> list[HistoryRow]:
    """Every change of the batch that concerns the target, oldest first.

    `refused`: why PostgreSQL would not take the one change of this batch. A change that cannot be
    written becomes a dead letter of the history, which no later change supersedes.
    """
    rows: list[HistoryRow] = []
    if target.history is None:
        return rows
    for index in ledger.keys:
        record = ledger.records[index]
        reason, sqlstate = refused or (None, None)
        try:
            if not _concerns(target, ledger, index, record):
                continue
            if refused is None:
                rows.append(_row(ledger, index, record, target.spec.nul))
                ledger.rank(index, Rank.APPLIED)
                continue
        except Rejected as rejection:
            reason = str(rejection)
        letter = DeadLetter(target.history, record, str(reason), sqlstate, of_history=True)
        ledger.set_aside(index, letter, target.spec.on_error)
    return rows


def _concerns(target: TargetMapping, ledger: Ledger, index: int, record: StreamRecord) -> bool:
    """Whether the item belonged to the target before or after the change, as far as one can tell.

    A stream without old images does not say what an item was: then every change counts of an item
    that may have belonged.
    """
    if target.routes_on_keys_only:
        return target.matches(record.keys, None)
    if record.new_image is not None and target.matches(
        record.keys, ledger.image(index, record.new_image)
    ):
        return True
    if record.event == "insert":
        return False
    return record.old_image is None or target.matches(
        record.keys, ledger.old_image(record.old_image)
    )


def _row(ledger: Ledger, index: int, record: StreamRecord, nul: OnNul) -> HistoryRow:
    new = None if record.new_image is None else ledger.image(index, record.new_image)
    old = None if record.old_image is None else ledger.old_image(record.old_image)
    return (
        str(record.sequence_number),
        record.event,
        None if record.created_at is None else ledger.created_at(record),
        _json(record.keys, "keys", nul),
        None if new is None else _json(new, "new_image", nul),
        None if old is None else _json(old, "old_image", nul),
    )


def _json(image: Image, column: str, nul: OnNul) -> str:
    try:
        return json_object(image, nul)
    except Unfit as unfit:
        attribute = unfit.inside.removeprefix(".")
        raise Rejected(unfit.reason, attribute=attribute, column=column) from unfit
