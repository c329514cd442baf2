"""Tables that are loaded, and gaps that are healed, from exports to S3 beside their streams."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from aiohttp import web

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_snapshot import configured, equal, item, items, loaded, rows, sql
from tests.support.bounds import lease
from tests.support.daemon import Deployment, Worker
from tests.support.exports import BUCKET, ExportService, TableLog, bucket_client, export_service
from tests.support.http_server import served
from tests.support.waiting import pace
from tests.support.wide import wide_but

pytestmark = one_emulator


@dataclass
class Exported:
    """A table whose changes are logged, and the service that exports it."""

    stage: Stage
    table: str
    service: ExportService
    log: TableLog
    url: str
    chance: Random = field(default_factory=lambda: Random(7))

    async def put(self, *numbers: int, total: int = 0) -> None:
        for start in range(0, len(numbers), 25):
            some = [item(number, total) for number in numbers[start : start + 25]]
            requests = [{"PutRequest": {"Item": each}} for each in some]
            await self.stage.client.batch_write_item(RequestItems={self.table: requests})
            for each in some:
                self.log.add(each)

    async def delete(self, *numbers: int) -> None:
        for number in numbers:
            gone = item(number, 0)
            await self.stage.client.delete_item(TableName=self.table, Key={"pk": gone["pk"]})
            self.log.add(gone, gone=True)

    def deployment(self, **options: Any) -> Deployment:
        made = self.stage.deployment(
            configured(self.table, **options), endpoint_url=self.url, lease_seconds=lease(1.0)
        )
        made.settings["export"] = {
            "bucket": BUCKET,
            "prefix": "some/where",
            "endpoint_url": self.stage.url,
        }
        made.settings["snapshot"] = {"segments": 2}
        return made

    @asynccontextmanager
    async def changing(self, numbers: range) -> AsyncIterator[None]:
        """One change after the other while the block runs."""
        stopping = asyncio.Event()

        async def go_on() -> None:
            while not stopping.is_set():
                number = self.chance.choice(numbers)
                if self.chance.random() < 0.4:
                    await self.delete(number)
                else:
                    await self.put(number, total=self.chance.randint(1, 10**6))
                await pace(0.01)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(go_on())
            try:
                yield
            finally:
                stopping.set()


@pytest.fixture
async def exported(stage: Stage) -> AsyncIterator[Exported]:
    table = await stage.create_table("orders", {"pk": "S"})
    described = await stage.client.describe_table(TableName=table)
    async with bucket_client(stage.url) as s3:
        log = TableLog()
        service = ExportService(s3, log, described["Table"]["TableArn"])
        async with export_service(stage.url, lambda: service) as url:
            yield Exported(stage, table, service, log, url)


async def refused(worker: Worker) -> str:
    """Wait until a person must decide; what about."""

    async def waits() -> str:
        table = await worker.table("orders")
        snapshot = table.get("snapshot") or {}
        return str(table["reason"]) if snapshot.get("state") == "refused" else ""

    return await worker.until(waits, what="the snapshot waits for a person")


async def test_a_table_is_loaded_from_an_export_without_a_read_unit(exported: Exported):
    await exported.put(*range(600))
    await exported.delete(*range(100))
    async with exported.deployment(initial_load="export") as deployment:
        plan = await deployment.command("plan")
        assert "an export to S3 uses no read unit, and is about 0.00 USD" in plan.stdout
        await deployment.migrate()
        ended = await deployment.run_until_caught_up()

    assert ended.code == 0
    assert await rows(exported.stage) == {f"k{number:05}": 0 for number in range(100, 600)}
    assert read_calls(exported) == []
    [asked] = exported.service.asked
    assert (asked["S3Bucket"], asked["S3Prefix"]) == (BUCKET, "some/where")
    [(units, found)] = await sql(
        exported.stage,
        # a table that the stream writes first is swept, too, which reads each row
        "select sum(read_units), sum(items) from replicator.segment where target is null",
    )
    assert (units, found) == (0, 500)


@pytest.mark.wide
async def test_killed_and_frozen_while_a_file_is_loaded(exported: Exported):
    exported.service.files = 2
    await exported.put(*range(6000))
    async with exported.deployment(initial_load="export") as deployment:
        await deployment.migrate()
        async with exported.changing(range(6500)):
            for end in (signal.SIGKILL, signal.SIGSTOP):
                worker = deployment.start()
                await some_are_written(exported.stage, worker)
                worker.signal(end)
            heir = deployment.start()
            await loaded(heir)
            worker.signal(signal.SIGCONT)
        await equal(exported.stage, exported.table, heir)
        assert len(exported.service.asked) == 1
        assert await heir.stop() == 0


async def some_are_written(stage: Stage, worker: Worker) -> None:
    async def some() -> bool:
        found = await sql(
            stage, "select 1 from replicator.segment where phase = 1 and position is not null"
        )
        return bool(found)

    await worker.until(some, what="lines of a file are written")


async def test_stale_rows_are_swept_as_after_a_scan(exported: Exported):
    await exported.put(*range(50))
    async with exported.deployment(initial_load="stream") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await equal(exported.stage, exported.table, worker)
        await sql(exported.stage, "update public.orders set total = 99 where pk < 'k00010'")
        await sql(exported.stage, "insert into public.orders values ('ghost', 1)")
        done = await deployment.command("snapshot", "--table", "orders", "--from-export")

        assert done.code == 0, done.text
        assert "1 stale rows deleted, 0 read units" in done.stdout
        assert await rows(exported.stage) == await items(exported.stage, exported.table)


DAMAGES = {
    "checksum": "does not match its checksum",
    "count": "lines, and its list says",
    "missing": "does not hold the file",
    "truncated": "is not whole",
    "manifest": "items by their list, and its summary says",
}


@pytest.mark.parametrize(
    ("damage", "told"),
    wide_but("checksum", of={damage: (damage, told) for damage, told in DAMAGES.items()}),
)
async def test_a_damaged_export_is_not_loaded(exported: Exported, damage: Any, told: str):
    exported.service.damage = damage
    exported.service.files = 1
    await exported.put(*range(30))
    async with exported.deployment(initial_load="export") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        assert told in await refused(worker)
        assert await rows_of_the_load(exported.stage) == 0


async def rows_of_the_load(stage: Stage) -> int:
    [(written,)] = await sql(
        stage, "select coalesce(sum(rows), 0)::int from replicator.segment where target is null"
    )
    return int(written)


@pytest.mark.wide
async def test_an_export_that_is_older_than_the_guard_is_refused_and_a_newer_one_taken(
    exported: Exported,
):
    await exported.put(*range(40))
    async with exported.deployment(initial_load="stream") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await equal(exported.stage, exported.table, worker)
        wrong = await deployment.command(
            "snapshot", "--table", "orders", "--from-export", "--export-arn", exported.table
        )
        assert (wrong.code, "is not the ARN of an export" in wrong.stderr) == (2, True)
        older = await exported.service.make(None, datetime.now(UTC))
        asked = await deployment.command(
            "snapshot", "--table", "orders", "--from-export", "--export-arn", older
        )
        assert asked.code == 3, asked.text
        assert "make one of" in asked.stdout
        newer = await exported.service.make(None, datetime.now(UTC) + timedelta(minutes=3))
        done = await deployment.command(
            "snapshot", "--table", "orders", "--from-export", "--export-arn", newer
        )
        assert done.code == 0, done.text
        assert exported.service.asked == []


async def test_without_point_in_time_recovery_a_person_decides(exported: Exported):
    exported.service.recovery = False
    await exported.put(*range(5))
    async with exported.deployment(initial_load="export") as deployment:
        await deployment.migrate()
        ended = await deployment.run_until_caught_up()
        assert ended.code == 3
        worker = deployment.start()
        assert "point-in-time recovery is off" in await refused(worker)
        checked = await deployment.command("check")
        assert "point-in-time recovery is off, which exports to S3 need" in checked.text
        assert "USD a month for this table" in checked.text


async def test_an_export_that_fails_waits_for_a_person(exported: Exported):
    exported.service.failure = "the bucket does not let us write"
    await exported.put(*range(5))
    async with exported.deployment(initial_load="export") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        assert "does not let us write" in await refused(worker)


async def test_a_bucket_that_lets_nobody_read_is_told_and_no_export_that_is_being_made(
    exported: Exported,
):
    async def denied(_: web.Request) -> web.Response:
        body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        return web.Response(status=403, text=body, content_type="application/xml")

    bucket = web.Application()
    bucket.router.add_get("/{key:.*}", denied)
    await exported.put(*range(5))
    async with served(bucket) as url, exported.deployment(initial_load="export") as deployment:
        deployment.settings["export"]["endpoint_url"] = url
        await deployment.migrate()
        worker = deployment.start()

        async def told() -> bool:
            problems = (await worker.status()).get("problems", [])
            said = [each["what"] for each in problems if each["kind"] == "snapshot"]
            return "GetObject: AccessDenied" in str(said) and "grant the action" in str(said)

        await worker.until(told, what="the status says what is denied")
        assert await worker.stop() == 0


def with_history(deployment: Deployment) -> Deployment:
    [table] = deployment.settings["tables"].values()
    table["into"]["public.orders"]["history"] = "public.orders_history"
    return deployment


async def lose_three_days(exported: Exported) -> None:
    """Changes that no stream has: updates, deletions, re-insertions, over three days.

    Some of what is deleted first was put just before, and its put is applied.
    """
    stage, log = exported.stage, exported.log
    await stage.enable_stream(exported.table, on=False)
    begin = datetime.now(UTC) - timedelta(days=3)
    just_put = {f"k{number:05}" for number in range(70, 75)}
    log.entries = [
        replace(entry, at=begin - timedelta(minutes=5 if entry.keys["pk"]["S"] in just_put else 60))
        for entry in log.entries
    ]
    first = len(log.entries)
    await exported.delete(*range(70, 75))
    await exported.put(*range(40, 60), total=1)
    await exported.delete(*range(20))
    await exported.put(*range(5), total=2)
    await exported.put(*range(100, 110), total=3)
    await exported.delete(*range(105, 110))
    await exported.put(*range(40, 45), total=4)
    lost = log.entries[first:]
    log.entries[first:] = [
        replace(entry, at=begin + timedelta(days=2.9) * number / len(lost))
        for number, entry in enumerate(lost)
    ]
    await sql(stage, f"update replicator.shard set safe_at = '{begin.isoformat()}'")
    await stage.enable_stream(exported.table, on=True)


async def test_a_gap_of_three_days_is_healed_from_incremental_exports(exported: Exported):
    await exported.put(*range(80))
    async with with_history(exported.deployment(initial_load="stream")) as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await equal(exported.stage, exported.table, worker)
        assert await worker.stop() == 0
        await lose_three_days(exported)
        worker = deployment.start()
        await worker.until(partial(a_gap, worker), what="there is a gap")
        assert "9 incremental exports" in (await deployment.command("gaps", "list")).stdout
        async with exported.changing(range(80, 90)):
            healed = await deployment.command("gaps", "heal", "--table", "orders", "--why", "away")
        assert healed.code == 0, healed.text
        assert "9 incremental exports" in healed.stdout
        await equal(exported.stage, exported.table, worker)
        await loaded(worker, reason="gap")

    found = [each["IncrementalExportSpecification"] for each in exported.service.asked]
    edges = [(each["ExportFromTime"], each["ExportToTime"]) for each in found]
    assert all(older[1] >= newer[0] for newer, older in pairwise(edges)), "without a hole"
    assert read_calls(exported) == []
    assert await sql(exported.stage, "select state from replicator.gap") == [("healed",)]
    marked = await sql(
        exported.stage,
        "select keys->>'pk', new_image is null, count(*) from public.orders_history "
        "where operation = 'state_after_gap' group by 1, 2 order by 1, 2",
    )
    later = {f"k{number:05}" for number in (*range(80, 90), *range(105, 110))}
    assert {key for key, _, _ in marked} - later == (
        {
            f"k{number:05}"
            for number in (*range(20), *range(40, 60), *range(70, 75), *range(100, 105))
        }
    )
    assert all(count == 1 for _, _, count in marked)


def read_calls(exported: Exported) -> list[str]:
    """Calls that read items of the table."""
    operations = ("Scan", "Query", "GetItem", "BatchGetItem")
    reads = {f"{operation} {exported.table}" for operation in operations}
    return [call for call in exported.service.calls if call in reads]


async def a_gap(worker: Worker) -> bool:
    return (await worker.table("orders")).get("state") == "gap"


async def test_without_recovery_a_gap_is_healed_by_a_scan_that_says_why(exported: Exported):
    await exported.put(*range(60))
    async with exported.deployment(initial_load="stream", on_gap="export") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await equal(exported.stage, exported.table, worker)
        assert await worker.stop() == 0
        exported.service.recovery = False
        await lose_three_days(exported)
        worker = deployment.start()
        await loaded(worker, reason="gap")
        await equal(exported.stage, exported.table, worker)
    assert await sql(exported.stage, "select origin, detail from replicator.snapshot") == [
        ("scan", "a scan instead of exports: point-in-time recovery is off, which exports need")
    ]


@pytest.mark.wide
async def test_a_heal_that_is_cancelled_opens_its_gap_again(exported: Exported):
    exported.service.pending = 1_000_000
    await exported.put(*range(60))
    async with exported.deployment(initial_load="stream") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await equal(exported.stage, exported.table, worker)
        assert await worker.stop() == 0
        await lose_three_days(exported)
        worker = deployment.start()
        await worker.until(partial(a_gap, worker), what="there is a gap")
        asked = await deployment.command("gaps", "heal", "--table", "orders", "--detach")
        assert asked.code == 0, asked.text

        async def made() -> bool:
            return len(exported.service.asked) == 9

        await worker.until(made, what="exports are asked for")
        assert await sql(exported.stage, "select state from replicator.gap") == [("accepted",)]
        cancelled = await deployment.command("snapshot", "--table", "orders", "--cancel")
        assert "is open again" in cancelled.stdout
        assert await sql(exported.stage, "select state from replicator.gap") == [("open",)]
