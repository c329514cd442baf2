"""Plans the newest changes of most items of a batch together, for one target. Pure.

Theory of operation
-------------------
The problem: `plan_batch.plan_batch` walks a batch backwards, change by change, because the newest
change of an item that converts decides the row (an older change applies where the newest is
rejected). The walk is exact, and ten times as expensive as it needs to be for batches in which
every newest change converts, which is nearly all of them.

The idea: look at the newest change of every item first, all items together. An item is settled
here when the newest change
  * is a new image that routes to the target and makes a row (`columnar.UsualRows`): an upsert;
  * is a new image that routes elsewhere, where leaving a target is a plain delete: a delete by
    key;
  * is a removal, where removals are plain deletes: a delete by key. Older changes of a settled
    item are superseded without a look at them.

Every other item is put into `UsualChanges.left`, and `plan` walks exactly those: items with an
image that makes no row, whose routing cannot be told from raw bytes, with soft or ignored
deletions, with a missing image; and a small item that comes alone, for which the steps of a column
are dearer than its cells. Targets with histories or conditions on old images are left as a
whole where the condition reads personal data.

The invariant: this plan and the walk give the same writes, outcomes and dead letters, whatever is
settled here. `tests/core/test_columnar_plan.py` plans random batches both ways. So this module may
leave any item, and may settle an item only where the walk would take the newest change at once.

Broken without it: settling an item whose newest change may be rejected would let a batch border
decide which of two changes the row shows, as an older change in the same batch could still apply.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import cast

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.planning.batch_in_planning import BatchInPlanning, ItemKey
from replicator.core.planning.record_outcomes import Rank
from replicator.core.planning.write_plan import TargetWrites
from replicator.core.values.columnar_rows import UsualRows
from replicator.core.values.row_builder import Row
from replicator.errors import ValueRejected

_Items = list[tuple[ItemKey, int]]
"""Items by the keys, with the places of the newest changes."""


@dataclass(frozen=True, slots=True)
class UsualChanges:
    """Findings beside the writes of the newest changes of most items.

    `left` are the items that must be planned change by change: without writes yet.
    """

    unmapped: Counter[str] = field(default_factory=Counter)
    carriers: dict[str, int] = field(default_factory=dict)
    """For each of the given attributes the place of a record that has it."""
    candidates: dict[str, int] = field(default_factory=dict)
    """For each attribute that could be a column, the first place of a record that has it."""
    left: set[ItemKey] = field(default_factory=set)


ALONE_BYTES_MAX = 2048
"""Size of an image up to which an item that comes alone is planned by itself: the steps of a column
cost twice as much as its one cell. Of a larger one, nested values are quicker as a whole."""


def plan_usual(writes: TargetWrites, state: BatchInPlanning, *, scanned: bool) -> UsualChanges:
    """Plan items by the newest changes, where such changes are rows at once, or plain removals.

    Items with changes that may be rejected, or that older changes decide on, are left.
    """
    target, changes = writes.target, UsualChanges()
    looks = not target.condition.on_keys_only
    if (
        target.usual_rows is None
        or _is_alone(state)
        or (looks and not state.shows(target.condition.attributes))
    ):
        changes.left.update(state.newest)
        return changes
    present: _Items = []
    removed: _Items = []
    for item in state.newest.items():
        record = state.records[item[1]]
        if record.event == "remove":
            removed.append(item)
        elif record.new_image is None:
            changes.left.add(item[0])
        else:
            present.append(item)
    belonging, strangers = _routed(target, state, present, changes)
    state.taken.update(key for key, _ in belonging)
    spec, settled = target.spec, _upsert(writes, target.usual_rows, state, belonging, changes)
    plainly = spec.on_delete == "delete"
    if strangers and (target.condition.on_keys_only or scanned):
        # they never belonged, or the sweep finds what they left
        changes.left.update({key for key, _ in strangers} & {key for _, key in state.older})
    elif strangers:
        settled |= _delete(writes, state, strangers, changes, Rank.FILTERED, plainly=plainly)
    plainly = plainly and spec.on_expire == "delete"
    if removed:
        settled |= _delete(writes, state, removed, changes, Rank.APPLIED, plainly=plainly)
    for place, key in state.older:
        if key in settled:
            state.rank(place, Rank.SUPERSEDED)
    return changes


def _is_alone(state: BatchInPlanning) -> bool:
    """True for a batch of one item, unless that is large."""
    if len(state.newest) != 1:
        return False
    [place] = state.newest.values()
    image = state.records[place].new_image
    return image is None or len(image) <= ALONE_BYTES_MAX


def _routed(
    target: TargetMapping, state: BatchInPlanning, items: _Items, changes: UsualChanges
) -> tuple[_Items, _Items]:
    """The items that belong to the target, and items that do not and may have belonged before."""
    records, condition = state.records, target.condition
    if target.spec.when is None:
        return items, []
    belonging: _Items = []
    strangers: _Items = []
    if condition.on_keys_only:
        for item in items:
            (belonging if condition.matches(records[item[1]].keys, None) else strangers).append(
                item
            )
        return belonging, strangers
    for item in items:
        record = records[item[1]]
        matches = condition.matches_raw(record.keys, record.new_image or memoryview(b""))
        if matches is None:
            changes.left.add(item[0])
        else:
            (belonging if matches else strangers).append(item)
    return belonging, strangers


def _upsert(
    writes: TargetWrites,
    rows_of: UsualRows,
    state: BatchInPlanning,
    items: _Items,
    changes: UsualChanges,
) -> set[ItemKey]:
    """Make the rows of the items; returns the items with one."""
    if writes.target.spec.auto:  # the first of the batch says which column an attribute gets
        items = sorted(items, key=itemgetter(1))
    records = [state.records[place] for _, place in items]
    made = rows_of(records)
    changes.unmapped.update(made.untaken)
    for name, place in made.candidates.items():
        changes.candidates[name] = items[place][1]
    for name, place in made.carriers.items():
        changes.carriers[name] = items[place][1]
    rows, children = made.rows, made.children
    if None in rows:
        odd = [place for place, row in enumerate(rows) if row is None]
        changes.left.update(items[place][0] for place in odd)
        usual = [place for place, row in enumerate(rows) if row is not None]
        items = [items[place] for place in usual]
        records = [records[place] for place in usual]
        children = [children[place] for place in usual] if children else ()
        rows = [row for row in rows if row is not None]
    writes.upserted.extend_whole(cast("Sequence[Row]", rows), records, children)
    state.rank_all(map(itemgetter(1), items), Rank.APPLIED)
    return set(map(itemgetter(0), items))


def _delete(
    writes: TargetWrites,
    state: BatchInPlanning,
    items: _Items,
    changes: UsualChanges,
    rank: Rank,
    *,
    plainly: bool,
) -> set[ItemKey]:
    """Delete the rows of the items; returns the settled items."""
    if not plainly:
        changes.left.update(key for key, _ in items)
        return set()
    for _, place in items:
        record = state.records[place]
        try:
            writes.deleted.add(writes.target.key_of(record.keys), record)
        except ValueRejected:  # no row can have this key, so none needs to go
            continue
    state.rank_all([place for _, place in items], rank)
    return {key for key, _ in items}
