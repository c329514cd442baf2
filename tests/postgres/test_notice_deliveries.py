"""A notice is taken by one worker at a time, until it is delivered, and ends with its problem."""

import asyncio

from replicator.core.status.notices import Due, Notice
from replicator.postgres.connection.database import Database
from replicator.postgres.control.notice_deliveries import Notices
from tests.support.control import control_pool, control_schema

GAP = Notice("orders", "gap", "critical", "a gap", "replicator gaps accept")
HALTED = Notice("orders", "halted", "critical", "no column", "replicator migrate")


def said(taken: list[Due]) -> list[tuple[str, str, int]]:
    return sorted((due.notice.kind, due.event, due.number) for due in taken)


async def half_a_minute_passes(pool: Database) -> None:
    async with pool.connection("a test") as connection:
        await connection.execute(
            "update replicator.notice set tried_at = tried_at - interval '31 seconds'"
        )


async def test_an_opened_notice_is_delivered_once_and_resolved_once(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        notices = Notices(pool)
        await notices.record([GAP, HALTED], seconds_old=0)
        first = await notices.take()
        for due in first:
            await notices.delivered(due)
        await notices.record([GAP], seconds_old=0)
        second = await notices.take()
        for due in second:
            await notices.delivered(due)
        await notices.record([GAP], seconds_old=0)

        assert said(first) == [("gap", "opened", 1), ("halted", "opened", 1)]
        assert said(second) == [("halted", "resolved", 1)]
        assert await notices.take() == []


async def test_what_comes_back_is_told_again_with_another_number(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        notices = Notices(pool)
        await notices.record([GAP], seconds_old=0)
        [due] = await notices.take()
        await notices.delivered(due)
        await notices.record([], seconds_old=0)
        await notices.record([GAP], seconds_old=0)

        assert said(await notices.take()) == [("gap", "opened", 2)]


async def test_the_end_of_a_problem_that_nobody_was_told_of_is_not_told(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        notices = Notices(pool)
        await notices.record([GAP], seconds_old=0)
        await notices.record([], seconds_old=0)

        assert await notices.take() == []


async def test_of_many_workers_one_takes_a_notice_and_after_a_failure_it_is_due_again(
    migrated_database: str,
):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        notices = Notices(pool)
        await asyncio.gather(*[notices.record([GAP], seconds_old=0) for _ in range(8)])

        taken = await asyncio.gather(*[notices.take() for _ in range(8)])

        assert sum(len(each) for each in taken) == 1
        assert await notices.take() == []
        await half_a_minute_passes(pool)
        assert said(await notices.take()) == [("gap", "opened", 1)]
        await half_a_minute_passes(pool)
        assert await notices.take() == []


async def test_a_worker_whose_status_is_older_than_a_notice_neither_ends_nor_opens_it(
    migrated_database: str,
):
    """One worker's status is two seconds older than another's: it knows less, and says nothing."""
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        notices = Notices(pool)
        await notices.record([GAP], seconds_old=0)
        await notices.record([], seconds_old=60)
        opened = await notices.take()
        for due in opened:
            await notices.delivered(due)
        await notices.record([], seconds_old=0)
        await notices.record([GAP], seconds_old=60)

        assert said(opened) == [("gap", "opened", 1)]
        assert said(await notices.take()) == [("gap", "resolved", 1)]


async def test_a_delivery_of_the_opening_does_not_count_for_the_end(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("orders")
        notices = Notices(pool)
        await notices.record([GAP], seconds_old=0)
        [opened] = await notices.take()
        await notices.delivered(opened)
        await notices.record([], seconds_old=0)
        await notices.delivered(opened)

        assert said(await notices.take()) == [("gap", "resolved", 1)]


async def test_notices_of_a_table_that_is_not_registered_are_not_kept(migrated_database: str):
    async with (
        control_schema(migrated_database) as control,
        control_pool(migrated_database) as pool,
    ):
        await control.register("others")
        await Notices(pool).record([GAP], seconds_old=0)

        assert await Notices(pool).take() == []
