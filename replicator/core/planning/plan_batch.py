"""A batch becomes a plan: the last change of a key wins, an unfit one is dead-lettered. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from replicator.core.mapping.compile import TableMapping, TargetMapping
from replicator.core.mapping.item_keys import require_keys_alike
from replicator.core.planning.batch_ledger import DeadLetter, ItemKey, Ledger, Rank
from replicator.core.planning.change_history import plan_history
from replicator.core.planning.fast_path import plan_usual
from replicator.core.planning.unmatched import plan_unmatched
from replicator.core.planning.write_plan import Refusals, TargetWrites, WritePlan
from replicator.core.records import StreamRecord
from replicator.core.table_spec import OnDelete
from replicator.core.values.columnar import Children
from replicator.core.values.row_builder import Row
from replicator.errors import ValueRejected

NO_IMAGE = (
    "the record has no new image: the stream's view type must be NEW_IMAGE or NEW_AND_OLD_IMAGES"
)


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
    own = (record for record in records if not record.foreign)
    if (record := next(own, None)) is not None:  # a table's key does not change within a stream
        require_keys_alike(mapping.spec.name, record.keys, mapping.source_key)
    ledger = Ledger(
        records,
        mapping.source_key,
        read_at=read_at,
        skip_before=skip_before,
        protection=mapping.protection,
        expire_attribute=mapping.spec.expire_attribute,
    )
    unmapped: dict[str, Mapping[str, int]] = {}
    unmapped_types: dict[str, Mapping[str, str]] = {}
    candidates: dict[str, Mapping[str, str]] = {}
    writes = []
    for target in mapping.targets:
        planner = _TargetPlanner(target, ledger, refused, scanned=scanned)
        writes.append(planner.plan())
        if target.history is not None and not scanned:
            reason = refused.get(target.history)
            entries = plan_history(target, ledger, reason, healing=healing)
            writes[-1].appends.extend([row for row, _ in entries])
            if healing:
                writes[-1].appended.extend([record for _, record in entries])
        if planner.candidates:
            candidates[target.name] = planner.candidates
        if planner.unmapped:
            unmapped[target.name] = planner.unmapped
            unmapped_types[target.name] = planner.unmapped_types
    unmatched = plan_unmatched(ledger, mapping)
    return WritePlan(
        tuple(writes),
        tuple(ledger.letters),
        ledger.items(),
        ledger.outcomes(),
        unmapped,
        unmatched,
        ledger.newest_versions(),
        bytes(ledger.ranks),
        unmapped_types,
        candidates,
    )


class _TargetPlanner:
    """Walks a batch backwards for one target: the first change of a key that settles the key
    wins."""

    __slots__ = (
        "_candidates_at",
        "_ledger",
        "_refused",
        "_rejected",
        "_scanned",
        "_settled",
        "_softly",
        "_target",
        "_writes",
        "candidates",
        "unmapped",
        "unmapped_types",
    )

    def __init__(
        self, target: TargetMapping, ledger: Ledger, refused: Refusals, *, scanned: bool
    ) -> None:
        self._candidates_at: dict[str, int] = {}
        self._target = target
        self._scanned = scanned
        self._ledger = ledger
        self._refused = refused.get(target.name)
        self._writes = TargetWrites(target)
        self._settled: set[ItemKey] = set()
        self._rejected: dict[ItemKey, StreamRecord] = {}
        self._softly: dict[ItemKey, StreamRecord] = {}
        self.unmapped: Counter[str] = Counter()
        self.unmapped_types: dict[str, str] = {}
        self.candidates: dict[str, str] = {}

    def plan(self) -> TargetWrites:
        ledger, left = self._ledger, self._plan_usual()
        for index in reversed(ledger.keys) if left else ():
            key = ledger.keys[index]
            if key not in left:
                continue
            if key in self._settled:
                ledger.rank(index, Rank.SUPERSEDED)
                continue
            try:
                self._change(index, key, ledger.records[index])
            except ValueRejected as rejection:
                self._reject(index, key, str(rejection), None)
        for record in self._softly.values():
            key_and_time = (*self._target.key_of(record.keys), ledger.created_at(record))
            self._writes.softly_deleted.add(key_and_time, record)
        for record in self._rejected.values():
            self._keep(record)
        return self._writes

    def _plan_usual(self) -> Collection[ItemKey]:
        """Take over what needs no second look; returns the items that do."""
        if self._refused is not None:
            return self._ledger.newest
        usual = plan_usual(self._target, self._ledger, scanned=self._scanned)
        upserted = usual.upserted
        self._writes.upserted.extend_whole(upserted.rows, upserted.records, upserted.children)
        self._writes.deleted.take(usual.deleted)
        self.unmapped.update(usual.unmapped)
        for name, index in usual.candidates.items():
            self._note_candidate(index, self._ledger.records[index], name)
        for name, index in usual.carriers.items():
            self._note_types(index, self._ledger.records[index], [name])
        return usual.left

    def _change(self, index: int, key: ItemKey, record: StreamRecord) -> None:
        if self._refused is not None:
            self._reject(index, key, *self._refused)
            return
        if record.event == "remove":
            spec = self._target.spec
            expired = self._ledger.expired(record)
            self._leave(index, key, record, spec.on_expire if expired else spec.on_delete)
            return
        if record.new_image is None:
            self._reject(index, key, NO_IMAGE, None)
            return
        target = self._target
        if target.routes_on_keys_only and not target.matches(record.keys, None):
            return
        image = self._ledger.image(index, record.new_image)
        if target.matches(record.keys, image):
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
            row = (*row[:-1], self._ledger.created_at(deleted))
            self._writes.upserted.add_whole(row, deleted, children, beneath=record)
        if unmapped:
            self.unmapped.update(unmapped)
            self._note_types(index, record, unmapped)
        self._settle(index, key, Rank.APPLIED)

    def _note_candidate(self, index: int, record: StreamRecord, name: str) -> None:
        """The first change of the batch that has an attribute tells the type."""
        if index >= self._candidates_at.get(name, len(self._ledger.records)):
            return
        if record.new_image is not None:
            image = self._ledger.image(index, record.new_image)
            self.candidates[name] = next(iter(image[name]), "")
            self._candidates_at[name] = index

    def _note_types(self, index: int, record: StreamRecord, unmapped: Sequence[str]) -> None:
        new = [name for name in unmapped if name not in self.unmapped_types]
        if not new or record.new_image is None:
            return
        try:
            image = self._ledger.image(index, record.new_image)
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
        """The item is gone from the target.

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
            self._ledger.rank(index, rank)
            return
        self._softly.pop(key, None)
        self._writes.deleted.add(target_key, record)
        self._settle(index, key, rank)

    def _settle(self, index: int, key: ItemKey, rank: Rank) -> None:
        self._settled.add(key)
        self._ledger.rank(index, rank)

    def _reject(self, index: int, key: ItemKey, reason: str, sqlstate: str | None) -> None:
        # a newer change supersedes it, also one that this target ignores: so does the next batch's
        superseded = self._ledger.newest[key] != index
        record = self._ledger.records[index]
        letter = DeadLetter(self._target.name, record, reason, sqlstate, superseded)
        self._ledger.set_aside(index, letter, self._target.spec.on_error)
        self._rejected.setdefault(key, record)

    def _keep(self, record: StreamRecord) -> None:
        with suppress(ValueRejected):  # no row can have this key
            self._writes.kept.add(self._target.key_of(record.keys), record)
