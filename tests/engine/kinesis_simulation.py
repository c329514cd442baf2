"""The simulated workers on a Kinesis stream: records come twice, late, and of one time."""

from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

from replicator.core.stream.ordering_mode import OrderingMode
from replicator.engine.ports import Source
from replicator.engine.stream.shard_discovery import NewestStream
from replicator.sources.dynamodb.describe_stream_pace import DescribeStreamPace
from replicator.sources.kinesis.streams import KinesisShare, KinesisStreams, ShardPace
from tests.engine.invariants import Invariants
from tests.engine.ledger import ALL, ANYTHING, BIG, Entry, Ledger, Value
from tests.engine.simulation import SOURCE, Simulation, mapping
from tests.support.fake_kinesis import HASHES, FakeKinesis, FakeKinesisClient
from tests.support.fake_postgres import Data, Row, ShardName
from tests.support.faults import Send
from tests.support.kinesis_tables import Precision, kinesis_data

KINESIS = "arn:aws:kinesis:us-east-1:000000000000:stream/changes"
Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Published(Entry):
    """A record as it lies in a shard. `order`: of the change that it tells of, among all."""

    order: int


@dataclass(slots=True)
class Change:
    """A change of the table whose record is made, and was put `times` times."""

    order: int
    key: str
    value: Value
    big: bool
    data: bytes
    precision: Precision
    times: int = 0


@dataclass(slots=True)
class KinesisLedger(Ledger):
    """Every record ever put, by shard, and the order of the changes that they tell of."""

    items: dict[str, Item] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    micros: int = 0
    tied: bool = False
    """True where the newest change has the time of the one before it."""

    @property
    def kinesis(self) -> FakeKinesis:
        return cast("FakeKinesis", self.table)

    def make(
        self, key: str, value: Value, *, big: bool, at: float, tie: bool, precision: Precision
    ) -> Change | None:
        """Change an item; None where that changes nothing. `tie`: in the same moment as the change
        before, if that was one of the same item, in the same precision, with a time of its own.
        """
        self.keys.add(key)
        old, new = self.items.get(key), None
        if value is not None:
            new = {"pk": {"S": key}, "n": {"N": str(value)}}
            new |= {"kind": {"S": "big"}} if big else {}
        if old == new:
            return None
        before = self.changes[-1] if self.changes else None
        same = before is not None and (before.key, before.precision) == (key, precision)
        self.tied = tie and same and not self.tied
        if not self.tied:
            self.micros = max(self.micros + 1000, int(at * 1_000_000))
        if new is None:
            del self.items[key]
        else:
            self.items[key] = new
        data = kinesis_data(SOURCE, old, new, micros=self.micros, precision=precision)
        made = Change(len(self.changes), key, value, big, data, precision)
        self.changes.append(made)
        return made

    def put(self, change: Change, place: int, *, at: float) -> None:
        """Put the record of a change where that hash belongs."""
        shard_id, number = self.kinesis.put(place, change.data)
        change.times += 1
        name = self.kinesis.arn, shard_id
        self.entries.setdefault(name, []).append(
            Published(name, number, change.key, change.value, change.big, at, change.order)
        )

    def note_trimmed(self, data: Data) -> None:
        for shard in self.kinesis.shards.values():
            name = self.kinesis.arn, shard.shard_id
            position = self.position(data, name)
            for index, entry in enumerate(self.entries.get(name, ())):
                if entry.number > position and (shard.gone or index < shard.first):
                    self.lost.add(entry)

    def unread(self, data: Data) -> list[Entry]:
        return [
            entry
            for name, entries in self.entries.items()
            if not self._is_stopped(data, name)
            for entry in entries
            if entry.number > self.position(data, name) and entry not in self.lost
        ]

    def expected(self, data: Data) -> dict[str, dict[Row, Any]]:
        """Of each item the newest of the changes that were applied, in whatever order."""
        newest: dict[str, tuple[int, bool, Entry]] = {}
        for name, entries in self.entries.items():
            position = self.position(data, name)
            for entry in entries:
                applied = entry.number <= position and entry not in self.lost
                if applied or entry in self.lost:
                    order = cast("Published", entry).order
                    found = (order, applied, entry)
                    newest[entry.key] = max(
                        newest.get(entry.key, found), found, key=lambda each: each[:2]
                    )
        rows: dict[str, dict[Row, Any]] = {ALL: {}, BIG: {}}
        for key, (_, applied, entry) in newest.items():
            for target in (ALL, BIG):
                if not applied:
                    rows[target][key,] = ANYTHING
                elif entry.value is not None and (target == ALL or entry.big):
                    rows[target][key,] = (key, str(entry.value))
        return rows

    def _is_stopped(self, data: Data, name: ShardName) -> bool:
        row = data.shards.get(name)
        return row is not None and row.state == "gap"


@dataclass(slots=True)
class KinesisSimulation(Simulation):
    """A table that publishes its changes to a Kinesis stream, which keeps none of their order."""

    held: list[Change] = field(default_factory=list)
    """Changes whose record is still on its way."""
    kinesis: FakeKinesis = field(init=False)

    def __post_init__(self) -> None:
        Simulation.__post_init__(self)
        self.kinesis = FakeKinesis(KINESIS, SOURCE, now=self.clock.timestamp)
        self.postgres.register(mapping(kinesis=KINESIS))
        self.postgres.data.tables[SOURCE].ordering = OrderingMode.GUARD
        self.ledger = KinesisLedger(cast("Any", self.kinesis), streams=[cast("Any", self.kinesis)])
        self.invariants = Invariants(self.postgres, self.leases, self.ledger)

    @property
    def published(self) -> KinesisLedger:
        return cast("KinesisLedger", self.ledger)

    def change(
        self, key: str, value: Value, *, big: bool, tie: bool, late: bool, precision: Precision
    ) -> None:
        """Change an item; the record of a `late` one comes when `deliver_held` says so."""
        at = self.clock.timestamp()
        made = self.published.make(key, value, big=big, at=at, tie=tie, precision=precision)
        if made is not None and late:
            self.held.append(made)
        elif made is not None:
            self.published.put(made, place_of(made.key), at=at)

    def shard_of(self, key: str) -> str:
        """The open shard that records of the item are put into."""
        [found] = [
            shard.shard_id
            for shard in self.kinesis.open_shards()
            if shard.span[0] <= place_of(key) < shard.span[1]
        ]
        return found

    def deliver_held(self, chance: Random) -> None:
        """What was on its way arrives, in any order."""
        chance.shuffle(self.held)
        for change in self.held:
            self.published.put(change, place_of(change.key), at=self.clock.timestamp())
        self.held.clear()

    def repeat(self, chance: Random) -> None:
        """A record comes again, anywhere."""
        again = [change for change in self.published.changes if change.times]
        if again:
            at = self.clock.timestamp()
            self.published.put(chance.choice(again), chance.randrange(HASHES), at=at)

    def settle(self, chance: Random) -> None:
        self.deliver_held(chance)
        Simulation.settle(self, chance)

    def jump(self, seconds: float) -> None:
        self.jumped_seconds += seconds
        self.loop.suspend(seconds)
        self.reap()
        self.kinesis.trim()
        self.ledger.note_trimmed(self.postgres.data)

    def source(self, send: Send, pace: DescribeStreamPace) -> Source:
        del pace
        client = FakeKinesisClient(
            self.kinesis, send, page_records_max=lambda: self.page_records_max
        )
        streams = KinesisStreams(client, lambda _: None, pace=ShardPace())
        return KinesisShare(streams, table=SOURCE, base64="twice")

    async def describe(self, send: Send) -> NewestStream:
        return await send("describe", partial(NewestStream, self.kinesis.arn, self.clock.now()))

    @property
    def kinesis_arn(self) -> str | None:
        return KINESIS


def place_of(key: str) -> int:
    """The hash of an item's key: all of its records go one way."""
    return ord(key) * 9973 % HASHES
