"""Tables whose changes come through Kinesis Data Streams: twice, in disorder, in moving shards."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest

from replicator.core.stream.listing_interval import LISTING_SECONDS
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_snapshot import item, items, loaded, rows, sql
from tests.support.bounds import lease
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, Worker
from tests.support.exports import export_service
from tests.support.kinesis_tables import (
    Destination,
    KinesisStream,
    PublishingTable,
    described,
    kinesis_stream,
)
from tests.support.wide import wide_but

pytestmark = one_emulator


@dataclass
class Published:
    """A table, its stream, and an endpoint that tells of its destination."""

    stage: Stage
    table: PublishingTable
    destination: Destination
    kinesis_url: str
    url: str

    @property
    def stream(self) -> KinesisStream:
        return self.table.stream

    def entry(self, **options: Any) -> dict[str, Any]:
        target = {
            "columns": {"total": {"from": "total", "type": "numeric"}},
            "rest": "extra",
            **options.pop("target", {}),
        }
        return {
            "table": self.table.name,
            "source": {"kinesis": self.stream.arn, "kinesis_endpoint_url": self.kinesis_url},
            "into": {"public.orders": target},
            **options,
        }

    def deployment(self, **options: Any) -> Deployment:
        return self.stage.deployment(
            {"orders": self.entry(**options)}, endpoint_url=self.url, lease_seconds=lease(1.0)
        )

    async def equal(self, worker: Worker) -> None:
        """Wait until rows and items are the same."""

        async def same() -> bool:
            return await rows(self.stage) == await items(self.stage, self.table.name)

        await worker.until(same, what="rows and items are equal")


@pytest.fixture
async def published(stage: Stage, kinesis_url: str) -> AsyncIterator[Published]:
    async with published_by(stage, kinesis_url) as found:
        yield found


@asynccontextmanager
async def published_by(
    stage: Stage, kinesis_url: str, *, shards: int = 1
) -> AsyncIterator[Published]:
    name = await stage.create_table("orders", {"pk": "S"})
    async with kinesis_stream(kinesis_url, f"{stage.prefix}-changes", shards=shards) as stream:
        destination = Destination(name, stream.arn)
        async with described(stage.url, destination) as url:
            table = PublishingTable(stage.client, name, stream)
            yield Published(stage, table, destination, kinesis_url, url)


async def test_a_table_is_loaded_and_its_changes_come_through_kinesis(published: Published):
    table = published.table
    for number in range(20):
        await table.put(item(number, 0))
    async with published.deployment() as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await published.equal(worker)
        for number in range(10, 30):
            await table.put(item(number, number))
        await table.delete("k00003")
        await published.equal(worker)
        [(mode, stream_arn)] = await sql(
            published.stage, "select mode, stream_arn from replicator.table_state"
        )
        assert (mode, stream_arn) == ("guard", f"{published.stream.arn}/{table.name}")
        assert await worker.stop() == 0
        assert (await deployment.run_until_caught_up()).code == 0


class Ticking:
    """A clock that moves on when it is told to: between two changes that are to have one time, it
    is not.
    """

    def __init__(self) -> None:
        self.now = time.time_ns() // 1000

    def tick(self, chance: Random) -> None:
        self.now += chance.randint(1000, 20_000)

    def __call__(self) -> int:
        return self.now


async def change(table: PublishingTable, clock: Ticking, numbers: range, chance: Random) -> None:
    """One change of an item, or two of one time."""
    clock.tick(chance)
    number = chance.choice(numbers)
    for _ in range(chance.choice([1, 1, 1, 2])):
        if chance.random() < 0.3:
            await table.delete(f"k{number:05}")
        else:
            await table.put(item(number, chance.randint(1, 10**12)))


async def keeps_order_by(published: Published, mode: str) -> bool:
    return await sql(published.stage, "select mode from replicator.table_state") == [(mode,)]


@pytest.mark.wide
async def test_a_table_moves_to_kinesis_and_back_without_a_gap(published: Published):
    """Changes go on all the while, through both sources, as DynamoDB sends them to both."""
    table, chance = published.table, Random(7)

    async def write(count: int) -> None:
        for _ in range(count):
            await change(table, clock, range(30), chance)

    clock = Ticking()
    table.micros = clock
    entry = published.entry()
    kinesis = entry["source"]
    async with published.deployment() as deployment:
        sources: list[tuple[dict[str, Any], str]]
        sources = [({}, "initial"), (kinesis, "mapping"), ({}, "mapping")]
        for source, reason in sources:
            deployment.settings["tables"]["orders"]["source"] = source
            await write(30)
            await deployment.migrate()
            worker = deployment.start()
            await write(60)
            await published.equal(worker)
            await loaded(worker, reason=reason)
            await worker.until(
                partial(keeps_order_by, published, "guard" if source else "fence"),
                what="the ordering mode is the source's",
            )
            assert await worker.stop() == 0
            [(arn,)] = await sql(published.stage, "select stream_arn from replicator.table_state")
            assert (":kinesis:" in arn) is bool(source)
        assert await sql(published.stage, "select 1 from replicator.gap") == []
        [(loads,)] = await sql(
            published.stage, "select count(*) from replicator.snapshot where state = 'done'"
        )
        assert loads == 3
        status = await deployment.command("verify", "--json")
        assert status.code == 0, status.text


async def test_nothing_is_loaded_before_the_destination_is_active(published: Published):
    table, destination = published.table, published.destination
    destination.status = "ENABLING"
    await table.put(item(1, 1))
    async with published.deployment() as deployment:
        await deployment.migrate()
        worker = deployment.start()

        async def asked() -> bool:
            return destination.calls.count("DescribeKinesisStreamingDestination") > 1

        await worker.until(asked, what="the destination was looked at")
        assert await sql(published.stage, "select 1 from replicator.segment") == []
        assert "Scan" not in destination.calls
        destination.status = "ACTIVE"
        await published.equal(worker)


async def warnings_of(deployment: Deployment) -> str:
    checked = await deployment.command("check", "--json")
    assert checked.code == 0, checked.text
    found = [each for each in json.loads(checked.stdout)["findings"] if "orders" in each["where"]]
    return " ".join(f"{each['message']} {each['remedy']}" for each in found)


async def test_check_says_which_times_are_coarse_and_which_items_may_be_too_large(
    published: Published,
):
    stream = published.stream
    async with published.deployment() as deployment:
        published.destination.precision = "MILLISECOND"
        said = await warnings_of(deployment)
        assert "its changes carry milliseconds" in said
        assert "an item above about 288 KB" in said
        assert "FailedToReplicateRecordCount" in said

        published.destination.precision = "MICROSECOND"
        await stream.client.update_max_record_size(
            StreamARN=stream.arn, MaxRecordSizeInKiB=10 * 1024
        )
        await stream.active()
        said = await warnings_of(deployment)
        assert "milliseconds" not in said
        assert "may be larger" not in said


async def gap_of(worker: Worker, published: Published) -> str:
    """Wait until the table has stopped with a gap; its detail."""

    async def stopped() -> bool:
        return (await worker.table("orders")).get("state") == "gap"

    await worker.until(stopped, what="the table has a gap")
    [(detail,)] = await sql(
        published.stage, "select detail from replicator.gap where state = 'open'"
    )
    return str(detail)


@asynccontextmanager
async def running(published: Published, **options: Any) -> AsyncIterator[tuple[Deployment, Worker]]:
    """A worker that looks at the table every second, and has loaded 20 items."""
    for number in range(20):
        await published.table.put(item(number, 0))
    async with published.deployment(**options) as deployment:
        deployment.settings["poll"]["discover_seconds"] = 1
        await deployment.migrate()
        worker = deployment.start()
        await published.equal(worker)
        await loaded(worker)
        yield deployment, worker


@pytest.mark.parametrize(
    "status",
    [
        "DISABLED",
        pytest.param("DISABLING", marks=pytest.mark.wide),
        pytest.param("ENABLING", marks=pytest.mark.wide),
    ],
)
async def test_a_destination_that_was_off_for_a_while_is_a_gap(published: Published, status: str):
    """Writes reach no stream meanwhile, and nothing of what is read later tells of them."""
    table, destination = published.table, published.destination

    async def lost(key: str, data: bytes) -> None: ...

    async with running(published) as (deployment, worker):
        destination.status, table.deliver = status, lost
        for number in range(10):
            await table.put(item(number, 77))

        assert "changes made meanwhile are in no stream" in await gap_of(worker, published)
        destination.status, table.deliver = "ACTIVE", None
        await table.put(item(30, 5))
        healed = await deployment.command("snapshot", "--table", "orders", "--detach")
        assert healed.code == 0, healed.text
        await published.equal(worker)
        assert await worker.stop() == 0


async def seen(worker: Worker, destination: Destination, *, times: int) -> None:
    """Wait until the destination was looked at so many times more."""
    operation = "DescribeKinesisStreamingDestination"
    before = destination.calls.count(operation)

    async def looked() -> bool:
        return destination.calls.count(operation) >= before + times

    await worker.until(looked, what=f"the destination was looked at {times} times")


async def gaps(published: Published) -> list[tuple[Any, ...]]:
    return await sql(published.stage, "select state, lasts from replicator.gap order by id")


@pytest.mark.wide
async def test_a_load_asked_for_while_the_destination_is_off_waits_and_heals_by_itself(
    published: Published,
):
    table, destination = published.table, published.destination

    async def lost(key: str, data: bytes) -> None: ...

    async with running(published) as (deployment, worker):
        destination.status, table.deliver = "DISABLED", lost
        await table.put(item(1, 77))
        await gap_of(worker, published)
        asked = await deployment.command("snapshot", "--table", "orders", "--detach")
        assert asked.code == 0, asked.text
        await table.delete("k00002")
        # it is told after so long that a stream was not listed
        older = f"listed_at = listed_at - interval '{LISTING_SECONDS} seconds'"
        await sql(published.stage, f"update replicator.listing set {older}")
        scans = destination.calls.count("Scan")

        async def says_why() -> bool:
            told = await worker.status()
            [orders] = told["tables"]
            why = [each["what"] for each in told["problems"] if each["kind"] == "listing"]
            return orders["state"] == "snapshot" and "does not publish to" in str(why)

        await worker.until(says_why, what="the status says what the load waits for")
        await seen(worker, destination, times=4)
        await table.put(item(3, 78))
        assert destination.calls.count("Scan") == scans
        assert (await worker.shown_table("orders"))["state"] != "halted"

        destination.status, table.deliver = "ACTIVE", None
        await published.equal(worker)
        await loaded(worker, reason="asked")
        assert await gaps(published) == [("healed", False)]
        [(detail,)] = await sql(published.stage, "select detail from replicator.gap")
        assert "; seen to end at 2" in str(detail)
        assert await worker.stop() == 0


@pytest.mark.parametrize(
    ("on_gap", "during", "after"),
    [
        pytest.param("continue", "accepted", "accepted", marks=pytest.mark.wide),
        ("resnapshot", "accepted", "healed"),
    ],
)
async def test_one_time_off_is_one_gap_also_where_gaps_are_accepted_at_once(
    published: Published, on_gap: str, during: str, after: str
):
    table, destination = published.table, published.destination

    async def lost(key: str, data: bytes) -> None: ...

    async with running(published, on_gap=on_gap) as (_, worker):
        for outage in range(2):
            destination.status, table.deliver = "DISABLED", lost
            await table.put(item(outage, 77))

            async def accepted(count: int = outage + 1) -> bool:
                return (await gaps(published))[count - 1 :] == [(during, True)]

            await worker.until(accepted, what="the gap is accepted, and lasts")
            await seen(worker, destination, times=4)
            assert len(await gaps(published)) == outage + 1

            destination.status, table.deliver = "ACTIVE", None
            await table.put(item(outage, 78))

            async def over(count: int = outage + 1) -> bool:
                return await gaps(published) == [(after, False)] * count

            await worker.until(over, what="the gap is over")
            await published.equal(worker)
        assert await worker.stop() == 0


@pytest.mark.wide
async def test_a_worker_says_that_nobody_saw_whether_the_table_published_meanwhile(
    published: Published,
):
    event = "nobody saw whether the table published its changes meanwhile"
    async with running(published) as (deployment, worker):
        await seen(worker, published.destination, times=3)
        assert await worker.stop() == 0
        assert worker.entries(event) == []
        await sql(
            published.stage,
            "update replicator.listing set listed_at = listed_at - interval '1 hour'",
        )
        next_one = deployment.start()

        async def said() -> bool:
            return [entry["seconds"] >= 3600 for entry in next_one.entries(event)] == [True]

        await next_one.until(said, what="the worker says so")
        await seen(next_one, published.destination, times=3)
        assert await said()
        assert await next_one.stop() == 0


async def test_a_new_table_waits_for_a_destination_that_nobody_has_enabled_yet(
    published: Published,
):
    table, destination = published.table, published.destination
    destination.status = "DISABLED"
    await table.put(item(1, 1))
    async with published.deployment() as deployment:
        deployment.settings["poll"]["discover_seconds"] = 1
        checked = await deployment.command("check", "--json")
        [error] = [
            each for each in json.loads(checked.stdout)["findings"] if each["severity"] == "error"
        ]
        assert "destination: DISABLED" in error["message"]
        assert not error["unreachable"]
        assert "enable-kinesis-streaming-destination" in error["remedy"]
        await deployment.migrate()
        worker = deployment.start()
        await seen(worker, destination, times=4)
        assert "Scan" not in destination.calls

        destination.status = "ACTIVE"
        await published.equal(worker)
        assert await gaps(published) == []
        assert await worker.stop() == 0


async def test_a_table_created_again_under_its_name_is_a_gap_once(published: Published):
    """Deleting a table makes no removals, and the new one may publish to the same stream."""
    table, client = published.table, published.stage.client
    async with running(published) as (deployment, worker):

        async def a_second_has_passed() -> bool:
            first_seen = (
                "select now() - max(label_at) > interval '1 second' from replicator.generation"
            )
            return bool((await sql(published.stage, first_seen))[0][0])

        await worker.until(
            a_second_has_passed, what="creation times, in seconds, tell the difference"
        )
        # a worker that looks in between halts the table
        async with published.destination.unseen(worker):
            await client.delete_table(TableName=table.name)
            await published.stage.create_table(
                table.name.removeprefix(f"{published.stage.prefix}-"), {"pk": "S"}
            )

        assert "the table was created again at " in await gap_of(worker, published)
        await table.put(item(30, 5))
        healed = await deployment.command("snapshot", "--table", "orders", "--detach")
        assert healed.code == 0, healed.text
        await published.equal(worker)
        looks = published.destination.calls.count

        seen = looks("DescribeKinesisStreamingDestination")

        async def looked_again() -> bool:
            return looks("DescribeKinesisStreamingDestination") > seen + 2

        await worker.until(looked_again, what="the table was looked at again")
        assert await sql(published.stage, "select count(*) from replicator.gap") == [(1,)]
        assert await worker.stop() == 0


@pytest.mark.parametrize(
    "while_it_runs",
    wide_but("a worker runs", of={"a worker runs": True, "none runs": False}),
)
async def test_a_stream_created_again_under_its_name_is_a_gap_and_is_read_from_its_beginning(
    published: Published, while_it_runs: bool
):
    """It has the ARN and the shards of the one before, whose positions say nothing of it."""
    table, stream = published.table, published.stream

    async def lost(key: str, data: bytes) -> None: ...

    async with running(published) as (deployment, first):
        worker = first
        await stream.split()
        for number in range(20):
            await table.put(item(number, 1))
        await published.equal(worker)
        await creation_noted(published, worker)
        if not while_it_runs:
            assert await worker.stop() == 0

        table.deliver = lost
        await table.put(item(1, 77))
        await stream.delete()
        await age_the_stream(published)
        await stream.create()
        table.deliver = None
        await table.put(item(2, 78))
        await table.put(item(30, 5))

        if not while_it_runs:
            worker = deployment.start()

        async def told() -> bool:
            details = await sql(published.stage, "select detail from replicator.gap")
            return "the Kinesis stream was created again at " in str(details)

        await worker.until(told, what="the table has a gap")
        healed = await deployment.command("snapshot", "--table", "orders", "--detach")
        assert healed.code == 0, healed.text
        await published.equal(worker)
        await loaded(worker, reason="asked")
        for number in range(10):
            await table.put(item(number, 79))
        await published.equal(worker)

        known = await gaps(published)
        assert {state for state, _ in known} == {"healed"}
        assert await worker.stop() == 0
        worker = deployment.start()
        await table.put(item(3, 80))
        await published.equal(worker)
        assert await gaps(published) == known
        assert await worker.stop() == 0


async def creation_noted(published: Published, worker: Worker) -> None:
    """Wait until the time is on record at which the stream was created."""
    created = "select created_at is not null from replicator.generation"

    async def is_noted() -> bool:
        return all(noted for (noted,) in await sql(published.stage, created))

    await worker.until(is_noted, what="the time of the stream's creation is noted")


async def age_the_stream(published: Published) -> None:
    """Let the stream on record have been created earlier than it was, once it is gone: a worker
    would take it for another. AWS takes longer to delete one than the emulator.
    """
    await sql(
        published.stage,
        "update replicator.generation set created_at = created_at - interval '1 minute'",
    )


async def test_a_stream_that_is_gone_for_a_while_stops_the_table_until_it_is_created_again(
    published: Published,
):
    """Workers look more than once meanwhile; nobody has to resume the table."""
    table, stream, destination = published.table, published.stream, published.destination

    async def lost(key: str, data: bytes) -> None: ...

    async with running(published, on_gap="resnapshot") as (_, worker):
        await creation_noted(published, worker)
        table.deliver = lost
        await stream.delete()
        await age_the_stream(published)
        await table.put(item(1, 77))

        async def told() -> bool:
            details = await sql(published.stage, "select detail from replicator.gap")
            return "does not exist" in str(details)

        await worker.until(told, what="the gap says that there is no stream")
        await seen(worker, destination, times=8)
        assert (await worker.shown_table("orders"))["state"] != "halted"
        assert worker.entries("table halted") == []
        lasting = [state for state, lasts in await gaps(published) if lasts]
        assert lasting == ["accepted"], "one gap, however often somebody looks"
        done = "select reason from replicator.snapshot where state = 'done'"
        assert await sql(published.stage, done) == [("initial",)], "nothing is loaded for nothing"

        await stream.create()
        table.deliver = None
        await table.put(item(2, 78))
        names = "select stream_arn from replicator.generation order by label_at"

        async def is_read_again() -> bool:
            """The table is read from the new stream, and every gap is healed."""
            arns = [str(arn) for (arn,) in await sql(published.stage, names)]
            healed = {state for state, _ in await gaps(published)} == {"healed"}
            streams = (await worker.table("orders")).get("state") == "streaming"
            return healed and streams and arns[1:] != [] and arns[1].startswith(f"{arns[0]}@")

        await worker.until(is_read_again, what="the new stream is read, and the gaps are healed")
        await published.equal(worker)
        assert await worker.stop() == 0


async def test_a_look_at_the_source_describes_the_stream_once(published: Published):
    async with running(published) as (_, worker):
        operations = ("DescribeStreamSummary", "ListShards")

        async def made() -> list[float]:
            """The calls of each operation at one moment."""
            found = await worker.metrics()
            return [
                sum(
                    value
                    for (name, labels), value in found.items()
                    if name == "replicator_source_requests_total" and ("operation", each) in labels
                )
                for each in operations
            ]

        await loaded(worker, reason="initial")  # each of its parts looks at the stream, too
        before = await made()

        async def some_looks() -> list[float]:
            more = [now - then for now, then in zip(await made(), before, strict=True)]
            return more if more[1] >= 8 else []

        described, listed = await worker.until(some_looks, what="the source was listed eight times")
        assert described < 1.5 * listed
        assert await worker.stop() == 0


async def test_tables_that_share_a_stream_are_read_each_by_itself(published: Published):
    other = await published.stage.create_table("others", {"pk": "S"})
    stream, table = published.stream, published.table
    destinations = {table.name: published.destination, other: Destination(other, stream.arn)}
    second = PublishingTable(published.stage.client, other, stream)

    class Both:
        async def answer(self, operation: str, wanted: Any, /) -> Any:
            name = wanted.get("TableName", "").rpartition("/")[2]
            return await destinations.get(name, published.destination).answer(operation, wanted)

    async with export_service(published.stage.url, Both) as url:
        entries = {
            "orders": published.entry(),
            "others": {
                **published.entry(),
                "table": other,
                "into": {"public.others": {"columns": {"total": "numeric"}, "rest": None}},
            },
        }
        async with published.stage.deployment(entries, endpoint_url=url) as deployment:
            await deployment.migrate()
            worker = await deployment.start_ready()
            for number in range(20):
                await table.put(item(number, 1))
                await second.put(item(number, 2))
                await stream.put(b"of somebody else", key=str(number))
            await published.equal(worker)

            async def filtered() -> bool:
                counts = [
                    await worker.total("replicator_records_total", table=name, outcome="filtered")
                    for name in entries
                ]
                return counts == [40, 40]

            await worker.until(filtered, what="the records of others are counted as filtered")
            found = await read_rows(published.stage.dsn, "public.others", key=("pk",))
            assert {int(row["total"]) for row in found.values()} == {2}
            assert len(found) == 20
            assert await worker.stop() == 0


async def test_binary_time_to_live_and_history_are_as_with_streams(published: Published):
    table = published.table
    target = {
        "columns": {"total": "numeric", "raw": "bytea"},
        "rest": "extra",
        "on_expire": "soft",
        "history": "public.orders_history",
    }
    async with published.deployment(target=target, initial_load="stream") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        raw = {"raw": {"B": b"\x12\x02\x08\x7b"}, "more": {"BS": [b"\xff\x00"]}}
        await table.put(item(1, 1) | raw)
        await table.put(item(2, 2))
        await table.delete("k00002", expired=True)
        await table.delete("k00001")
        await table.put(item(1, 3) | raw)

        async def done() -> Any:
            return await sql(
                published.stage,
                "select pk, total::int, encode(raw, 'hex'), extra->'more'->>0, "
                "_deleted_at is not null from public.orders order by pk",
            )

        rows_wanted = [
            ("k00001", 3, "1202087b", "/wA=", False),
            ("k00002", 2, None, None, True),
        ]

        async def as_wanted() -> bool:
            return await done() == rows_wanted

        await worker.until(as_wanted, what="the rows are as wanted")
        history = await sql(
            published.stage,
            "select keys->>'pk', operation from public.orders_history order by sequence_number",
        )
        assert history == [
            ("k00001", "insert"),
            ("k00002", "insert"),
            ("k00002", "remove"),
            ("k00001", "remove"),
            ("k00001", "insert"),
        ]
        assert await worker.stop() == 0
