"""A scripted table: writes become records of its stream, and shards divide when they are told."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from tests.support.scripted_streams.errors import not_found
from tests.support.scripted_streams.items import Item, Items, Value, canonical, hash_of, key_of
from tests.support.scripted_streams.records import Change, wire_record
from tests.support.scripted_streams.shards import Shard, Tree, parents, spans
from tests.support.scripted_streams.streams import Children, Stream, forget

ACCOUNT = "000000000000"
RECREATED_COUNTER = 1
VIEWS = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")


class Table:
    """Items and streams of one table; a shard is named by its number, in every stream another.

    Items are in DynamoDB JSON. Times are epoch seconds. Every write returns the sequence number of
    its record as text, or None when it changed nothing or nobody records.
    """

    def __init__(
        self, name: str, *, key: Mapping[str, str], region: str, now: Callable[[], float]
    ) -> None:
        self.name = name
        self.key = dict(key)
        self.region = region
        self.streams: list[Stream] = []
        self.items = Items(tuple(key))
        self.exists = True
        self.created_at = now()
        self._now = now
        self._next_shard = 0
        self._last_label = 0.0

    @property
    def arn(self) -> str:
        return f"arn:aws:dynamodb:{self.region}:{ACCOUNT}:table/{self.name}"

    @property
    def stream(self) -> Stream:
        """The newest stream, which may be disabled."""
        if not self.streams:
            raise not_found(f"a stream of table {self.name}")
        return self.streams[-1]

    @property
    def stream_arn(self) -> str:
        return self.stream.arn

    # items

    def put(self, item: Mapping[str, Value], **details: Any) -> str | None:
        """Write an item; details: see _record."""
        new = canonical(item)
        return self._write({name: new[name] for name in self.key}, new, **details)

    def update(
        self, key: Mapping[str, Value], attributes: Mapping[str, Value | None], **details: Any
    ) -> str | None:
        """Lay attributes over an item, made when missing; None takes one away."""
        merged: dict[str, Value | None] = {**(self.items.get(key) or {}), **key, **attributes}
        return self.put({name: value for name, value in merged.items() if value}, **details)

    def delete(self, key: Mapping[str, Value], **details: Any) -> str | None:
        given = canonical(key)
        return self._write({name: given[name] for name in self.key}, None, **details)

    def expire(self, key: Mapping[str, Value], **details: Any) -> str | None:
        """Delete an item as time to live does."""
        return self.delete(key, expired=True, **details)

    def append(self, record: Mapping[str, Any], *, shard: int) -> str:
        """Append a record as it stands, whatever it lacks; a missing sequence number is given."""
        target = self.shard(shard)
        part = dict(record.get("dynamodb", {}))
        part.setdefault("SequenceNumber", f"{target.next_number():021d}")
        body = orjson.dumps({**record, "dynamodb": part})
        self._append(target, int(part["SequenceNumber"]), body)
        return str(part["SequenceNumber"])

    def load_pages(self, shard: int, pages: list[bytes]) -> None:
        """Append JSON arrays of records to be served as they are; items are not folded."""
        for page in pages:
            self.shard(shard).log.append_page(page, written_at=self._now())

    def load_records(self, shard: int, records: bytes) -> None:
        """Append a JSON array of records as if each had been written; items are not folded."""
        self.shard(shard).log.append_all(records, written_at=self._now())

    def load_items(self, items: Iterable[Item]) -> None:
        """Make these the items, of which no record tells; canonical already."""
        self.items.load(items)

    def all_items(self) -> list[Item]:
        """What a scan of the table finds now."""
        return self.items.all()

    # shards

    def shard(self, number: int) -> Shard:
        for stream in reversed(self.streams):
            if number in stream.shards:
                return stream.shards[number]
        raise LookupError(f"table {self.name} has no shard {number}")

    def shard_id(self, number: int) -> str:
        return self.shard(number).shard_id

    def shard_ids(self) -> dict[int, str]:
        """All shards of the newest stream, also those no listing shows."""
        return {number: shard.shard_id for number, shard in self.stream.shards.items()}

    def open_shards(self) -> list[int]:
        return [shard.number for shard in self.stream.open_shards()]

    def owner(self, key: Mapping[str, Value]) -> int:
        """The shard that a write of this key goes to now."""
        return self.stream.owner_of(hash_of(key_of(canonical(key), tuple(self.key)))).number

    def records(self, shard: int) -> list[dict[str, Any]]:
        """Every surviving record of the shard, as on the wire."""
        return [orjson.loads(body) for body in self.shard(shard).log.records()]

    def split(self, shard: int, *, into: int = 2, close: bool = True) -> list[int]:
        """Give a shard children, whose numbers are returned, and close it or leave it open."""
        numbers = [self._take_number() for _ in range(into)]
        self.stream.divide(self.stream.shards[shard], numbers)
        if close:
            self.close(shard)
        return numbers

    def roll_over(self, shard: int, *, close: bool = True) -> int:
        """Replace a shard by a single child; return its number."""
        return self.split(shard, into=1, close=close)[0]

    def close(self, shard: int) -> None:
        self.shard(shard).close(self._now())

    def listing(
        self,
        *,
        children: Children | None = None,
        tail: bool | None = None,
        unlisted: list[int] | None = None,
        shown_open: list[int] | None = None,
    ) -> None:
        """How DescribeStream errs; what is None stays as it was, a list replaces the one before.

        `children`: what CHILD_SHARDS answers. `tail`: the last page is empty and the one before it
        names a LastEvaluatedShardId. `unlisted`, `shown_open`: shards.
        """
        stream = self.stream
        stream.children_answer = children or stream.children_answer
        stream.listing_tail = stream.listing_tail if tail is None else tail
        for shard in stream.shards.values():
            if unlisted is not None:
                shard.unlisted = shard.number in unlisted
            if shown_open is not None:
                shard.shown_open = shard.number in shown_open

    def end_with(self, shard: int, page: Literal["records", "empty page"]) -> None:
        """Whether the null iterator comes with the last records or in a further, empty page."""
        self.shard(shard).ends_with_empty_page = page == "empty page"

    def trim(self, shard: int, *, keep: int = 0) -> None:
        """Forget all but the newest `keep` records."""
        log = self.shard(shard).log
        log.trim_to(log.end - keep)

    def forget(self, shard: int, answer: str = "vanish") -> None:
        """Let a shard vanish now, or stay listed and answer not_found or trimmed."""
        forget(self.shard(shard), answer)

    # life of the stream and of the table

    def start_stream(self, view: str, *, shards: Tree = 1, counter: int = 1) -> str:
        """Open a stream with this tree, whose numbers go on after the last; return its ARN."""
        parent_of = parents(shards)
        first = self._next_shard
        numbered = {name: name + first for name in parent_of}
        self._next_shard = max(numbered.values()) + 1
        self._new_stream(view).plant(numbered, parent_of, spans(parent_of), counter=counter)
        return self.stream_arn

    def disable_stream(self) -> None:
        """Close every shard; from now on writes leave no record."""
        self.stream.disable()

    def enable_stream(self, view: str | None = None) -> str:
        """A new stream whose shards take over spans and counters of the old one; return its ARN."""
        old = self.stream
        leaves = [shard for shard in old.shards.values() if not old.children_of(shard)]
        stream = self._new_stream(view or old.view)
        for leaf in leaves:
            stream.add(self._take_number(), parent=None, span=leaf.span, counter=leaf.counter + 2)
        return stream.arn

    def drop(self) -> None:
        """Delete the table: no items, and a stream that can still be read."""
        if self.streams and self.stream.disabled_at is None:
            self.disable_stream()
        self.items.clear()
        self.exists = False

    def recreate(self, *, shards: Tree = 1, view: str | None = None) -> str:
        """Create anew under the same name, with small sequence numbers; return the ARN."""
        view = view or self.stream.view
        self.drop()
        self.exists = True
        self.created_at = self._now()
        return self.start_stream(view, shards=shards, counter=RECREATED_COUNTER)

    def _write(
        self, keys: Item, new: Item | None, *, shard: int | None = None, **details: Any
    ) -> str | None:
        """Fold a write into the items and record it.

        `shard` writes into that shard, even a closed one, as history that was always there.
        `created_at` (epoch seconds, None: left out), `event`, `extra`, `extra_dynamodb`, `expired`:
        see Change.
        """
        old = self.items.get(keys)
        if old == new:
            return None
        self.items.fold(keys, new)
        if not self.streams or (self.stream.disabled_at is not None and shard is None):
            return None
        target = self._target(keys, shard)
        details.setdefault("created_at", self._now())
        number = target.next_number()
        body = wire_record(
            Change(keys, old, new, **details),
            sequence_number=number,
            view=self.stream.view,
            region=self.region,
            shard_id=target.shard_id,
        )
        self._append(target, number, body)
        return f"{number:021d}"

    def _target(self, keys: Item, shard: int | None) -> Shard:
        if shard is not None:
            return self.shard(shard)
        return self.stream.owner_of(hash_of(key_of(keys, tuple(self.key))))

    def _append(self, target: Shard, number: int, body: bytes) -> None:
        target.log.append(number, body, written_at=self._now())
        target.reopen_ending()

    def _take_number(self) -> int:
        self._next_shard += 1
        return self._next_shard - 1

    def _new_stream(self, view: str) -> Stream:
        if view not in VIEWS:
            raise ValueError(f"{view} is no stream view type")
        if self.streams and self.stream.disabled_at is None:
            raise ValueError(f"table {self.name} has an enabled stream already")
        self._last_label = max(self._now(), self._last_label + 0.001)
        label = datetime.fromtimestamp(self._last_label, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        arn = f"{self.arn}/stream/{label}"
        self.streams.append(Stream(arn, label, view, self._now(), self._now))
        return self.stream
