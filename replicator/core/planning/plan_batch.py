"""A batch becomes a plan: the last change of a key wins, an unfit one is dead-lettered. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.planning.batch_in_planning import BatchInPlanning, ItemKey
from replicator.core.planning.columnar_plan import plan_usual
from replicator.core.planning.dead_letter import DeadLetter
from replicator.core.planning.history_rows import plan_history
from replicator.core.planning.record_outcomes import Rank
from replicator.core.planning.write_plan import Refusals, TargetWrites, WritePlan
from replicator.core.stream_record import StreamRecord
from replicator.core.table_spec import OnDelete
from replicator.core.values.columnar_rows import Children
from replicator.core.values.row_builder import Row
from replicator.errors import ValueRejected

NO_IMAGE = (
    "the record has no new image: the stream's view type must be NEW_IMAGE or NEW_AND_OLD_IMAGES"
)
UNMATCHED = "(unmatched)"
"""Stands in place of a target's name in dead letters of items that no target takes."""
NO_TARGET = "the item belongs to no target: no `when` of the table takes it"


def plan_batch(
    records: Sequence[StreamRecord],
    mapping: TableMapping,
    *,
    read_at: float,
    skip_before: float | None = None,
    refused: Refusals | None = None,
    scanned: bool = False,
    healing: bool = False,
) -> WritePlan:
    """Plan one batch of a shard, in order; or, `scanned`, items as a scan found them.

    Or, `healing`, the last changes of items in a gap, each with all that the gap has lost of it.

    `read_at` (epoch seconds) stands in where a record has no creation time. `skip_before` (epoch
    seconds) filters records of an `initial_load: none`. `refused` holds, for a batch of one
    record, the targets and histories whose row PostgreSQL would not take.
    RejectionHalts where a target says `on_error: halt`; KeyChanged where the records are those of
    another table.
    """
    refused = refused or {}
    state = BatchInPlanning(records, mapping, read_at=read_at, skip_before=skip_before)
    unmapped: dict[str, Mapping[str, int]] = {}
    unmapped_types: dict[str, Mapping[str, str]] = {}
    candidates: dict[str, Mapping[str, str]] = {}
    writes = []
    for target in mapping.targets:
        planner = _TargetPlanner(target, state, refused, scanned=scanned)
        writes.append(planner.plan())
        if target.history is not None and not scanned:
            reason = refused.get(target.history)
            entries, appended = plan_history(target, state, reason, healing=healing)
            writes[-1].appends.extend(entries)
            if healing:
                writes[-1].appended.extend(appended)
        if planner.candidates:
            candidates[target.name] = planner.candidates
        if planner.unmapped:
            unmapped[target.name] = planner.unmapped
            unmapped_types[target.name] = planner.unmapped_types
    unmatched = 0 if mapping.takes_everything else _plan_unmatched(state, mapping)
    return WritePlan(
        tuple(writes),
        tuple(state.letters),
        state.items(),
        state.outcomes(),
        unmapped,
        unmatched,
        state.newest_versions(),
        bytes(state.ranks),
        unmapped_types,
        candidates,
    )


class _TargetPlanner:
    """Walks a batch backwards for one target: the first change of a key that settles the key
    wins."""

    __slots__ = (
        "_candidates_at",
        "_refused",
        "_rejected",
        "_scanned",
        "_settled",
        "_softly",
        "_state",
        "_target",
        "_writes",
        "candidates",
        "unmapped",
        "unmapped_types",
    )

    def __init__(
        self, target: TargetMapping, state: BatchInPlanning, refused: Refusals, *, scanned: bool
    ) -> None:
        self._candidates_at: dict[str, int] = {}
        self._target = target
        self._scanned = scanned
        self._state = state
        self._refused = refused.get(target.name)
        self._writes = TargetWrites(target)
        self._settled: set[ItemKey] = set()
        self._rejected: dict[ItemKey, StreamRecord] = {}
        self._softly: dict[ItemKey, StreamRecord] = {}
        self.unmapped: Counter[str] = Counter()
        self.unmapped_types: dict[str, str] = {}
        self.candidates: dict[str, str] = {}

    def plan(self) -> TargetWrites:
        state, left = self._state, self._plan_usual()
        for index in reversed(state.keys) if left else ():
            key = state.keys[index]
            if key not in left:
                continue
            if key in self._settled:
                state.rank(index, Rank.SUPERSEDED)
                continue
            try:
                self._change(index, key, state.records[index])
            except ValueRejected as rejection:
                self._reject(index, key, str(rejection), None)
        for record in self._softly.values():
            key_and_time = (*self._target.key_of(record.keys), state.created_at(record))
            self._writes.softly_deleted.add(key_and_time, record)
        for record in self._rejected.values():
            self._keep(record)
        return self._writes

    def _plan_usual(self) -> Collection[ItemKey]:
        """Plan the items that need no second look; returns the items that do."""
        if self._refused is not None:
            return self._state.newest
        usual = plan_usual(self._writes, self._state, scanned=self._scanned)
        self.unmapped.update(usual.unmapped)
        for name, index in usual.candidates.items():
            self._note_candidate(index, self._state.records[index], name)
        for name, index in usual.carriers.items():
            self._note_types(index, self._state.records[index], [name])
        return usual.left

    def _change(self, index: int, key: ItemKey, record: StreamRecord) -> None:
        if self._refused is not None:
            self._reject(index, key, *self._refused)
            return
        if record.event == "remove":
            spec = self._target.spec
            expired = self._state.expired(record)
            self._leave(index, key, record, spec.on_expire if expired else spec.on_delete)
            return
        if record.new_image is None:
            self._reject(index, key, NO_IMAGE, None)
            return
        target = self._target
        if target.condition.on_keys_only and not target.condition.matches(record.keys, None):
            return
        image = self._state.image(index, record.new_image)
        if target.condition.matches(record.keys, image):
            made = target.row_of(record.keys, image), target.unmapped(image)
            for name in target.candidates(image):
                self._note_candidate(index, record, name)
            self._upsert(index, key, record, made, target.children_of(made[0], image))
        elif not self._scanned:
            # an older image may have matched; after a scan, the sweep finds what it left
            self._leave(index, key, record, target.spec.on_delete, Rank.FILTERED)

    def _upsert(
        self,
        index: int,
        key: ItemKey,
        record: StreamRecord,
        made: tuple[Row, Sequence[str]],
        children: Children = (),
    ) -> None:
        row, unmapped = made
        deleted = self._softly.pop(key, None)
        if deleted is None:
            self._writes.upserted.add_whole(row, record, children)
        else:
            row = (*row[:-1], self._state.created_at(deleted))
            self._writes.upserted.add_whole(row, deleted, children, beneath=record)
        if unmapped:
            self.unmapped.update(unmapped)
            self._note_types(index, record, unmapped)
        self._settle(index, key, Rank.APPLIED)

    def _note_candidate(self, index: int, record: StreamRecord, name: str) -> None:
        """The first change of the batch that has an attribute tells the type."""
        if index >= self._candidates_at.get(name, len(self._state.records)):
            return
        if record.new_image is not None:
            image = self._state.image(index, record.new_image)
            self.candidates[name] = next(iter(image[name]), "")
            self._candidates_at[name] = index

    def _note_types(self, index: int, record: StreamRecord, unmapped: Sequence[str]) -> None:
        new = [name for name in unmapped if name not in self.unmapped_types]
        if not new or record.new_image is None:
            return
        try:
            image = self._state.image(index, record.new_image)
        except ValueRejected:  # something else in it, which nothing takes either, is malformed
            image = {}
        for name in new:
            self.unmapped_types[name] = next(iter(image.get(name, ())), "")

    def _leave(
        self,
        index: int,
        key: ItemKey,
        record: StreamRecord,
        policy: OnDelete,
        rank: Rank = Rank.APPLIED,
    ) -> None:
        """Write that the item is gone from the target, as `on_delete` says.

        `ignore` leaves an older change to be applied; `soft` needs the row in the last state.
        """
        if policy == "ignore":
            return
        try:
            target_key = self._target.key_of(record.keys)
        except ValueRejected:  # no row can have this key, so none needs to go
            self._settle(index, key, rank)
            return
        if policy == "soft":
            self._softly.setdefault(key, record)
            self._state.rank(index, rank)
            return
        self._softly.pop(key, None)
        self._writes.deleted.add(target_key, record)
        self._settle(index, key, rank)

    def _settle(self, index: int, key: ItemKey, rank: Rank) -> None:
        self._settled.add(key)
        self._state.rank(index, rank)

    def _reject(self, index: int, key: ItemKey, reason: str, sqlstate: str | None) -> None:
        # a newer change supersedes it, also one that this target ignores: so does the next batch's
        superseded = self._state.newest[key] != index
        record = self._state.records[index]
        letter = DeadLetter(self._target.name, record, reason, sqlstate, superseded)
        self._state.set_aside(index, letter, self._target.spec.on_error)
        self._rejected.setdefault(key, record)

    def _keep(self, record: StreamRecord) -> None:
        with suppress(ValueRejected):  # no row can have this key
            self._writes.kept.add(self._target.key_of(record.keys), record)


def _plan_unmatched(state: BatchInPlanning, mapping: TableMapping) -> int:
    """Count the batch's items that no target takes after the newest change.

    With `unmatched: dead_letter` that change becomes a dead letter; what the item was before
    leaves the old targets all the same.
    """
    unmatched = 0
    for key, index in state.newest.items():
        record = state.records[index]
        if key in state.taken or record.new_image is None:
            continue
        try:
            if any(_takes(target, state, index) for target in mapping.targets):
                continue
        except ValueRejected:  # a target has refused it already
            continue
        unmatched += 1
        if mapping.spec.unmatched == "dead_letter":
            letter = DeadLetter(UNMATCHED, record, NO_TARGET)
            state.set_aside(index, letter, on_error="dead_letter")
    return unmatched


def _takes(target: TargetMapping, state: BatchInPlanning, index: int) -> bool:
    """True when the item belongs to the target after the change; ValueRejected."""
    record = state.records[index]
    if target.condition.on_keys_only or record.new_image is None:
        return target.condition.matches(record.keys, None)
    return target.condition.matches(record.keys, state.image(index, record.new_image))
