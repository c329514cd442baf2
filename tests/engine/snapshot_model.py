"""A model of snapshot, stream, guard and sweep as transactions that interleave at every lock.

It holds no SQL: each transaction is a generator that yields where PostgreSQL could let another one
go on, writes become visible at its end, and locks are held until then. `flaw` names one rule that
is left out, so that the tests can show that the schedules would notice.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeVar

FLAWS = (
    "page overwrites",
    "page does nothing on conflict, no tombstones",
    "tombstone looked at, not written first",
    "page unfenced",
    "page position saved before its rows",
    "page version newer than the stream",
    "scan before guard is committed",
    "guard entered without raising epochs",
    "guard left without raising epochs",
    "guard left before the last page",
    "removal without a tombstone",
    "versions pruned during a snapshot",
    "any version counts as seen",
    "stream does not say which snapshot it runs beside",
    "sweep by not exists",
    "sweep before the last page",
    "rejected item not marked as seen",
    "rejected change of the stream counts as seen",
    "gap during a snapshot does not start it anew",
    "snapshot started anew under its old number",
    "lambda reads the snapshot without locking it",
    "claims of the shard told apart by their epochs alone",
    "claims of segments told apart by their epochs alone",
)
"""Rules left out, one at a time."""

FLYING_MAX = 3
BAD = -1
"""A value that no row can hold."""

Mode = Literal["fence", "guard", "lambda"]
Key = int
Lock = tuple[str, int]
Token = tuple[int, int]
"""Epoch and number of a claim."""
Steps = Iterator[None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Version:
    """What orders the writes of one row; `snapshot`: the one it was last seen beside.

    Sequence 0: no change of the stream was written yet, so that a page may still be.
    """

    sequence: int
    snapshot: int


@dataclass(slots=True)
class Segment:
    """A part of the scan; `at` counts the keys whose page is committed."""

    keys: list[Key]
    epoch: int = 0
    claim: int = 0
    at: int = 0
    done: bool = False


@dataclass(slots=True)
class Postgres:
    """All that is committed."""

    rows: dict[Key, int] = field(default_factory=dict)
    versions: dict[Key, Version] = field(default_factory=dict)
    mode: Mode = "fence"
    snapshot: int = 0
    """The number of the snapshot under way; 0: none is."""
    begun: int = 0
    epoch: int = 0
    claim: int = 0
    position: int = 0
    segments: list[Segment] = field(default_factory=list)
    swept: bool = True
    wanted: bool = True
    """A snapshot is asked for; at first, the initial one."""


@dataclass(eq=False, slots=True)
class Transaction:
    """One transaction in flight."""

    steps: Steps = field(init=False)
    locks: set[Lock] = field(default_factory=set)
    rows: dict[Key, int | None] = field(default_factory=dict)
    versions: dict[Key, Version] = field(default_factory=dict)


class World:
    """Source, stream, workers and PostgreSQL, driven by one source of chance.

    `fails_over`: not where Lambda is at home, which delivers nothing again that it has confirmed.
    """

    def __init__(
        self,
        random: Random,
        *,
        flaw: str | None = None,
        home: Mode = "fence",
        fails_over: bool = False,
    ) -> None:
        self._random = random
        self._fails_over = fails_over
        self._flaw = flaw
        self._home: Mode = home
        self._keys = list(range(4))
        self.source = {key: 1 for key in self._keys if random.random() < 0.6}
        self.stream: list[tuple[Key, int | None]] = []
        self.horizon = 0
        self.delivered: set[int] = set()
        self.pg = self._new_postgres(home)
        self.pg.rows = {key: 0 for key in self._keys if random.random() < 0.5}  # of long ago
        self._held: dict[Lock, Transaction] = {}
        self._flying: list[Transaction] = []
        self._standby = deepcopy(self.pg)
        self._pages: list[tuple[int, Token, int, int, list[tuple[Key, int | None]]]] = []
        self._batches: list[tuple[Token, Mode, int, int, int]] = []
        self._claims: list[tuple[Token, Mode, int]] = []
        self._claims_made = 0
        self._early: dict[Key, int] | None = None
        self.kept: set[Key] = set()
        """Keys that had a row when the snapshot began and that the source never lacked since."""
        self.late_versions = False

    def _new_postgres(self, home: Mode) -> Postgres:
        return Postgres(mode=home)

    # The schedule

    def run(self) -> None:
        """Let chance decide for a while, then go on without faults until nothing is left to do."""
        changes = self._random.randint(4, 14)
        for _ in range(160):
            changes -= self._step(changes > 0)
        for _ in range(5000):
            self._step(changes=False, faults=False)
            if self.is_quiet():
                return
        raise AssertionError(f"did not come to rest: {self.pg}")

    def is_quiet(self) -> bool:
        """Whether nothing is left to do."""
        pg = self.pg
        read = (
            all(number in self.delivered for number in range(self.horizon, len(self.stream)))
            if self._home == "lambda"
            else pg.position == len(self.stream)
        )
        return (
            read
            and not self.pg.wanted
            and not self._flying
            and not self._pages
            and pg.snapshot == 0
            and pg.mode == self._home
            and (self._home == "lambda" or not pg.versions)
        )

    def is_equal(self) -> bool:
        """Whether the rows are what they must be."""
        for key in self._keys:
            value = self.source.get(key)
            if value == BAD:
                if key in self.kept and key not in self.pg.rows:
                    return False
            elif self.pg.rows.get(key) != value:
                return False
        return not self.late_versions

    def _step(self, changes: bool, *, faults: bool = True) -> bool:
        """Something that may happen now happens; True when it was a change of an item."""
        actions = [self._read_stream, self._scan, self._switch]
        actions += [self._write] if changes else []
        actions += [self._fly] * 3 if self._flying else []
        actions += [self._apply_batch] if self._batches else []
        actions += [self._load_page] if self._pages else []
        actions += [self._start_sweep] if self._may_sweep() else []
        if len(self._flying) > FLYING_MAX:
            actions = [self._fly]
        if faults and self._random.random() < 0.1:
            actions = [self._trim, self._crash, *[self._deliver_again] * 3, self._prune]
            if self._fails_over:
                actions = [self._trim, self._replicate, *[self._fail_over] * 3]
        action = self._random.choice(actions)
        action()
        return action == self._write

    def _crash(self) -> None:
        """What was read is forgotten; what was sent is still under way."""
        self._pages.clear()
        self._batches.clear()

    def _replicate(self) -> None:
        """The standby is now as the server is."""
        self._standby = deepcopy(self.pg)

    def _fail_over(self) -> None:
        """An asynchronous standby takes over: what it has not received is gone.

        Workers keep what they read and believe, and send it to the new server.
        """
        self._flying.clear()
        self._held.clear()
        self.pg = deepcopy(self._standby)
        self.kept.clear()
        if self.pg.position < self.horizon:
            self._lose(range(self.pg.position, self.horizon))

    def _claimed(self, of: Postgres | Segment) -> Token:
        """Fence off older claims; what tells this one from all others."""
        self._claims_made += 1
        of.epoch += 1
        of.claim = self._claims_made
        return of.epoch, of.claim

    def _is_over(self, token: Token, of: Postgres | Segment) -> bool:
        shared = isinstance(of, Postgres)
        flaw = f"claims of {'the shard' if shared else 'segments'} told apart by their epochs alone"
        return token[0] != of.epoch or (token[1] != of.claim and self._flaw != flaw)

    def _deliver_again(self) -> None:
        """Also what has left the stream since: somebody may have kept it."""
        if self._home == "lambda":
            self._deliver(sorted(self.delivered))

    def _prune(self) -> None:
        if self._flaw == "versions pruned during a snapshot":
            self.pg.versions.clear()

    def _apply_batch(self) -> None:
        self._start(self._apply, *_taken(self._batches, self._random))

    def _load_page(self) -> None:
        self._start(self._load, *_taken(self._pages, self._random))

    def _start_sweep(self) -> None:
        self._start(self._sweep, self.pg.snapshot)

    def _write(self) -> None:
        key = self._random.choice(self._keys)
        if key in self.source and self._random.random() < 0.4:
            del self.source[key]
            self.kept.discard(key)
        else:
            self.source[key] = BAD if self._random.random() < 0.15 else len(self.stream) + 2
        self.stream.append((key, self.source.get(key)))

    def _trim(self) -> None:
        """Records leave the stream unread: accepted at once, and a snapshot is asked for.

        What has left the stream before it was delivered is never delivered.
        """
        horizon = self._random.randint(self.horizon, len(self.stream))
        if self._home == "lambda":
            lost = [n for n in range(self.horizon, horizon) if n not in self.delivered]
            if self._flying:
                return
            self.pg.wanted |= bool(lost)
            self._batches = [b for b in self._batches if b[3] >= horizon or b[3] in self.delivered]
            self.horizon = horizon
        elif self.pg.position < horizon and ("shard", 0) not in self._held:
            self._lose(range(self.pg.position, horizon))
            self.horizon = horizon

    def _lose(self, lost: range) -> None:
        """A gap that is accepted, and that a snapshot is to heal."""
        self.pg.position = lost.stop
        self.pg.epoch += 1
        self.pg.wanted = True

    # Transactions

    def _start(self, body: Callable[..., Steps], *arguments: object) -> None:
        transaction = Transaction()
        transaction.steps = body(transaction, *arguments)
        self._flying.append(transaction)

    def _fly(self) -> None:
        """One step; at the end everything becomes visible at once, or nothing does."""
        transaction = self._random.choice(self._flying)
        try:
            next(transaction.steps)
            if self._random.random() >= 0.02:  # else the connection is lost
                return
        except StopIteration:
            self._commit(transaction)
        except RolledBack:
            pass
        self._flying.remove(transaction)
        for lock in transaction.locks:
            del self._held[lock]

    def _commit(self, transaction: Transaction) -> None:
        for key, value in transaction.rows.items():
            if value is None:
                self.pg.rows.pop(key, None)
            else:
                self.pg.rows[key] = value
        self.pg.versions.update(transaction.versions)
        if transaction.versions and self.pg.mode == "fence":
            self.late_versions = True

    def _lock(self, transaction: Transaction, lock: Lock) -> Steps:
        while self._held.get(lock, transaction) is not transaction:
            yield
        self._held[lock] = transaction
        transaction.locks.add(lock)

    # The stream

    def _read_stream(self) -> None:
        """A worker reads under its claim, or claims first: batches of older claims are late."""
        if self._home == "lambda":
            unread = range(self.horizon, len(self.stream))
            self._deliver([number for number in unread if number not in self.delivered])
            return
        if ("shard", 0) in self._held:
            return  # a claim waits for the transaction in flight
        pg = self.pg
        if not self._claims or self._random.random() < 0.5:
            self._claims.append((self._claimed(pg), pg.mode, pg.snapshot))
        end = min(len(self.stream), pg.position + self._random.randint(1, 3))
        if end > pg.position:
            self._batches.append((*self._random.choice(self._claims[-2:]), pg.position, end))

    def _deliver(self, numbers: list[int]) -> None:
        """Lambda hands over any record, in any order."""
        if numbers:
            number = self._random.choice(numbers)
            self._batches.append(((0, 0), "lambda", self.pg.snapshot, number, number + 1))

    def _apply(
        self, tx: Transaction, token: Token, mode: Mode, snapshot: int, start: int, end: int
    ) -> Steps:
        pg = self.pg
        if mode == "lambda":
            if self._flaw != "lambda reads the snapshot without locking it":
                yield from self._lock(tx, ("state", id(tx)))
                snapshot = pg.snapshot
        else:
            yield from self._lock(tx, ("shard", 0))
            if self._is_over(token, pg) or pg.position != start:
                raise RolledBack
        newest, rejected = self._coalesced(start, end)
        for key in sorted({*newest, *rejected}):
            if mode == "fence":
                yield from self._lock(tx, ("row", key))
                if key in newest:
                    tx.rows[key] = newest[key][1]
                continue
            yield from self._lock(tx, ("version", key))
            self._guard(tx, key, newest.get(key), snapshot)
            yield
        for key in tx.rows:
            yield from self._lock(tx, ("row", key))
            yield
        if mode == "lambda":
            self.delivered.update(range(start, end))
        else:
            pg.position = end  # visible only while the lock is held: nobody looks before

    def _guard(
        self, tx: Transaction, key: Key, change: tuple[int, int | None] | None, snapshot: int
    ) -> None:
        flaw = self._flaw
        known = self.pg.versions.get(key)
        sequence = known.sequence if known else 0
        if flaw == "stream does not say which snapshot it runs beside":
            snapshot = known.snapshot if known else 0
        if change is None:
            if flaw != "rejected change of the stream counts as seen":
                snapshot = known.snapshot if known else 0
            tx.versions[key] = Version(sequence, snapshot)
            return
        number, value = change
        if number > sequence:
            if not (value is None and flaw == "removal without a tombstone"):
                tx.versions[key] = Version(number, snapshot)
            tx.rows[key] = value

    def _coalesced(
        self, start: int, end: int
    ) -> tuple[dict[Key, tuple[int, int | None]], set[Key]]:
        """The newest convertible change of each key, and the keys that something was wrong with."""
        newest: dict[Key, tuple[int, int | None]] = {}
        rejected = set()
        for number in range(start, end):
            key, value = self.stream[number]
            if value == BAD:
                rejected.add(key)
            else:
                newest[key] = (number + 1, value)
        return newest, rejected

    # The snapshot

    def _switch(self) -> None:
        """Enter guard, or leave it: one transaction that waits for every lock it needs."""
        pg = self.pg
        if any(kind in ("shard", "state", "segment", "sweep") for kind, _ in self._held):
            return
        if pg.wanted and (pg.snapshot == 0 or self._may_start_anew()):
            self._enter()
        elif pg.snapshot and (pg.swept or self._flaw == "guard left before the last page"):
            self._leave()
        elif pg.mode == "fence" and not self._held:
            pg.versions.clear()

    def _may_start_anew(self) -> bool:
        return self._flaw != "gap during a snapshot does not start it anew"

    def _enter(self) -> None:
        pg = self.pg
        if self._flaw == "scan before guard is committed" and self._early is None:
            self._early = dict(self.source)
            return
        if not (pg.snapshot and self._flaw == "snapshot started anew under its old number"):
            pg.begun += 1
        pg.snapshot = pg.begun
        pg.mode = "lambda" if self._home == "lambda" else "guard"
        if self._flaw != "guard entered without raising epochs":
            pg.epoch += 1
        half = len(self._keys) // 2
        parts = (self._keys[:half], self._keys[half:])
        pg.segments = [Segment(list(part)) for part in parts]
        pg.swept = False
        pg.wanted = False
        removed = {key for key, value in self.stream if value is None}
        self.kept = {key for key in pg.rows if key in self.source and key not in removed}

    def _leave(self) -> None:
        pg = self.pg
        if self._flaw == "gap during a snapshot does not start it anew":
            pg.wanted = False
        pg.mode = self._home
        pg.snapshot = 0
        self._early = None
        if self._flaw != "guard left without raising epochs":
            pg.epoch += 1

    def _is_scanned(self) -> bool:
        return all(segment.done for segment in self.pg.segments)

    def _scan(self) -> None:
        """A worker claims a segment and reads its next page; older pages stay in the air."""
        pg = self.pg
        open_segments = self._open_segments()
        if pg.snapshot == 0 or not open_segments:
            return
        number = self._random.choice(open_segments)
        segment = pg.segments[number]
        if ("segment", number) in self._held:
            return
        token = self._claimed(segment)
        items = self._items_of(segment, self._random.randint(1, 2))
        self._pages.append((number, token, pg.snapshot, segment.at, items))
        if self._flaw == "page position saved before its rows":
            segment.at += len(items)
            segment.done = segment.at == len(segment.keys)

    def _open_segments(self) -> list[int]:
        return [n for n, segment in enumerate(self.pg.segments) if not segment.done]

    def _items_of(self, segment: Segment, items_max: int) -> list[tuple[Key, int | None]]:
        """The segment's next items as they are now."""
        found = self.source if self._early is None else self._early
        keys = segment.keys[segment.at : segment.at + items_max]
        return [(key, found.get(key)) for key in keys]

    def _load(
        self,
        tx: Transaction,
        number: int,
        token: Token,
        snapshot: int,
        at: int,
        items: list[tuple[Key, int | None]],
    ) -> Steps:
        flaw = self._flaw
        if number >= len(self.pg.segments):  # a failover has lost them
            raise RolledBack
        segment = self.pg.segments[number]
        yield from self._lock(tx, ("segment", number))
        fits = not self._is_over(token, segment) and (segment.at, segment.done) == (at, False)
        same = any(each is segment for each in self.pg.segments)
        current = same and self.pg.snapshot == snapshot
        fenced = flaw not in ("page unfenced", "page position saved before its rows")
        if fenced and not (fits and current):
            raise RolledBack
        for key, value in items:
            yield from self._load_line(tx, key, value, snapshot)
        for key in tx.rows:
            yield from self._lock(tx, ("row", key))
            yield
        if fits and flaw != "page position saved before its rows":
            segment.at += len(items)
            segment.done = segment.at == len(segment.keys)

    def _load_line(self, tx: Transaction, key: Key, value: int | None, snapshot: int) -> Steps:
        if value is not None:
            yield from self._load_item(tx, key, value, snapshot)

    def _load_item(self, tx: Transaction, key: Key, value: int, snapshot: int) -> Steps:
        flaw, pg = self._flaw, self.pg
        if flaw == "page overwrites":
            tx.rows[key] = value
            return
        if flaw == "page does nothing on conflict, no tombstones":
            yield from self._lock(tx, ("row", key))
            if key not in pg.rows:
                tx.rows[key] = value
            return
        if flaw == "tombstone looked at, not written first":
            seen = pg.versions.get(key)
            yield
            if seen is None or seen.snapshot != snapshot:
                tx.rows[key] = value
            return
        yield from self._lock(tx, ("version", key))
        known = pg.versions.get(key)
        sequence = known.sequence if known else 0
        if (
            known is not None
            and sequence > 0
            and (known.snapshot == snapshot or flaw == "any version counts as seen")
        ):
            return
        if flaw == "page version newer than the stream":
            sequence = len(self.stream)
        if value != BAD:
            tx.rows[key] = value
        elif flaw == "rejected item not marked as seen":
            return
        tx.versions[key] = Version(sequence, snapshot)
        yield

    # The sweep

    def _may_sweep(self) -> bool:
        pg = self.pg
        scanned = self._is_scanned() or self._flaw == "sweep before the last page"
        return pg.snapshot > 0 and not pg.swept and scanned

    def _sweep(self, tx: Transaction, snapshot: int) -> Steps:
        pg = self.pg
        yield from self._lock(tx, ("sweep", 0))
        if pg.snapshot != snapshot:
            raise RolledBack
        candidates = [key for key in sorted(pg.rows) if not self._is_seen(key, snapshot)]
        yield
        for key in candidates:
            if self._flaw == "sweep by not exists":
                yield from self._lock(tx, ("row", key))
                tx.rows[key] = None
                yield
                continue
            yield from self._lock(tx, ("version", key))
            if not self._is_seen(key, snapshot):
                known = pg.versions.get(key)
                tx.versions[key] = Version(known.sequence if known else 0, snapshot)
                tx.rows[key] = None
            yield
        pg.swept = True

    def _is_seen(self, key: Key, snapshot: int) -> bool:
        known = self.pg.versions.get(key)
        if known is None:
            return False
        return known.snapshot == snapshot or self._flaw == "any version counts as seen"


def _taken(waiting: list[T], random: Random) -> T:
    return waiting.pop(random.randrange(len(waiting)))


class RolledBack(Exception):
    """The transaction wrote nothing."""
