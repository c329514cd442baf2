"""Streams are listed as often as AWS lets all of them be, and who judges their ages knows it."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from replicator.core.status.table_progress import TableProgress, TableWitness, Told
from replicator.core.stream import listing_interval
from replicator.core.stream.describe_stream_quota import LISTING
from replicator.core.stream.listing_interval import LISTING_CALLS_A_SECOND
from replicator.engine.worker.worker_report_collector import WorkerReportCollector
from replicator.sources.dynamodb import streams
from tests.scale.fleet import Fleet
from tests.scale.servers import Bill
from tests.support.virtual_time import in_virtual_time

FEWER = 5
"""As many times fewer tables, and calls that may be made for them, are seen in less time."""


def proofs(fleet: Fleet) -> Iterable[TableProgress]:
    """The proof of each table, as a status would show it now."""
    told = [
        Told(name, WorkerReportCollector(fleet.clock).report(process.worker), 0.0)
        for name, process in fleet.processes.items()
    ]
    tables = next(iter(fleet.processes.values())).worker.tables
    for name, table in tables.items():
        facts, now = table.facts, fleet.clock.now()
        assert facts is not None, name
        yield TableWitness(facts, {}, told, (), now=now).proof()


def unproved(fleet: Fleet) -> list[TableProgress]:
    """The proofs of the tables whose listings are too old."""
    return [
        proof
        for proof in proofs(fleet)
        if proof.listed_seconds is None or proof.listed_seconds > proof.listed_seconds_max
    ]


async def stays_proved(fleet: Fleet, seconds: float) -> None:
    for _ in range(round(seconds / 10)):
        await asyncio.sleep(10)
        assert unproved(fleet) == []


@pytest.mark.parametrize(
    "fewer",
    [pytest.param(FEWER, marks=pytest.mark.wide), pytest.param(1, marks=pytest.mark.long)],
)
def test_a_thousand_tables_are_listed_in_rounds_and_no_listing_is_called_old(
    fewer: int, monkeypatch: pytest.MonkeyPatch
):
    a_second = LISTING.calls_max // fewer
    monkeypatch.setattr(streams, "LISTING", replace(LISTING, calls_max=a_second))
    monkeypatch.setattr(listing_interval, "LISTING_CALLS_A_SECOND", LISTING_CALLS_A_SECOND / fewer)

    in_virtual_time(are_listed_in_rounds)(1_000 // fewer, a_second)


async def are_listed_in_rounds(tables: int, a_second: int) -> None:
    round_seconds = 1_000 / LISTING_CALLS_A_SECOND
    fleet = Fleet(tables, tables=tables)
    before = fleet.start()
    await fleet.seconds_until(lambda: fleet.all_read, at_most=300)
    await asyncio.sleep(10)
    fleet.servers.bill = bill = Bill()

    await stays_proved(fleet, 2 * round_seconds)
    assert bill.described_max <= a_second
    assert tables <= bill.calls["streams DescribeStream"] <= 2 * tables

    fleet.start()
    await asyncio.sleep(30)
    await fleet.stop(before)
    await stays_proved(fleet, 2 * round_seconds)
    assert bill.described_max <= a_second


@in_virtual_time
async def test_few_tables_are_listed_as_often_as_the_configuration_says():
    fleet = Fleet(20, tables=20)
    name = fleet.start()
    await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    await asyncio.sleep(60)

    process = fleet.processes[name]
    assert process.worker.listing_seconds == process.worker.settings.discover_seconds
    assert all(proof.listed_seconds_max == 120 for proof in proofs(fleet))


@in_virtual_time
async def test_a_stream_of_many_pages_is_listed_less_often():
    """It shows 24,000 that have ended within a day, and takes 245 calls."""
    fleet = Fleet(500)
    name = fleet.start()
    await fleet.seconds_until(lambda: fleet.all_read, at_most=60)
    fleet.age(24, every_seconds=1800)

    await asyncio.sleep(300)

    assert fleet.processes[name].worker.listing_seconds > 60
    assert unproved(fleet) == []
