"""Restores the order of the changes in a batch whose records arrived in another order. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import lt

from replicator.core.mapping.item_keys import item_keys
from replicator.core.planning.batch_in_planning import ItemKey
from replicator.core.stream.order_by_time import in_order, micros_of
from replicator.core.stream_record import StreamRecord, Version
from replicator.core.table_spec import SourceKey


@dataclass(frozen=True, slots=True)
class Arranged:
    """The records of a batch, each item's oldest change first.

    `undecided`: changes to which nothing decided the order, so that arrival did.
    """

    records: Sequence[StreamRecord]
    undecided: int = 0


def arranged(records: Sequence[StreamRecord], source_key: SourceKey) -> Arranged:
    """The batch with the last change of each item as the newest, as planning expects batches.

    Most batches are in order already, and for many the times alone show the order.
    """
    times = [record.created_at or 0.0 for record in records]
    if all(map(lt, times, times[1:])):
        return Arranged(records)
    own = [record for record in records if not record.foreign]
    keys = item_keys([record.keys for record in own], source_key)
    newest: dict[ItemKey, int] = {}
    mixed: dict[ItemKey, list[tuple[Version, StreamRecord]]] = {}
    for key, record in zip(keys, own, strict=True):
        micros = micros_of(record.version)
        if newest.get(key, -1) >= micros:
            mixed[key] = []
        newest[key] = micros
    if not mixed:
        return Arranged(records)
    in_place: list[StreamRecord] = []
    for key, record in zip(keys, own, strict=True):
        if key in mixed:
            mixed[key].append((record.version, record))
        else:
            in_place.append(record)
    undecided = 0
    for changes in mixed.values():
        sorted_changes, ties = in_order(changes)
        in_place += sorted_changes
        undecided += ties
    in_place += [record for record in records if record.foreign]
    return Arranged(in_place, undecided)
