"""A batch becomes a plan: the last change of a key wins, what does not fit is set aside. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from replicator.core.attributes import decode_image, item_key
from replicator.core.mapping import TableMapping, TargetMapping
from replicator.core.mapping_spec import OnDelete
from replicator.core.observations import Outcome, RecordOutcome
from replicator.core.records import Image, StreamRecord
from replicator.errors import Rejected, RowRefused

Value = str | bytes | None
Row = tuple[Value, ...]

_OUTCOMES: tuple[Outcome, ...] = ("filtered", "superseded", "applied", "dead_letter")
_FILTERED, _SUPERSEDED, _APPLIED, _DEAD = range(4)

NO_IMAGE = (
    "the record has no new image: the stream's view type must be NEW_IMAGE or NEW_AND_OLD_IMAGES"
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that one target refuses. `superseded`: the batch holds a newer change."""

    target: str
    record: StreamRecord
    reason: str
    sqlstate: str | None = None
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class TargetWrites:
    """What one transaction writes to one target; no key occurs twice.

    Rows and keys hold values in PostgreSQL's input syntax, in the order of the target's columns.
    A soft delete is the key followed by the time of deletion.
    """

    target: TargetMapping
    upserts: list[Row] = field(default_factory=list)
    deletes: list[Row] = field(default_factory=list)
    soft_deletes: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WritePlan:
    """All that one transaction writes, and where each record of the batch ended."""

    writes: tuple[TargetWrites, ...]
    dead_letters: tuple[DeadLetter, ...]
    item_keys: tuple[Image, ...]
    """The key of every item of the batch: their older open dead letters are superseded."""
    outcomes: Mapping[RecordOutcome, int]
    unmapped: Mapping[str, Mapping[str, int]]
    """Attributes that nothing takes, by target."""

    @property
    def writes_nothing(self) -> bool:
        """True when only the position would move."""
        return not self.dead_letters and not any(
            writes.upserts or writes.deletes or writes.soft_deletes for writes in self.writes
        )


Refused = Mapping[str, tuple[str, str | None]]
"""Why PostgreSQL refused a target's row: reason and SQLSTATE by target name."""


def plan_batch(
    records: Sequence[StreamRecord],
    mapping: TableMapping,
    *,
    read_at: float,
    skip_before: float | None = None,
    refused: Refused | None = None,
) -> WritePlan:
    """Plan one batch of a shard, in order.

    `read_at` (epoch seconds) stands in where a record has no creation time. `skip_before` (epoch
    seconds) filters records of an `initial_load: none`. `refused` holds, for a batch of one
    record, the targets whose row PostgreSQL would not take.
    RowRefused where a target says `on_error: halt`.
    """
    kept = [
        index
        for index, record in enumerate(records)
        if skip_before is None or record.created_at is None or record.created_at >= skip_before
    ]
    keys = {index: item_key(records[index].keys, mapping.source_key) for index in kept}
    ranks = bytearray(len(records))
    images: dict[int, Image] = {}
    letters: list[DeadLetter] = []
    unmapped: dict[str, Mapping[str, int]] = {}
    writes = []
    for target in mapping.targets:
        planner = _TargetPlanner(
            target, records, keys, images, ranks, read_at=read_at, refused=refused or {}
        )
        writes.append(planner.plan())
        letters += planner.letters
        if planner.unmapped:
            unmapped[target.name] = planner.unmapped
    outcomes: Counter[RecordOutcome] = Counter(
        (record.event, _OUTCOMES[rank]) for record, rank in zip(records, ranks, strict=True)
    )
    touched = {keys[index]: records[index].keys for index in kept}
    return WritePlan(tuple(writes), tuple(letters), tuple(touched.values()), outcomes, unmapped)


class _TargetPlanner:
    """Walks a batch backwards for one target: the first change of a key that settles it wins."""

    __slots__ = (
        "_images",
        "_keys",
        "_ranks",
        "_read_at",
        "_records",
        "_refused",
        "_rejected",
        "_settled",
        "_softly",
        "_target",
        "_writes",
        "letters",
        "unmapped",
    )

    def __init__(
        self,
        target: TargetMapping,
        records: Sequence[StreamRecord],
        keys: dict[int, tuple[str, ...]],
        images: dict[int, Image],
        ranks: bytearray,
        *,
        read_at: float,
        refused: Refused,
    ) -> None:
        self._target = target
        self._records = records
        self._keys = keys
        self._images = images
        self._ranks = ranks
        self._read_at = read_at
        self._refused = refused.get(target.name)
        self._writes = TargetWrites(target)
        self._settled: set[tuple[str, ...]] = set()
        self._rejected: set[tuple[str, ...]] = set()
        self._softly: dict[tuple[str, ...], StreamRecord] = {}
        self.letters: list[DeadLetter] = []
        self.unmapped: Counter[str] = Counter()

    def plan(self) -> TargetWrites:
        for index in reversed(self._keys):
            key = self._keys[index]
            if key in self._settled:
                self._rank(index, _SUPERSEDED)
                continue
            try:
                self._change(index, key, self._records[index])
            except Rejected as rejection:
                self._reject(index, key, str(rejection), None)
        for record in self._softly.values():
            self._writes.soft_deletes.append(
                (*self._target.key_of(record.keys), self._time(record))
            )
        return self._writes

    def _change(self, index: int, key: tuple[str, ...], record: StreamRecord) -> None:
        if self._refused is not None:
            self._reject(index, key, *self._refused)
            return
        if record.event == "remove":
            spec = self._target.spec
            self._leave(index, key, record, spec.on_expire if record.expired else spec.on_delete)
            return
        if record.new_image is None:
            self._reject(index, key, NO_IMAGE, None)
            return
        image = self._image(index, record.new_image)
        if not self._target.matches(record.keys, image):
            if not self._target.routes_on_keys_only:  # an older image may have matched
                self._leave(index, key, record, self._target.spec.on_delete, _FILTERED)
            return
        self._upsert(index, key, record, image)

    def _upsert(self, index: int, key: tuple[str, ...], record: StreamRecord, image: Image) -> None:
        row = self._target.row_of(record.keys, image)
        deleted = self._softly.pop(key, None)
        if deleted is not None:
            row = (*row[:-1], self._time(deleted))
        self._writes.upserts.append(row)
        self.unmapped.update(self._target.unmapped(image))
        self._settle(index, key, _APPLIED)

    def _leave(
        self,
        index: int,
        key: tuple[str, ...],
        record: StreamRecord,
        policy: OnDelete,
        rank: int = _APPLIED,
    ) -> None:
        """The item is gone from this target.

        `ignore` leaves an older change of it to be applied; `soft` needs the row as it was last.
        """
        if policy == "ignore":
            return
        try:
            target_key = self._target.key_of(record.keys)
        except Rejected:  # no row can have this key, so none needs to go
            self._settle(index, key, rank)
            return
        if policy == "soft":
            self._softly.setdefault(key, record)
            self._rank(index, rank)
            return
        self._softly.pop(key, None)
        self._writes.deletes.append(target_key)
        self._settle(index, key, rank)

    def _settle(self, index: int, key: tuple[str, ...], rank: int) -> None:
        self._settled.add(key)
        self._rank(index, rank)

    def _reject(self, index: int, key: tuple[str, ...], reason: str, sqlstate: str | None) -> None:
        record = self._records[index]
        if self._target.spec.on_error == "halt":
            message = f"record {record.sequence_number} does not fit {self._target.name}: {reason}"
            raise RowRefused(
                message, remedy="correct the mapping or the item, then run `replicator resume`"
            )
        superseded = key in self._rejected or key in self._softly
        self.letters.append(DeadLetter(self._target.name, record, reason, sqlstate, superseded))
        self._rejected.add(key)
        self._rank(index, _DEAD)

    def _rank(self, index: int, rank: int) -> None:
        self._ranks[index] = max(self._ranks[index], rank)

    def _image(self, index: int, raw: memoryview) -> Image:
        image = self._images.get(index)
        if image is None:
            image = self._images[index] = decode_image(raw)
        return image

    def _time(self, record: StreamRecord) -> str:
        at = self._read_at if record.created_at is None else record.created_at
        return datetime.fromtimestamp(at, UTC).isoformat()
