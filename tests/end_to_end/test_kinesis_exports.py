"""Tables read from Kinesis that are loaded, and whose gaps are healed, from exports to S3."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_kinesis import Published, published_by
from tests.end_to_end.test_snapshot import item, items, loaded, rows, sql
from tests.support.daemon import Deployment, Worker
from tests.support.exports import (
    BUCKET,
    ExportService,
    Item,
    TableLog,
    bucket_client,
    export_service,
)

pytestmark = one_emulator
DAYS = 3


@dataclass
class Both:
    """A table that publishes its changes to Kinesis and can be exported; its changes are logged."""

    published: Published
    service: ExportService
    log: TableLog
    url: str = ""
    chance: Random = field(default_factory=lambda: Random(11))

    @property
    def stage(self) -> Stage:
        return self.published.stage

    async def answer(self, operation: str, wanted: Item) -> Item | None:
        told = await self.published.destination.answer(operation, wanted)
        return told or await self.service.answer(operation, wanted)

    async def put(self, *numbers: int, total: int = 0) -> None:
        for number in numbers:
            await self.published.table.put(item(number, total))
            self.log.add(item(number, total))

    async def delete(self, *numbers: int) -> None:
        for number in numbers:
            await self.published.table.delete(item(number, 0)["pk"]["S"])
            self.log.add(item(number, 0), gone=True)

    def deployment(self, **options: Any) -> Deployment:
        made = replace(self.published, url=self.url).deployment(**options)
        made.settings["export"] = {"bucket": BUCKET, "endpoint_url": self.stage.url}
        made.settings["snapshot"] = {"segments": 2}
        return made

    async def equal(self, worker: Worker) -> None:
        await self.published.equal(worker)

    async def lose_days(self) -> None:
        """Changes that the stream has dropped: updates, deletions and re-insertions, over days."""
        begin = datetime.now(UTC) - timedelta(days=DAYS)
        self.log.entries = [
            replace(entry, at=begin - timedelta(hours=1)) for entry in self.log.entries
        ]
        first = len(self.log.entries)

        async def lost(key: str, data: bytes) -> None: ...

        self.published.table.deliver = lost
        await self.put(*range(40, 60), total=1)
        await self.delete(*range(20))
        await self.put(*range(5), total=2)
        await self.put(*range(100, 110), total=3)
        await self.delete(*range(105, 110))
        self.published.table.deliver = None
        lost_ones = self.log.entries[first:]
        self.log.entries[first:] = [
            replace(entry, at=begin + timedelta(days=DAYS - 0.1) * number / len(lost_ones))
            for number, entry in enumerate(lost_ones)
        ]
        await sql(
            self.stage,
            f"update replicator.shard set safe_at = '{begin.isoformat()}', "
            f"found_at = found_at - interval '{DAYS + 1} days'",
        )


@pytest.fixture
async def both(stage: Stage, kinesis_url: str) -> AsyncIterator[Both]:
    async with published_by(stage, kinesis_url) as published, bucket_client(stage.url) as s3:
        described = await stage.client.describe_table(TableName=published.table.name)
        log = TableLog()
        made = Both(published, ExportService(s3, log, described["Table"]["TableArn"]), log)
        async with export_service(stage.url, lambda: made) as made.url:
            yield made


@pytest.mark.wide
async def test_a_table_of_kinesis_is_loaded_and_healed_from_exports(both: Both):
    await both.put(*range(80))
    async with both.deployment(initial_load="export", on_gap="export") as deployment:
        await deployment.migrate()
        worker = deployment.start()
        await both.equal(worker)
        await loaded(worker, reason="initial")
        await both.put(*range(10), total=9)
        await both.delete(70, 71)
        await both.equal(worker)
        assert await worker.stop() == 0

        await both.lose_days()
        worker = deployment.start()
        await both.put(80, 81, total=5)
        await loaded(worker, reason="gap")
        await both.put(80, 45, total=6)
        await both.delete(81)
        await both.equal(worker)
        assert await worker.stop() == 0

    found = "select origin, state from replicator.snapshot order by id"
    assert await sql(both.stage, found) == [("export", "done"), ("changes", "done")]
    assert await sql(both.stage, "select state from replicator.gap") == [("healed",)]
    assert f"Scan {both.published.table.name}" not in both.service.calls
    assert await rows(both.stage) == await items(both.stage, both.published.table.name)
