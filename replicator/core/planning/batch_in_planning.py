"""A batch while it is planned: newest change of each item, images, outcome of each record."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.mapping.item_keys import item_keys, require_keys_alike
from replicator.core.planning.dead_letter import DeadLetter
from replicator.core.planning.record_outcomes import OUTCOMES, Rank
from replicator.core.stream_record import Image, LetterId, StreamRecord, Version
from replicator.core.table_spec import OnError
from replicator.core.telemetry_events import RecordOutcome
from replicator.core.values.dynamodb_json import decode_image, nested_too_deeply
from replicator.errors import RejectionHalts, ValueRejected

ItemKey = tuple[str, ...]


class BatchInPlanning:
    """The records of one batch by place; `keys` has the keys of records that are not skipped.

    KeyChanged where the records are those of another table.
    """

    __slots__ = (
        "_aside",
        "_expire_attribute",
        "_images",
        "_instants",
        "_protection",
        "_read_at",
        "keys",
        "letters",
        "newest",
        "ranks",
        "records",
        "taken",
    )

    def __init__(
        self,
        records: Sequence[StreamRecord],
        mapping: TableMapping,
        *,
        read_at: float,
        skip_before: float | None = None,
    ) -> None:
        self.records = records
        own = [index for index, record in enumerate(records) if not record.foreign]
        images = [records[index].keys for index in own]
        if images:  # a table's key does not change within a stream
            require_keys_alike(mapping.spec.name, images[0], mapping.source_key)
        keys = zip(own, item_keys(images, mapping.source_key), strict=True)
        self.keys: dict[int, ItemKey] = (
            dict(keys)
            if skip_before is None
            else {
                index: key
                for index, key in keys
                if (created_at := records[index].created_at) is None or created_at >= skip_before
            }
        )
        self.newest: dict[ItemKey, int] = dict(zip(self.keys.values(), self.keys, strict=True))
        """The place of the newest change of each item."""
        self.taken: set[ItemKey] = set()
        """Items that belong to some target after the newest change, as far as known."""
        self.letters: list[DeadLetter] = []
        self.ranks = bytearray(len(records))
        self._aside: set[tuple[str, ItemKey, LetterId]] = set()
        self._images: dict[int, Image] = {}
        self._instants: dict[float, str] = {}
        self._read_at = read_at
        self._protection = mapping.protection
        self._expire_attribute = mapping.spec.expire_attribute

    def image(self, index: int, raw: memoryview) -> Image:
        """The record's new image, decoded once; ValueRejected."""
        image = self._images.get(index)
        if image is None:
            image = self._images[index] = self.decoded(raw)
        return image

    def decoded(self, raw: memoryview) -> Image:
        """An image, decoded; ValueRejected."""
        image = decode_image(raw)
        try:
            return image if self._protection is None else self._protection.image(image)
        except RecursionError as error:  # what is hashed as a whole may be nested as well
            raise nested_too_deeply() from error

    def shows(self, attributes: frozenset[str]) -> bool:
        """True when the given attributes may be read in images as received."""
        return self._protection is None or self._protection.attributes.isdisjoint(attributes)

    def shown(self, raws: Sequence[memoryview]) -> Sequence[bytes | memoryview | None]:
        """Images as received, but for personal data; None where decoding is needed."""
        return raws if self._protection is None else self._protection.raws(raws)

    @property
    def older(self) -> Iterable[tuple[int, ItemKey]]:
        """The changes that are not the item's newest."""
        if len(self.newest) == len(self.keys):
            return ()
        return [(index, key) for index, key in self.keys.items() if self.newest[key] != index]

    def expired(self, record: StreamRecord) -> bool:
        """True for a deletion by time to live: the record says so, or the attribute's time had
        passed.
        """
        attribute = self._expire_attribute
        if record.expired or attribute is None or record.old_image is None:
            return record.expired
        try:
            at = Decimal(self.decoded(record.old_image)[attribute]["N"])
            return at <= Decimal(self._at(record))
        except (ValueRejected, KeyError, TypeError, ArithmeticError):
            return False

    def rank(self, index: int, rank: Rank) -> None:
        """Note where a target left the record."""
        self.ranks[index] = max(self.ranks[index], rank)

    def rank_all(self, indexes: Iterable[int], rank: Rank) -> None:
        """Rank several records."""
        ranks, value = self.ranks, int(rank)
        for index in indexes:
            ranks[index] = max(ranks[index], value)

    def set_aside(self, index: int, letter: DeadLetter, on_error: OnError) -> None:
        """Keep a dead letter; RejectionHalts where the target stops the table instead."""
        if on_error == "halt":
            number = letter.record.letter_id
            message = f"record {number} does not fit {letter.target}: {letter.reason}"
            raise RejectionHalts(
                message,
                remedy="correct the mapping, or say `on_error: dead_letter`; run `replicator "
                "migrate` and restart the workers",
            )
        if self._protection is not None:
            letter = replace(letter, record=self._protection.record(letter.record))
        same = letter.target, self.keys[index], letter.record.letter_id
        if same not in self._aside:  # AWS Lambda may deliver a record twice in one batch
            self._aside.add(same)
            self.letters.append(letter)
        self.rank(index, Rank.DEAD)

    def created_at(self, record: StreamRecord) -> str:
        """Creation time of the change, or the time of reading where no creation time is known;
        ISO 8601.
        """
        return self._instant(self._at(record))

    def created_at_each(self, records: Iterable[StreamRecord]) -> list[str | None]:
        """`created_at` of each of the records that has a creation time, None of others."""
        times = [record.created_at for record in records]
        texts = {at: None if at is None else self._instant(at) for at in set(times)}
        return [texts[at] for at in times]

    def _instant(self, at: float) -> str:
        text = self._instants.get(at)
        if text is None:
            text = self._instants[at] = datetime.fromtimestamp(at, UTC).isoformat()
        return text

    def _at(self, record: StreamRecord) -> float:
        return self._read_at if record.created_at is None else record.created_at

    def outcomes(self) -> Counter[RecordOutcome]:
        """Every record of the batch, counted once."""
        counts = Counter(zip([record.event for record in self.records], self.ranks, strict=True))
        return Counter({(event, OUTCOMES[rank]): count for (event, rank), count in counts.items()})

    def items(self) -> tuple[Image, ...]:
        """The key of every item of the batch."""
        return tuple([self.records[index].keys for index in self.newest.values()])

    def newest_versions(self) -> tuple[Version, ...]:
        """The version of the newest change of each of the given items."""
        return tuple([self.records[index].version for index in self.newest.values()])
