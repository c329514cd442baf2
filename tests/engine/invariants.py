"""What must hold after every commit and when everything is at rest: V1 to V9 and V12."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from replicator.core.stream.claims import Claim
from tests.engine.ledger import NOT_OWED_SECONDS, Entry, Ledger
from tests.support.fake_leases import LeaseTable
from tests.support.fake_postgres import Committed, Data, FakePostgres, ShardName, ShardRow


@dataclass(slots=True)
class Invariants:
    """Collects violations: an engine's task must not see them as failures of its own."""

    postgres: FakePostgres
    leases: LeaseTable
    ledger: Ledger
    violations: list[str] = field(default_factory=list)
    rewound: bool = False
    """PostgreSQL once lost commits: checkpoints may be ahead of it."""
    _epochs: dict[ShardName, int] = field(default_factory=dict)
    _positions: dict[ShardName, int] = field(default_factory=dict)
    _batches: set[tuple[ShardName, int | None]] = field(default_factory=set)
    _known: set[ShardName] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.postgres.on_claim = self._claimed
        self.postgres.on_commit = self._committed
        self.postgres.on_forget = self._forgotten

    def failed_over(self) -> None:
        """Another timeline: what is counted begins anew."""
        data = self.postgres.data
        self.rewound = True
        self._epochs = {name: row.epoch for name, row in data.shards.items()}
        self._positions = {}
        self._batches = set()
        self._known = set(data.shards)

    def check(self) -> None:
        """What must hold at any moment."""
        data = self.postgres.data
        for name in self._known - set(data.shards) - data.forgotten:
            self._say(f"V8 {name[1]} has vanished")
        self._known |= set(data.shards)
        for row in data.shards.values():
            self._check_lineage(data, row)
            self._check_end(data, row)
        self._check_checkpoints(data)
        self._check_letters(data)
        self._check_rows("at rest")

    def check_settled(self) -> None:
        self.check()
        for entry in self.ledger.unread(self.postgres.data):
            self._say(f"V10 {entry} was never applied")

    def _claimed(self, claim: Claim) -> None:
        name = claim.stream_arn, claim.shard_id
        if claim.epoch <= self._epochs.get(name, 0) and "epoch" in self.postgres.fence:
            self._say(f"V2 the epoch of {name[1]} did not grow")
        self._epochs[name] = claim.epoch

    def _forgotten(self, row: ShardRow) -> None:
        self._check_end(self.postgres.data, row)
        self.postgres.data.forgotten.add(row.name)

    def _committed(self, committed: Committed) -> None:
        claim, advance = committed.claim, committed.advance
        name = claim.stream_arn, claim.shard_id
        if claim.epoch < self._epochs.get(name, 0):
            self._say(f"V6 a worker wrote to {name[1]} after another had claimed it")
        if advance.position <= self._positions.get(name, -1):
            self._say(f"V2 the position of {name[1]} went back")
        self._positions[name] = advance.position
        if (name, advance.expected) in self._batches:
            self._say(f"V7 two batches begin at {advance.expected} of {name[1]}")
        self._batches.add((name, advance.expected))
        self._check_complete(committed, name)
        self._check_order(name)
        self._check_rows(f"after a commit of {name[1]}")

    def _check_complete(self, committed: Committed, name: ShardName) -> None:
        """Every record of the range is in the batch, or is lost and somebody was told."""
        advance = committed.advance
        entries = self.ledger.within(name, after=advance.expected, to=advance.position)
        count = sum(committed.plan.outcomes.values())
        if count == len(entries):
            self.ledger.lost.difference_update(entries)
            return
        skipped = [entry for entry in entries if entry in self.ledger.lost]
        if count < len(entries) - len(skipped) or count > len(entries):
            self._say(f"V9 a batch of {name[1]} has {count} records, not {len(entries)}")
        for entry in skipped[: len(entries) - count]:
            self._check_told(entry, "was skipped", begun=advance.expected is not None)

    def _check_order(self, name: ShardName) -> None:
        newest = self.postgres.data.tables[self._source(name)].stream_arn
        if newest is not None and name[0] < newest:  # labels are times
            self._say(f"V3 {name[1]} of an older stream was written")

    def _check_lineage(self, data: Data, row: ShardRow) -> None:
        begun = row.position is not None or row.state == "active"
        for parent_id in _parents(row):
            parent = data.shards.get((row.stream_arn, parent_id))
            if parent is not None and begun and not parent.finished:
                self._say(f"V3 {row.shard_id} was begun before its parent was finished")

    def _check_end(self, data: Data, row: ShardRow) -> None:
        if not row.finished:
            return
        position = self.ledger.position(data, row.name)
        for entry in self.ledger.entries.get(row.name, ()):
            if entry.number > position:
                if entry not in self.ledger.lost:
                    self._say(f"V4 {row.shard_id} is {row.state} without {entry}")
                else:
                    begun = row.position is not None
                    self._check_told(entry, f"is not in a shard that is {row.state}", begun=begun)

    def _check_told(self, entry: Entry, what: str, *, begun: bool) -> None:
        """A lost record is silent loss, unless a gap is on record or it was never promised.

        `begun`: something of the shard was read before, so that all that follows is owed.
        """
        row = self.postgres.data.shards.get(entry.shard)
        if row is not None:
            found_at = row.found_at.timestamp()
            for parent_id in _parents(row):
                parent = self.postgres.data.shards.get((row.stream_arn, parent_id))
                if parent is not None:
                    found_at = min(found_at, parent.found_at.timestamp())
            if not (row.listed or begun) or entry.at < found_at - NOT_OWED_SECONDS:
                return
        told = {(gap.facts.stream_arn, gap.facts.shard_id) for gap in self.postgres.data.gaps}
        if entry.shard not in told and not any(
            arn > entry.shard[0] for arn, shard_id in told if shard_id is None
        ):
            self._say(f"V9 {entry} {what}, and nobody was told")

    def _check_checkpoints(self, data: Data) -> None:
        if self.rewound:
            return
        for lease in self.leases.rows.values():
            arn, _, shard_id = lease.key.removeprefix(self.leases.prefix).rpartition(":")
            row = data.shards.get((arn, shard_id))
            if row is None:
                continue
            if lease.checkpoint.isdigit() and int(lease.checkpoint) > (row.position or -1):
                self._say(f"V5 the checkpoint of {shard_id} is ahead of PostgreSQL")
            if lease.checkpoint == "SHARD_END" and not row.finished:
                self._say(f"V5 the lease of {shard_id} says SHARD_END")

    def _check_letters(self, data: Data) -> None:
        """The newest change of an item is set aside where it is rejected; older letters are closed.

        An older rejected change of the same batch leaves no letter: it is superseded at once.
        """
        newest: dict[str, Entry] = {}
        for entry in self._applied(data):
            newest[entry.key] = entry
        for entry in newest.values():
            for target in self.ledger.rejected(entry):
                letter = data.letters.get((entry.shard[0], item(entry.key), entry.number, target))
                if letter is None:
                    self._say(f"V9 {entry} is no dead letter of {target}")
        for (_, _, number, target), letter in data.letters.items():
            open_one = any(
                item(entry.key) == letter.item_key and entry.number == number
                for entry in newest.values()
            )
            if letter.state != ("open" if open_one else "superseded"):
                self._say(f"V9 the dead letter {number} of {target} is {letter.state}")

    def _applied(self, data: Data) -> Iterator[Entry]:
        """Every change at or below the positions, in lineage order."""
        for stream in self.ledger.streams:
            for shard in stream.shards.values():
                name = stream.arn, shard.shard_id
                position = self.ledger.position(data, name)
                for entry in self.ledger.entries.get(name, ()):
                    if entry.number <= position and entry not in self.ledger.lost:
                        yield entry

    def _check_rows(self, when: str) -> None:
        differences = self.ledger.differences(self.postgres.data)
        if differences:
            self._say(f"V1 {when}: " + "; ".join(differences))

    def _source(self, name: ShardName) -> str:
        return self.postgres.data.shards[name].source

    def _say(self, violation: str) -> None:
        if violation not in self.violations:
            self.violations.append(violation)


def _parents(row: ShardRow) -> list[str]:
    """The one parent, or two; written once more, to be no witness of the engine's own."""
    return [parent for parent in (row.parent_id, row.adjacent_parent_id) if parent is not None]


def item(key: str) -> str:
    """An item's key as dead letters name it."""
    return f'{{"pk":{{"S":"{key}"}}}}'
