"""How cost grows: with records, existing rows, shards, item sizes and the way to PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from random import Random

from tests.benchmarks.forms import TYPED, expect
from tests.benchmarks.load import Changed, Load, make_load, repeated, wire
from tests.benchmarks.orders import new_order
from tests.benchmarks.samples import Sample
from tests.benchmarks.throughput import Contender, Stand
from tests.benchmarks.worker import run_workers

RECORDS = (10_000, 100_000, 1_000_000)
ROWS = (10_000, 100_000, 1_000_000, 5_000_000)
SHARDS = (1, 16, 200)
ROUND_TRIPS_MS = (0.0, 2.0, 10.0)
ITEM_SIZES = (1_000, 100_000, 400_000)
PAGE_BYTES = 1_000_000  # what one answer of the service holds
PAGES_OF_A_SHARD = 4
_PIECE = 65_536


async def by_records(stand: Stand) -> dict[str, Contender]:
    """The same 10,000 changes again and again."""
    load, template, expected = await _mixed(stand, RECORDS[0])
    found: dict[str, Contender] = {}
    for records in RECORDS:
        pages = list(repeated(load.pages()[0], records // RECORDS[0]))
        served = stand.machine.serve_pages([pages], records)
        found[f"{records:,} records"] = partial(
            run_workers, stand.machine, template, served, TYPED, expected=expected
        )
    return found


async def by_rows(stand: Stand) -> dict[str, Contender]:
    """The same changes, over more rows that are there already."""
    served = stand.machine.serve(
        make_load("mixed", 20_000, {number: stand.base[number] for number in range(ROWS[0])})
    )
    return {
        f"{rows:,} rows": partial(
            run_workers,
            *(stand.machine, await _with_rows(stand, rows), served, TYPED),
            expected=None,
        )
        for rows in ROWS
    }


async def by_shards(stand: Stand) -> dict[str, Contender]:
    """The same changes in more shards."""
    load, template, expected = await _mixed(stand, 20_000)
    return {
        f"{shards} shards": partial(
            run_workers,
            *(stand.machine, template, stand.machine.serve(load, shards=shards), TYPED),
            expected=expected,
        )
        for shards in SHARDS
    }


async def by_round_trip(stand: Stand) -> dict[str, Contender]:
    """The same changes, with PostgreSQL behind a longer way."""
    load, template, expected = await _mixed(stand, 20_000)
    served = stand.machine.serve(load)

    async def run(seconds: float) -> Sample:
        async with _far_away(stand.machine.postgres.port, seconds) as port:
            return await run_workers(
                stand.machine, template, served, TYPED, expected=expected, port=port
            )

    return {
        f"{milliseconds:g} ms more": partial(run, milliseconds / 2000)
        for milliseconds in ROUND_TRIPS_MS
    }


async def by_item_size(stand: Stand) -> dict[str, Contender]:
    """Peak memory with pages as large as the service makes them."""
    template = await stand.template(TYPED)
    found: dict[str, Contender] = {}
    for shards in SHARDS[:2]:
        for size in ITEM_SIZES:
            pages = [_large_pages(shard, size) for shard in range(shards)]
            records = shards * PAGES_OF_A_SHARD * (PAGE_BYTES // size)
            served = stand.machine.serve_pages(pages, records)
            found[f"{shards} shards, {size // 1000} KB items"] = partial(
                run_workers, stand.machine, template, served, TYPED, expected=None
            )
    return found


async def _mixed(stand: Stand, records: int) -> tuple[Load, str, str]:
    """A load over the base rows, the database that has them, and the rows it must end in."""
    load = make_load("mixed", records, stand.base)
    template = await stand.template(TYPED)
    return load, template, await expect(stand.machine, TYPED, template, load.ends.values())


def _large_pages(shard: int, size: int) -> list[bytes]:
    chance, pages = Random(shard), []
    each = PAGE_BYTES // size
    for page in range(PAGES_OF_A_SHARD):
        bodies = []
        for place in range(each):
            counter = page * each + place
            order = new_order(20_000_000 + shard * 100_000 + counter, chance)
            padded = replace(order, note="x" * max(1, size - 600))
            bodies.append(wire(Changed(shard, None, padded), shard, counter + 2))
        pages.append(b"[" + b",".join(bodies) + b"]")
    return pages


async def _with_rows(stand: Stand, rows: int) -> str:
    """A template whose table holds so many rows, those of the base first."""
    name = stand.machine.new_name("rows")
    template = await stand.template(TYPED)
    await stand.machine.execute(
        f"create database {name} template {template} strategy file_copy",
        stand.machine.postgres.dsn,
    )
    have = len(stand.base)
    statement = f"delete from orders where sk >= 'ORDER#{rows:09d}'"
    if rows > have:
        others = "total, quantity, discount, status, customer, address, paid, placed, meta, tags"
        statement = (
            f"insert into orders (pk, sk, {others}, signature, note)"
            " select pk, 'ORDER#' || (900000000 + row_number() over ())::text,"
            f" {others}, signature, note from orders, generate_series(1, {rows // have - 1}) as g"
        )
    for each in (statement, "vacuum analyze orders"):
        await stand.machine.execute(each, stand.machine.dsn(name))
    return name


@asynccontextmanager
async def _far_away(port: int, seconds: float) -> AsyncIterator[int]:
    """A port on which the server answers later: everything waits so long in each direction."""
    if not seconds:
        yield port
        return

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while piece := await reader.read(_PIECE):
                loop.call_later(seconds, writer.write, piece)
        loop.call_later(seconds, writer.close)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_server = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(carry(reader, to_server))
            tasks.create_task(carry(behind, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
