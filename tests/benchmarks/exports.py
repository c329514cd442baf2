"""The same table loaded by a scan and from an export, in turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tests.benchmarks.forms import TYPED, expect, make_template
from tests.benchmarks.rows import KEY
from tests.benchmarks.snapshot import ExportPlace, run_load
from tests.benchmarks.throughput import Contender, Stand
from tests.support.exports import (
    BUCKET,
    ExportService,
    TableLog,
    Written,
    bucket_client,
    export_service,
    write_export,
)

SCAN = "by scan"
FILES = 8


@dataclass(slots=True)
class OneExport(ExportService):
    """Everybody who asks is given the same export."""

    written: Written | None = None

    async def make(self, since: datetime | None, until: datetime) -> str:
        assert self.written is not None, f"of {until}, not since {since}"
        self.made[self.written.arn] = self.written
        return self.written.arn


@asynccontextmanager
async def contenders(stand: Stand) -> AsyncIterator[dict[str, Contender]]:
    """A scan and an export, both by one worker into an empty table."""
    machine, orders = stand.machine, list(stand.base.values())[: stand.records]
    table = machine.source.table(name := machine.new_name("loaded"), key=KEY, shards=1)
    items = [order.item() for order in orders]
    table.load_items(items)
    template = await make_template(machine, replace(TYPED, name="to_load"), [], name)
    expected = await expect(machine, TYPED, template, orders)
    load = partial(
        run_load, machine, template, name, expected=expected, items=len(orders), workers=1
    )
    async with bucket_client(machine.emulator) as s3:
        service = OneExport(s3, TableLog(), arn_of(name))
        service.written = await write(s3, name, items)
        async with export_service(machine.source.endpoint_url, lambda: service) as endpoint:
            place = ExportPlace(endpoint, BUCKET)
            yield {SCAN: load, "from an export": partial(load, export=place)}


async def write(s3: Any, table: str, items: list[dict[str, Any]]) -> Written:
    """An export of a time that is late enough for every run."""
    return await write_export(
        s3,
        f"{arn_of(table)}/export/01693685827463-2d8752fd",
        arn_of(table),
        [{"Item": item} for item in items],
        since=None,
        until=datetime.now(UTC) + timedelta(days=1),
        files=FILES,
    )


def arn_of(table: str) -> str:
    """The ARN that the scripted source gives a table."""
    return f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}"
