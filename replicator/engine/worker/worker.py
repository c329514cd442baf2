"""The worker polls tables, leases and shards every few seconds, decides, acts, polls again."""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import nullcontext, suppress
from datetime import datetime
from functools import partial

from replicator.clock import Clock
from replicator.core.check_findings import how_to_go_on
from replicator.core.leases.lease_plan import (
    Lease,
    home_share,
    plan_leases,
)
from replicator.core.snapshot.snapshot_state import is_segment_name
from replicator.core.stream.listing_interval import listing_seconds
from replicator.core.stream.shard_lineage import ShardName, awaits_children
from replicator.core.stream.source_kind import KINESIS, kind_of
from replicator.core.stream_record import Position
from replicator.core.telemetry_events import MappingSuperseded, TableHalted
from replicator.engine.backoff import stopped_within
from replicator.engine.ports import ControlPorts, Leases
from replicator.engine.snapshot.read_rate_limit import ReadPacing
from replicator.engine.snapshot.segment_load import SegmentRunner
from replicator.engine.stream.shard_replicator import (
    Ending,
    ShardReplicator,
    ShardTask,
    SharedParts,
)
from replicator.engine.task_groups import for_each, one_failure, unless_stopped
from replicator.engine.worker.lease_keeper import (
    CALLS_AT_ONCE,
    HeldLease,
    LeaseKeeper,
    checkpoint_text,
    checkpointed_position,
)
from replicator.engine.worker.lease_owner_lookup import LeaseOwnerLookup
from replicator.engine.worker.refresh_and_advance_tables import TableAdvancer
from replicator.engine.worker.supervisor import Halt, Job, Reporting, end_silent_task, supervise
from replicator.engine.worker.table_runtime_state import (
    Runner,
    Running,
    Table,
    Unit,
    WorkerSettings,
)
from replicator.errors import NotClaimable, ReplicatorError

CHILDREN_SECONDS = 1.0
"""Seconds between two listings of a stream while a shard has ended without known children."""
KEEP_SECONDS = 5.0
"""Seconds between two signs of life of a listing."""
SILENT_LISTING_SECONDS_MAX = 120.0
"""Seconds without a page after which a listing gives no more signs of life: longer than the wait
for turns, and much longer than the wait for an answer."""
FIRST_LISTINGS, FIRST_LISTINGS_A_SECOND = 20, 12.0
"""So many discoveries of unlisted streams begin at once, and the others a little faster than AWS
lets their calls be made: the calls of the first need not wait for the preparations of all."""
LISTINGS_AT_ONCE = 4
"""Streams on record that one worker lists at a time: a listing that is begun is nobody else's, and
must not wait for those of hundreds of others."""
STUCK_SECONDS = 120.0
"""Longer than any bounded call of a shard task may take."""
AWAITING_SECONDS = 1.0
"""Seconds between two looks while a lease is to be handed over, or another worker was quicker to
take one: nobody may read a shard then."""
REFUSALS_A_LOOK_MAX = 16
"""Leases that one look cannot add, or take, before it gives up: of a lease table that refuses half
of the calls it has the other half, and one that is away is not called for each lease."""
TAKING_SECONDS_MAX = 10.0
"""Seconds that one look may take leases for: what is still free then is planned again."""
DRAIN_SECONDS_MAX = 6.0
RELEASE_SECONDS_MAX = 2.5
"""Bounds on draining and on giving the leases back. Together they keep the promise that SIGTERM
ends the process in less than ten seconds."""


class Worker:
    """Works on the shards of all the tables that it holds leases for."""

    def __init__(
        self,
        settings: WorkerSettings,
        tables: Sequence[Table],
        *,
        control: ControlPorts,
        table_advancer: TableAdvancer,
        pacing: ReadPacing,
        leases: Leases,
        reporting: Reporting,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.tables = {table.name: table for table in tables}
        self._control = control
        self._table_advancer = table_advancer
        self._pacing = pacing
        self._leases = leases
        self._reporting = reporting
        self._observe = reporting.observe
        self._clock = clock
        self._beat = reporting.beat
        self.holding = LeaseKeeper(
            leases, reporting.observe, clock, lease_seconds=settings.lease_seconds
        )
        self._ownership = LeaseOwnerLookup(
            leases,
            control.heartbeats,
            self.holding,
            clock,
            worker_id=settings.worker_id,
            lease_seconds=settings.lease_seconds,
            plan_seconds=settings.plan_seconds,
        )
        self.running: dict[str, Running] = {}
        self.looked_at: float | None = None
        """Monotonic time of the last complete poll."""
        self.left = False
        """True when the worker has given everything back, or is about to."""
        self._look_now = asyncio.Event()
        self._discovering = set[str]()
        self._listing_room = asyncio.Semaphore(LISTINGS_AT_ONCE)
        self.listing_seconds = settings.discover_seconds
        """Seconds between two listings of a stream, by whichever worker."""
        self._superseded = set[str]()
        self._created: set[str] = set()
        self._missing: Set[str] = frozenset()
        """Keys that had no lease at the last look."""
        self._turned_at = clock.monotonic()
        """Monotonic time of the last progress of a poll."""
        self._renew_seconds = min(1.0, settings.lease_seconds / 8)
        self._load = 0.0
        """Records a minute of the shards of this worker, as of the last look."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until asked to stop; then drain, checkpoint and give every lease back."""
        try:
            async with asyncio.timeout(None) as deadline, one_failure() as tasks:
                for job in self._jobs(tasks, stopping):
                    tasks.create_task(self._supervise(job, stopping), name=job.name)
                await stopping.wait()
                deadline.reschedule(asyncio.get_running_loop().time() + DRAIN_SECONDS_MAX)
                self._look_now.set()
                for running in self.running.values():
                    running.stopping.set()
        except TimeoutError:
            pass  # what did not end was cancelled: its batch is committed or is not
        await self._leave()

    async def behind(self, at: datetime) -> frozenset[str]:
        """The tables of which some change created before `at` may not be applied yet, by any
        worker.

        Tables that no worker can help, such as a halted one, are left out.
        """
        tables = list(self.tables.values())
        try:
            shards = await self._table_advancer.refresh_with_positions(tables)
        except ReplicatorError:
            return frozenset(self.tables)
        return frozenset(
            table.name
            for table in tables
            if self.tables[table.name] is not table  # taken up again meanwhile, and not read yet
            or not table.is_caught_up(at, shards[table.name])
        )

    def _jobs(self, tasks: asyncio.TaskGroup, stopping: asyncio.Event) -> list[Job]:
        return [
            Job("look", None, lambda: self._look(tasks, stopping)),
            Job("renew", None, lambda: self._renew(stopping)),
            Job("tell", None, lambda: self._tell(stopping)),
            Job("give up", None, lambda: self._give_up(stopping)),
        ]

    def take_up(self, table: Table) -> None:
        """Work on one more table, from the next look on, which is now.

        Or on one that has another mapping now: what runs for the former one finishes the batch and
        begins again, with the same leases. No other table hears of it.
        """
        former = self.tables.get(table.name)
        if former is not None:
            table.continues(former)
            for key, held in self.holding.held.items():
                if held.table == table.name and key in self.running:
                    running = self.running[key]
                    running.kept = not running.stopping.is_set()
                    running.stopping.set()
        self.tables[table.name] = table
        self._look_now.set()

    def _start_discovering(self, tasks: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        """Run the discovery of every table, also of those taken up since the last look."""
        new = [
            table
            for table in self.tables.values()
            if table.polled and table.name not in self._discovering
        ]
        unlisted = 0
        for table in new:
            self._discovering.add(table.name)
            job = Job(
                f"discover {table.name}",
                table.name,
                partial(self._discover, table.name, stopping),
                halting=partial(self._halting_by_name, table.name),
                cap_seconds=30.0,
            )
            unlisted += table.unlisted
            ahead = max(0, unlisted - FIRST_LISTINGS) if table.unlisted else 0
            after = ahead / FIRST_LISTINGS_A_SECOND
            tasks.create_task(self._supervise_after(after, job, stopping), name=job.name)

    async def _supervise_after(self, seconds: float, job: Job, stopping: asyncio.Event) -> None:
        if not await stopped_within(stopping, seconds):
            await self._supervise(job, stopping)

    async def _supervise(self, job: Job, stopping: asyncio.Event) -> None:
        await supervise(job, stopping, observe=self._observe, clock=self._clock, beat=self._beat)

    # Discovery: what there is

    async def _discover(self, name: str, stopping: asyncio.Event) -> bool | None:
        """Make one look at the source, where this worker is to look, and wait for the next one.

        None while a look has failed and no worker has listed the source since.
        """
        table = self.tables[name]  # as of the last look
        skipped = self._is_skipped(table)
        if not skipped:
            await unless_stopped(stopping, self._list_in_turn(table))
        self._beat(f"discover {table.name}")
        await self._wait_for_next_discovery(table, stopping, skipped=skipped)
        return None if table.listing_fails else stopping.is_set()

    @staticmethod
    def _is_skipped(table: Table) -> bool:
        """True where the source is not listed: the table is halted, or another worker's."""
        return table.facts is None or table.facts.halted or table.superseded

    async def _list_in_turn(self, table: Table) -> None:
        """List the source where that is due by then, behind those of other tables that came before,
        unless it is urgent.
        """
        urgent = table.unlisted or self._awaits_children(table)
        async with nullcontext() if urgent else self._listing_room:
            if self.tables[table.name] is table and not self._is_skipped(table):
                await self._list_if_due(table)

    async def _list_if_due(self, table: Table) -> None:
        """List the source where that is due, and for this worker to do."""
        every = 0.0 if table.awaits_listing else self._listing_seconds(table)
        # what others have listed since this worker knows the table counts, seen or not
        begun_at, now = table.begun_at, self._clock.monotonic()
        young = 0.0 if table.discovered or begun_at is None else now - begun_at
        if await self._control.listings.begin(table.name, every_seconds=every, young_seconds=young):
            table.listing_failed_at = self._clock.monotonic()  # until it is known to be good
            await self._list(table)
            table.listing_failed_at = None

    async def _list(self, table: Table) -> None:
        """List the source for all workers; the listing counts once every shard is on record."""
        proved, pages, paged_at = False, 0, self._clock.monotonic()

        def paged() -> None:
            nonlocal pages, paged_at
            pages, paged_at = pages + 1, self._clock.monotonic()

        async def keep() -> None:
            """Say that the listing goes on, while it waits for its turns and between its pages."""
            while self._clock.monotonic() - paged_at < SILENT_LISTING_SECONDS_MAX:
                await asyncio.sleep(KEEP_SECONDS)
                await self._control.listings.keep(table.name)

        try:
            async with one_failure() as tasks:
                keeping = tasks.create_task(keep(), name="keep listing")
                await self._table_advancer.refresh([table])
                if table.facts is not None:
                    listed = await table.discovery.discover(
                        table.facts, first=table.unlisted, paged=paged
                    )
                    await table.discovery.forget_finished(listed)
                    proved = await self._control.positions.are_on_record(listed)
                keeping.cancel()
        except ReplicatorError:
            with suppress(ReplicatorError):  # nobody waits for who has failed
                await self._control.listings.end(table.name, proved=False)
            raise
        calls = 0 if kind_of(table.stream_arn) is KINESIS else pages
        await self._control.listings.end(table.name, proved=proved, calls=calls)
        await self._table_advancer.refresh([table])
        self._look_now.set()

    def _seconds_between_listings(self) -> float:
        """Of all streams, as of the last look: as often as AWS lets all of them be listed."""
        calls = [
            table.facts.listing_calls
            for table in self.tables.values()
            if table.polled and table.facts is not None
        ]
        return listing_seconds(calls, at_least=self.settings.discover_seconds)

    def _listing_seconds(self, table: Table) -> float:
        """Seconds between two listings of a table's stream, by whichever worker."""
        if not table.discovered or self._awaits_children(table):
            return CHILDREN_SECONDS
        return self.listing_seconds

    def _awaits_children(self, table: Table) -> bool:
        return awaits_children(table.ends.childless, self._clock.now())

    async def _wait_for_next_discovery(
        self, table: Table, stopping: asyncio.Event, *, skipped: bool
    ) -> None:
        """Wait until the next listing is due.

        `skipped`: the table was halted, and is due as soon as the halt is over.
        """
        jitter = random.uniform(1.0, 1.2)  # noqa: S311 (spreads load, protects nothing)
        began = self._clock.monotonic()
        while not await stopped_within(stopping, CHILDREN_SECONDS):
            last = (
                began if table.listed_at is None else max(table.listed_at, began - CHILDREN_SECONDS)
            )
            seconds = self._listing_seconds(table)
            if self._clock.monotonic() - last >= seconds * jitter:
                return
            if table.awaits_listing or (skipped and table.working):
                return
            if self.tables[table.name] is not table:
                return

    # Leases: who works

    async def _look(self, tasks: asyncio.TaskGroup, stopping: asyncio.Event) -> bool:
        """Observe, plan, act; then wait for a moment, or until something ended."""
        self._turned_at = self._clock.monotonic()
        self._look_now.clear()
        self.holding.look_begins()
        await self._table_advancer.refresh(list(self.tables.values()))
        self.listing_seconds = self._seconds_between_listings()
        self._start_discovering(tasks, stopping)
        self._tell_superseded()
        await self._table_advancer.accept_gaps(self.tables.values())
        await self._table_advancer.advance_snapshots(self.tables.values())
        soon = await self._plan(tasks, stopping)
        self.looked_at = self._clock.monotonic()
        self._beat("look")
        if not stopping.is_set():
            await self._wait_for_next_look(soon=soon)
        return stopping.is_set()

    def _tell_superseded(self) -> None:
        """Report once of each table that another mapping is registered."""
        superseded = {name for name, table in self.tables.items() if table.superseded}
        for name in sorted(superseded - self._superseded):
            self._observe(MappingSuperseded(name))
        self._superseded = superseded

    async def _wait_for_next_look(self, *, soon: bool) -> None:
        seconds = self.settings.plan_seconds
        try:
            async with asyncio.timeout(min(seconds, AWAITING_SECONDS) if soon else seconds):
                await self._look_now.wait()
        except TimeoutError:
            return

    async def _plan(self, tasks: asyncio.TaskGroup, stopping: asyncio.Event) -> bool:
        """Read the leases and act; True when the next look is worth making soon."""
        settings = self.settings
        units = self._ready_units()
        self._load = sum(unit.load for unit in units.values() if unit.owner == settings.worker_id)
        view = await self._ownership.look({key: unit.owner for key, unit in units.items()})
        for key in view.lost(self.holding.held, settings.worker_id):
            self.holding.drop(key)
        self._pacing.share(len(view.living | {settings.worker_id}))
        until = view.at + TAKING_SECONDS_MAX
        existing = {row.key for row in view.seen} | view.settled.keys()
        await self._add_leases(units, existing, view.taking, until)
        plan = plan_leases(
            view.seen,
            view.sightings,
            wanted=dict.fromkeys(key for key in units if key not in self.holding.released),
            held=self.holding.held.keys(),
            worker_id=settings.worker_id,
            workers=view.taking,
            now=view.at,
            lease_seconds=settings.lease_seconds,
            plan_seconds=settings.plan_seconds,
            believed=view.believed,
            following=self._following(units),
            loads={key: unit.load for key, unit in units.items()} if view.by_load else None,
            settled=view.settled,
            asked=view.asked,
        )
        await for_each(plan.release, self._give_back, at_once=CALLS_AT_ONCE)
        self._stop_lost()
        for held in self.holding.held.values():
            self._start(held, tasks, stopping)

        outrun = False

        async def take(lease: Lease) -> None:
            nonlocal outrun
            self._turned_at = self._clock.monotonic()
            if stopping.is_set() or self._turned_at > until:
                return
            unit = units[lease.key]
            held = await self.holding.take(
                lease, table=unit.table, stream_arn=unit.stream_arn, shard_id=unit.name
            )
            if held is None:
                outrun = True
            else:
                self._start(held, tasks, stopping)

        if plan.take and await self._is_heard():
            await for_each(plan.take, take, at_once=CALLS_AT_ONCE, failures_max=REFUSALS_A_LOOK_MAX)
        await for_each(plan.ask, self._ownership.ask, at_once=CALLS_AT_ONCE)
        await self._ownership.tell_asked(plan.ask)
        await self._delete_over(view.seen)
        await self.holding.release_again(units.keys())
        await self._end_silent()
        return plan.awaits or outrun

    def _following(self, units: Mapping[str, Unit]) -> list[str]:
        """Unbegun shards with a parent that this worker has read to the end."""
        ended = self.holding.ended
        return [
            key
            for key, unit in units.items()
            if unit.owner is None
            and unit.shard is not None
            and any(
                self._leases.key(unit.stream_arn, parent) in ended for parent in unit.shard.parents
            )
        ]

    def _ready_units(self) -> dict[str, Unit]:
        units: dict[str, Unit] = {}
        for table in self.tables.values():
            units |= table.ready_units(self._leases.key)
        return units

    async def _add_leases(
        self, units: dict[str, Unit], existing: set[str], taking: Set[str], until: float
    ) -> None:
        """Add the leases that are missing.

        Of many missing ones this worker adds its own share, and those that no worker has added
        since the last look.
        """
        missing = units.keys() - existing
        due = [key for key in units if key in missing]
        if len(missing) > CALLS_AT_ONCE:
            share = home_share(missing, worker_id=self.settings.worker_id, workers=taking)
            due = [key for key in due if key in share or key in self._missing]
        self._missing = missing
        positions = await self._positions_of(units[key] for key in due)

        async def create(key: str) -> None:
            self._turned_at = self._clock.monotonic()
            if self._turned_at > until:
                return
            unit = units[key]
            await self._leases.create(
                key,
                checkpoint=checkpoint_text(positions.get((unit.stream_arn, unit.name))),
                parent_id=None if unit.shard is None else unit.shard.parent_id,
            )
            if key not in self._created:  # one that does not stay is no reason to hurry
                self._created.add(key)
                self._look_now.set()

        await for_each(due, create, at_once=CALLS_AT_ONCE, failures_max=REFUSALS_A_LOOK_MAX)
        self._created -= existing

    async def _positions_of(self, units: Iterable[Unit]) -> dict[ShardName, Position | None]:
        """The positions of the given shards."""
        names: dict[str, list[str]] = {}
        for unit in units:
            if unit.shard is not None:
                names.setdefault(unit.stream_arn, []).append(unit.name)
        found: dict[ShardName, Position | None] = {}
        for arn, of_stream in names.items():
            for shard in await self._control.positions.shards_named(arn, of_stream):
                found[arn, shard.shard_id] = shard.position
        return found

    async def _delete_over(self, rows: Iterable[Lease]) -> None:
        """Leases of the segments of snapshots that are over, and of shards whose children go on."""
        key, tables = self._leases.key, self.tables.values()
        over = {key(table.stream_arn, name) for table in tables for name in table.parts_over()}
        followed = {
            key(shard.stream_arn, shard.shard_id)
            for table in tables
            for shard in table.ends.followed
        }
        ended = self.holding.ended & (over | followed)
        due = ended | {
            row.key
            for row in rows
            if row.key in over or (row.key in followed and row.owner is None)
        }
        due -= self.holding.held.keys()
        await for_each(sorted(due), self._leases.delete, at_once=CALLS_AT_ONCE)
        self.holding.ended -= ended

    # Shards: the work

    def _start(self, held: HeldLease, tasks: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        """Work on what is held, unless that is done already."""
        if held.key in self.running or stopping.is_set():
            return
        runner = self._runner(self.tables[held.table], held)
        if runner is None:
            return
        own_stopping = asyncio.Event()
        task = tasks.create_task(
            self._work(held, runner, own_stopping), name=f"shard {held.shard_id}"
        )
        self.running[held.key] = Running(runner, task, own_stopping)

    def _runner(self, table: Table, held: HeldLease) -> Runner | None:
        """Runner for a held lease; None for a segment that is no longer listed."""
        if is_segment_name(held.shard_id):
            part = table.ready_parts().get(held.shard_id)
            return None if part is None else SegmentRunner(table.parts, part)
        return ShardReplicator(
            ShardTask(
                table=table.name,
                stream_arn=held.stream_arn,
                shard_id=held.shard_id,
                mapping_fingerprint=table.mapping.fingerprint,
                idle_seconds_max=self.settings.idle_seconds_max,
                spec=table.mapping.spec,
                checkpointed=checkpointed_position(held.checkpoint),
            ),
            shared=SharedParts(
                table.source, table.pipeline, table.room, table.discovery.add_children
            ),
            control=self._control,
            observe=self._observe,
            clock=self._clock,
            moved=partial(self.holding.moved, held.key),
        )

    async def _work(self, held: HeldLease, runner: Runner, stopping: asyncio.Event) -> None:
        began = False

        async def run() -> bool:
            nonlocal began
            if began and not await self.holding.confirm(held.key):
                return True  # whoever took it has fenced us, and must not be fenced by us
            began = True
            try:
                ending = await runner.run(stopping)
            except NotClaimable:
                ending = Ending.STOPPED
            if ending is Ending.DONE:
                await self.holding.release(held.key, ended=True)
            if ending is not Ending.STOPPED:
                self._look_now.set()
            return True

        job = Job(
            f"shard {held.shard_id}",
            held.table,
            run,
            halting=partial(self.halting, self.tables[held.table]),
        )
        try:
            await self._supervise(job, stopping)
        finally:
            running = self.running.pop(held.key, None)
        if running is not None and running.kept:
            self._look_now.set()
        elif stopping.is_set() and self.holding.held.get(held.key) is held:
            await self.holding.release(held.key)  # whoever waits for it need not wait for a look

    def _halting_by_name(self, name: str) -> Halt:
        return self.halting(self.tables[name])

    def halting(self, table: Table) -> Halt:
        """A function that halts the table as it is now, and does nothing once the stream is
        another.
        """
        seen = table.belief

        async def halt(error: ReplicatorError) -> bool:
            remedy, reason = how_to_go_on(error, table.name), str(error)
            self._look_now.set()
            halted = await self._control.gaps_and_halts.halt(
                table.name, reason=reason, remedy=remedy, seen=seen
            )
            if halted == "halted":
                self._observe(TableHalted(table.name, reason, remedy))
            return halted != "stale"

        return halt

    async def _give_back(self, key: str) -> None:
        """Let the shard finish the batch, then release the lease."""
        running = self.running.get(key)
        if running is not None:
            running.stopping.set()
            return
        await self.holding.release(key)

    def _stop_lost(self) -> None:
        for key in self.holding.too_old():
            self.holding.drop(key)
        for key, running in self.running.items():
            if key not in self.holding.held:
                running.stopping.set()

    async def _end_silent(self) -> None:
        now = self._clock.monotonic()
        for running in list(self.running.values()):
            silent = now - running.runner.alive_at
            if silent > STUCK_SECONDS:
                name = running.task.get_name()
                ended = await end_silent_task(
                    running.task,
                    name=name,
                    table=None,
                    silent_seconds=silent,
                    observe=self._observe,
                )
                if not ended:
                    self._reporting.unrecoverable(name, f"no progress for {silent:.0f} s")

    async def _renew(self, stopping: asyncio.Event) -> bool | None:
        """Renew the leases that are due; None where none was renewed."""
        renewed = await self.holding.renew_all()
        self._stop_lost()
        self._beat("renew")
        stopped = await stopped_within(stopping, self._renew_seconds)
        return stopped if renewed else None

    async def _give_up(self, stopping: asyncio.Event) -> bool:
        """Stop what others may take, at that moment, whatever the lease table's answers wait
        for."""
        self._stop_lost()
        self._beat("give up")
        left = self.holding.seconds_left()
        soon = left if self.holding.held and left > 0 else self._renew_seconds
        return await stopped_within(stopping, min(soon, self._renew_seconds))

    async def _tell(self, stopping: asyncio.Event) -> bool:
        """Tell that the worker lives, again and again."""
        await self._tell_now()
        self._beat("tell")
        return await stopped_within(stopping, self.settings.plan_seconds / 2)

    async def _is_heard(self) -> bool:
        """True when others know that the worker lives, who is told of it where it was silent: else
        they would take what it takes.
        """
        if self.holding.silent_seconds() > self.settings.plan_seconds:
            await self._tell_now()
        return self.holding.silent_seconds() <= self.settings.plan_seconds

    async def _tell_now(self) -> None:
        """Tell that the worker lives, while polls make progress: a hanging worker takes no
        lease."""
        settings, now, beat = self.settings, self._clock.monotonic(), self.holding.beat()
        await self._control.heartbeats.seen(
            settings.worker_id,
            version=settings.version,
            leases=len(self.holding.held),
            beat=beat,
            looking=now - self._turned_at < settings.lease_seconds,
            load=self._load,
        )
        self.holding.beat_told(beat, at=now)

    async def _leave(self) -> None:
        """Give everything back, so that the next worker starts at once."""
        self.left = True
        held = list(self.holding.held)
        try:
            async with asyncio.timeout(RELEASE_SECONDS_MAX), one_failure() as tasks:
                tasks.create_task(
                    self._control.heartbeats.gone(self.settings.worker_id), name="goodbye"
                )
                tasks.create_task(self._control.listings.leave(), name="leave listings")
                await for_each(held, self.holding.release, at_once=CALLS_AT_ONCE)
        except (TimeoutError, ReplicatorError):
            return  # leases expire by themselves, and PostgreSQL is the authority
