"""The ports of one worker on servers in memory."""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from replicator.core.leases.lease_owners import WorkerSign
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.planning.row_guard import Applied
from replicator.core.planning.write_plan import Refusals, WritePlan
from replicator.core.stream.claims import Advance, Claim
from replicator.core.stream.describe_stream_quota import OTHERS_SECONDS, TURNS_KEPT, Purpose
from replicator.core.stream.gap_proof import older_stream
from replicator.core.stream.table_and_shard_facts import (
    Belief,
    DeadLetterCounts,
    GapFacts,
    Halting,
    ListedShard,
    PolledShard,
    ShardFacts,
    StreamOver,
    TableFacts,
    parents_of,
)
from replicator.core.stream_record import Position
from replicator.core.table_spec import InitialLoad
from replicator.core.telemetry_events import GapKind
from replicator.errors import Fenced
from replicator.postgres.control.stream.shard_listing_turns import ABANDONED_SECONDS
from replicator.postgres.control.stream.table_and_shard_store import ENDED_SECONDS
from tests.support.fake_postgres import (
    TABLE_FIELDS,
    FakePostgres,
    GapRow,
    ListingRow,
    ShardName,
    ShardRow,
    WorkerRow,
    latest,
)
from tests.support.faults import Send


class FakeSink:
    """Plans of one table."""

    def __init__(self, server: FakePostgres, send: Send, mapping: TableMapping) -> None:
        self._server = server
        self._send = send
        self._mapping = mapping

    async def apply(self, plan: WritePlan, *, claim: Claim, advance: Advance) -> Applied:
        return await self._send(
            "apply", lambda: self._server.apply(plan, claim, advance, self._mapping)
        )

    async def refusals(self, plan: WritePlan, _others: Iterable[WritePlan] = (), /) -> Refusals:
        return await self._send("refusals", lambda: self._server.refusals(plan))


class FakeClaims:
    """The fence as one worker sees it."""

    def __init__(self, server: FakePostgres, send: Send, worker_id: str) -> None:
        self._server = server
        self._send = send
        self._worker_id = worker_id

    async def claim(
        self, source: str, stream_arn: str, shard_id: str, *, mapping_fingerprint: str
    ) -> Claim:
        return await self._send(
            "claim",
            lambda: self._server.claim(
                source, (stream_arn, shard_id), mapping_fingerprint, self._worker_id
            ),
        )

    async def looked(self, claim: Claim, *, at: datetime, head: bool) -> None:
        def work() -> None:
            shard = self._server.held_at(claim, claim.position)
            shard.polled_at = latest(shard.polled_at, at)
            shard.load = claim.load.records_a_minute
            if head:
                shard.head_at = latest(shard.head_at, at)
                shard.safe_at = latest(shard.safe_at, at)

        await self._send("looked", work)

    async def finish(self, claim: Claim, *, position: Position | None) -> None:
        def work() -> None:
            shard = self._server.held_at(claim, position)
            shard.state, shard.owner = "done", None
            shard.done_at = self._server.clock.now()

        await self._send("finish", work)

    async def switched(self, claim: Claim) -> bool:
        shard = self._server.data.shards.get((claim.stream_arn, claim.shard_id))
        return (
            shard is not None
            and shard.claim_id == claim.claim_id
            and shard.claimed_epoch == claim.epoch
            and shard.epoch > claim.epoch
        )

    async def leave(self, claim: Claim) -> None:
        def work() -> None:
            shard = self._server.data.shards.get((claim.stream_arn, claim.shard_id))
            if shard is not None and (shard.epoch, shard.claim_id) == (claim.epoch, claim.claim_id):
                shard.owner = None

        await self._send("leave", work)


class FakePositions:
    """What the control schema knows."""

    def __init__(self, server: FakePostgres, send: Send) -> None:
        self._server = server
        self._send = send

    async def tables(self, sources: Collection[str] | None = None) -> dict[str, TableFacts]:
        def work() -> dict[str, TableFacts]:
            rows = self._server.data.tables
            return {
                source: TableFacts(
                    **{name: getattr(rows[source], name) for name in TABLE_FIELDS},
                    gaps=tuple(gap.facts for gap in self._server.open_gaps(source)),
                    listed_seconds=self._listed_seconds(source),
                    listing_calls=self._listing_calls(source),
                )
                for source in (rows if sources is None else sources)
                if source in rows
            }

        return await self._send("tables", work)

    def _listed_seconds(self, source: str) -> float | None:
        row = self._server.data.listings.get(source)
        if row is None or row.listed_at is None:
            return None
        return (self._server.clock.now() - row.listed_at).total_seconds()

    def _listing_calls(self, source: str) -> int:
        row = self._server.data.listings.get(source)
        return 1 if row is None else row.calls

    async def shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        return await self._send(
            "shards",
            lambda: [
                shard.facts()
                for shard in self._server.data.shards.values()
                if shard.source in sources
            ],
        )

    async def open_shards(self, sources: Sequence[str]) -> list[ShardFacts]:
        return await self._send(
            "open_shards", lambda: [row.facts() for row in self._open_rows(sources)]
        )

    async def polled_shards(self, sources: Sequence[str]) -> list[PolledShard]:
        return await self._send(
            "polled_shards", lambda: [row.polled() for row in self._open_rows(sources)]
        )

    def _open_rows(self, sources: Sequence[str]) -> list[ShardRow]:
        now, data, asked = self._server.clock.now(), self._server.data, set(sources)
        before = now - timedelta(seconds=ENDED_SECONDS)
        polled: list[ShardRow] = []
        for source in asked:
            rows = data.polled.get(source, {})
            for name, row in list(rows.items()):
                if row.state == "done" and row.done_at is not None and row.done_at <= before:
                    del rows[name]
            polled += rows.values()
        current = {table.stream_arn for name, table in data.tables.items() if name in asked}
        current -= {row.stream_arn for row in polled}
        for row in data.shards.values() if current - {None} else ():
            if row.stream_arn in current and row.source in asked:
                current.discard(row.stream_arn)
                polled.append(row)
        return polled

    async def shards_named(self, stream_arn: str, names: Collection[str]) -> list[ShardFacts]:
        def work() -> list[ShardFacts]:
            shards = self._server.data.shards
            rows = [shards.get((stream_arn, name)) for name in names]
            return [row.facts() for row in rows if row is not None]

        return await self._send("shards_named", work)

    async def are_on_record(self, names: Collection[ShardName]) -> bool:
        shards = self._server.data.shards
        return await self._send("are_on_record", lambda: all(name in shards for name in names))

    async def ended_before(self, source: str, at: datetime) -> list[ShardFacts]:
        def work() -> list[ShardFacts]:
            rows = [row for row in self._server.data.shards.values() if row.source == source]
            ended = [row for row in rows if row.done_at is not None and row.done_at < at]
            parents = {(row.stream_arn, name) for row in ended for name in parents_of(row)}
            names = {row.name for row in ended if row.finished}
            return [
                row.facts()
                for row in rows
                if row.name in names | parents
                or any((row.stream_arn, parent) in names for parent in parents_of(row))
            ]

        return await self._send("ended_before", work)

    async def start(self, source: str, *, initial_load: InitialLoad, at: datetime) -> None:
        def work() -> None:
            table = self._server.data.tables[source]
            if table.start_at is None:
                table.initial_load, table.start_at = initial_load, at

        await self._send("start", work)

    async def add_shards(
        self,
        source: str,
        stream_arn: str,
        listed: Sequence[ListedShard],
        *,
        beside: Collection[str] = (),
    ) -> None:
        def work() -> None:
            if self._server.data.tables[source].stream_arn != stream_arn:
                return
            if any((stream_arn, name) not in self._server.data.shards for name in beside):
                message = f"a parent in {stream_arn} is not on record any more"
                raise Fenced(message)
            names = {shard.shard_id for shard in listed}
            for shard in listed:
                for parent in shard.parents:
                    if parent not in names:
                        named = ListedShard(parent, None, closed=False)
                        self._add(source, stream_arn, named, listed=False)
            for shard in listed:
                self._add(source, stream_arn, shard, listed=True)

        await self._send("add_shards", work)

    def _add(self, source: str, stream_arn: str, shard: ListedShard, *, listed: bool) -> None:
        shards = self._server.data.shards
        known = shards.get((stream_arn, shard.shard_id))
        if known is None:
            found_at = self._server.clock.now()
            known = shards[stream_arn, shard.shard_id] = ShardRow(
                source, stream_arn, shard.shard_id, shard.parent_id, listed, found_at
            )
            self._server.data.polled.setdefault(source, {})[known.name] = known
            known.adjacent_parent_id = shard.adjacent_parent_id
        elif listed and not known.listed:
            known.listed = True
            known.parent_id = known.parent_id or shard.parent_id
            known.adjacent_parent_id = known.adjacent_parent_id or shard.adjacent_parent_id

    async def forget_shard(self, stream_arn: str, shard_id: str) -> None:
        def work() -> None:
            shard = self._server.data.shards.get((stream_arn, shard_id))
            if shard is not None and shard.finished:
                self._server.on_forget(shard)
                del self._server.data.shards[stream_arn, shard_id]
                self._server.data.polled.get(shard.source, {}).pop(shard.name, None)

        await self._send("forget_shard", work)


class FakeHeartbeats:
    """The workers' rows."""

    def __init__(self, server: FakePostgres, send: Send) -> None:
        self._server = server
        self._send = send

    async def seen(
        self,
        worker_id: str,
        *,
        version: str,
        leases: int,
        beat: int | None = 0,
        looking: bool = True,
        load: float | None = 0.0,
    ) -> None:
        def work() -> None:
            row = self._server.data.workers.setdefault(worker_id, WorkerRow())
            row.beat, row.load = beat, load
            if looking:
                row.seen_at = self._server.clock.now()

        await self._send("seen", work)

    async def gone(self, worker_id: str) -> None:
        await self._send("gone", lambda: self._server.data.workers.pop(worker_id, None))

    async def workers(self) -> list[WorkerSign]:
        def work() -> list[WorkerSign]:
            now = self._server.clock.now()
            return [
                WorkerSign(name, row.beat, (now - row.seen_at).total_seconds(), row.asked, row.load)
                for name, row in self._server.data.workers.items()
            ]

        return await self._send("workers", work)

    async def asked(self, workers: Collection[str]) -> None:
        def work() -> None:
            for name in workers:
                if name in self._server.data.workers:
                    self._server.data.workers[name].asked += 1

        await self._send("asked", work)


class OlderHeartbeats(FakeHeartbeats):
    """The workers' rows as a worker sees them that knows nothing of heartbeats, nor of loads."""

    async def seen(
        self,
        worker_id: str,
        *,
        version: str,
        leases: int,
        beat: int | None = None,
        looking: bool = True,
        load: float | None = None,
    ) -> None:
        del beat, load
        await super().seen(
            worker_id, version=version, leases=leases, beat=None, looking=looking, load=None
        )

    async def workers(self) -> list[WorkerSign]:
        return [replace(sign, beat=None, asked=0, load=None) for sign in await super().workers()]

    async def asked(self, workers: Collection[str]) -> None:
        """It asks by the lease alone."""


class FakeListings:
    """Which worker lists a stream."""

    def __init__(self, server: FakePostgres, send: Send, worker_id: str) -> None:
        self._server = server
        self._send = send
        self._worker_id = worker_id

    async def begin(self, source: str, *, every_seconds: float, young_seconds: float = 0.0) -> bool:
        def work() -> bool:
            now, rows = self._server.clock.now(), self._server.data.listings
            row = rows.get(source)
            if row is not None:
                due = row.by is None and row.begun_at <= now - timedelta(seconds=every_seconds)
                silent = row.heard_at < now - timedelta(seconds=ABANDONED_SECONDS)
                if not due and not (row.by is not None and silent):
                    return False
                young = now - timedelta(seconds=young_seconds)
                if row.listed_at is not None and row.listed_at > young:
                    return False
            listed_at, calls = (None, 1) if row is None else (row.listed_at, row.calls)
            rows[source] = ListingRow(self._worker_id, now, now, listed_at, calls)
            return True

        return await self._send("begin_listing", work)

    async def keep(self, source: str) -> None:
        def work() -> None:
            row = self._server.data.listings.get(source)
            if row is not None and row.by == self._worker_id:
                row.heard_at = self._server.clock.now()

        await self._send("keep_listing", work)

    async def leave(self) -> None:
        def work() -> None:
            for row in self._server.data.listings.values():
                row.by = None if row.by == self._worker_id else row.by

        await self._send("leave_listings", work)

    async def end(self, source: str, *, proved: bool, calls: int | None = None) -> None:
        def work() -> None:
            row = self._server.data.listings.get(source)
            if row is None or row.by != self._worker_id:
                return
            row.by = None
            row.calls = row.calls if calls is None else calls
            if proved:
                row.listed_at = row.begun_at

        await self._send("end_listing", work)


class FakeTurns:
    """The turns of all workers in calling DescribeStream, as one worker takes them."""

    def __init__(self, server: FakePostgres, send: Send) -> None:
        self._server = server
        self._send = send
        self._own: deque[datetime] = deque(maxlen=TURNS_KEPT)

    async def take(self, purpose: Purpose, own_seconds: Sequence[float] = ()) -> float | None:
        calls_max = purpose.calls_max

        def work() -> tuple[datetime, float] | None:
            now, taken = self._server.clock.now(), self._server.data.describe_turns
            until = [
                *(at + timedelta(seconds=OTHERS_SECONDS) for at in taken if at not in self._own),
                *(now + timedelta(seconds=seconds) for seconds in own_seconds),
            ]
            earliest = [at + timedelta(microseconds=1) for at in taken[-1:]]
            earliest += sorted(until, reverse=True)[calls_max - 1 : calls_max]
            at = max([now, *earliest])
            if purpose.gives_way and at > now:
                return None
            self._server.data.describe_turns = [*taken[1 - TURNS_KEPT :], at]
            return at, (at - now).total_seconds()

        turn = await self._send("take_turn", work)
        if turn is None:
            return None
        self._own.append(turn[0])
        return turn[1]


class NoMoves:
    """For worlds whose tables have one kind of source: nothing is moved."""

    async def move(self, source: str, *, before: str, stream_arn: str, at: datetime) -> str | None:
        raise AssertionError(source, before, stream_arn, at)


class FakeIncidents:
    """Stops tables and shards, and lets them go on."""

    def __init__(self, server: FakePostgres, send: Send) -> None:
        self._server = server
        self._send = send

    async def halt(
        self, source: str, *, reason: str, remedy: str, seen: Belief | None = None
    ) -> Halting:
        def work() -> Halting:
            table = self._server.data.tables[source]
            before = table.halted
            now = Belief(table.stream_arn, table.mapping_fingerprint)
            if seen not in (None, now):
                return "stale"
            if not table.halted:
                table.halted, table.reason, table.remedy = True, reason, remedy
            self._server.raise_epochs(source)
            return "already" if before else "halted"

        return await self._send("halt", work)

    async def set_paused(self, source: str, *, paused: bool, who: str, why: str) -> None:
        def work() -> None:
            table = self._server.data.tables[source]
            table.paused = paused
            if not paused:
                table.halted, table.reason, table.remedy = False, None, None
            self._server.raise_epochs(source)

        await self._send("set_paused", work)

    async def add_gap(self, claim: Claim, *, kind: GapKind, detail: str) -> None:
        def work() -> None:
            shard = self._server.held_by(claim)
            shard.state, shard.owner, shard.gap_accepted_at = "gap", None, None
            shard.epoch += 1
            gaps, now = self._server.data.gaps, self._server.clock.now()
            facts = GapFacts(
                len(gaps) + 1, claim.source, claim.stream_arn, claim.shard_id, kind, detail, now
            )
            gaps.append(GapRow(facts))

        await self._send("add_gap", work)

    async def start_stream(
        self,
        source: str,
        stream_arn: str,
        *,
        label_at: datetime,
        detail: str,
        after: StreamOver | None = None,
    ) -> str | None:
        def work() -> str | None:
            data = self._server.data
            current = data.tables[source].stream_arn
            if after is not None and current != stream_arn:
                self._check_over(current, after)
            new = (source, stream_arn) not in data.generations
            data.generations.setdefault((source, stream_arn), label_at)
            known = [(at, arn) for (name, arn), at in data.generations.items() if name == source]
            newest = data.tables[source].stream_arn = max(known)[1]
            for shard in data.shards.values():
                if shard.source == source and shard.stream_arn != newest and shard.open:
                    shard.state, shard.owner = "gap", None
                    shard.epoch += 1
            older = newest != stream_arn
            if after is None if older else not new or len(known) == 1:
                return None
            if any(
                (gap.facts.stream_arn, gap.facts.shard_id) == (stream_arn, None)
                for gap in self._server.open_gaps(source)
            ):
                return None
            told = older_stream(stream_arn, newest) if older else detail
            for gap in self._server.open_gaps(source):
                gap.makes_current = False
            facts = GapFacts(
                len(data.gaps) + 1, source, stream_arn, None, "possible", told, label_at
            )
            data.gaps.append(GapRow(facts, makes_current=older))
            return told

        return await self._send("start_stream", work)

    async def add_break(
        self, source: str, stream_arn: str, *, detail: str, created_at: datetime | None = None
    ) -> bool:
        raise AssertionError("the changes of every table of the simulation reach its stream")

    async def end_break(self, source: str, stream_arn: str) -> bool:
        return False

    def _check_over(self, current: str | None, after: StreamOver) -> None:
        rows = {
            row.shard_id: row
            for row in self._server.data.shards.values()
            if row.stream_arn == current
        }
        read = rows.keys() if after.read is None else after.read
        unread = after.read is not None and not all(row.finished for row in rows.values())
        if current != after.stream_arn or read - rows.keys() or unread:
            message = f"{current} is not read to its end"
            raise Fenced(message)

    async def accept_gaps(
        self, source: str, *, who: str, why: str, gap_id: int | None = None
    ) -> int:
        def work() -> int:
            accepted = [
                gap
                for gap in self._server.open_gaps(source)
                if gap_id is None or gap.facts.id == gap_id
            ]
            for gap in accepted:
                gap.state = "accepted"
                if gap.facts.shard_id is None:
                    if gap.makes_current:
                        self._make_current(source, gap.facts.stream_arn)
                    self._accept_older_streams(source, gap.facts.stream_arn)
                else:
                    self._reopen((gap.facts.stream_arn, gap.facts.shard_id))
            return len(accepted)

        return await self._send("accept_gaps", work)

    def _make_current(self, source: str, stream_arn: str) -> None:
        data = self._server.data
        table = data.tables[source]
        if table.stream_arn == stream_arn:
            return
        newest = max(at for (name, _), at in data.generations.items() if name == source)
        at = max(self._server.clock.now(), newest + timedelta(microseconds=1))
        data.generations[source, stream_arn] = at
        table.stream_arn = stream_arn
        for shard in data.shards.values():
            if shard.source != source:
                continue
            if shard.stream_arn == stream_arn and shard.state == "gap":
                shard.state, shard.gap_accepted_at = "waiting", self._server.clock.now()
                shard.done_at = None
            elif shard.stream_arn != stream_arn and shard.open:
                shard.state = "gap"
        self._server.raise_epochs(source)

    def _reopen(self, name: ShardName) -> None:
        shard = self._server.data.shards.get(name)
        if shard is None or shard.state != "gap":
            return
        now = self._server.clock.now()
        labels = self._server.data.generations
        own = labels[shard.source, shard.stream_arn], shard.stream_arn
        shard.gap_accepted_at = now
        shard.epoch += 1
        if any((at, arn) > own for (source, arn), at in labels.items() if source == shard.source):
            shard.done_at = now
        else:
            shard.state = "waiting"

    def _accept_older_streams(self, source: str, newer: str) -> None:
        labels = self._server.data.generations
        for shard in self._server.data.shards.values():
            if shard.source != source or shard.state != "gap":
                continue
            own = labels[source, shard.stream_arn], shard.stream_arn
            if own < (labels[source, newer], newer):
                now = self._server.clock.now()
                shard.gap_accepted_at = shard.gap_accepted_at or now
                shard.done_at = shard.done_at or now

    async def close_gone_shard(self, claim: Claim) -> None:
        def work() -> None:
            shard = self._server.held_by(claim)
            shard.state, shard.owner = "gap", None
            shard.done_at = self._server.clock.now()
            shard.epoch += 1

        await self._send("close_gone_shard", work)

    async def close_never_owed(self, claim: Claim) -> None:
        def work() -> None:
            shard = self._server.held_at(claim, None)
            if shard.listed:
                message = f"shard {claim.shard_id} was listed meanwhile"
                raise Fenced(message)
            shard.state, shard.owner = "done", None
            shard.done_at = self._server.clock.now()
            shard.epoch += 1

        await self._send("close_never_owed", work)

    async def dead_letters(self, source: str) -> DeadLetterCounts:
        return await self._send(
            "dead_letters", lambda: DeadLetterCounts(self._server.open_letters(source), 0)
        )

    async def forget_dead_letters(self, source: str, *, retention_days: int) -> None:
        await self._send("forget_dead_letters", lambda: None)

    async def gaps(self) -> list[GapFacts]:
        return await self._send(
            "gaps",
            lambda: [replace(gap.facts) for gap in self._server.data.gaps if gap.state == "open"],
        )
