"""The proxy that the faults of connections are made with does as it says."""

import asyncpg
import pytest

from tests.support.proxy import proxy
from tests.support.waiting import eventually


async def test_what_is_cut_after_arrives_and_its_answer_does_not(database: str):
    async with proxy(database) as between:
        direct, through = await asyncpg.connect(database), await asyncpg.connect(between.dsn)
        await direct.execute("create table arrived (n integer)")
        rule = between.plan("cut after", kind="Q", statement="insert into arrived")

        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await through.execute("insert into arrived values (1)")

        assert rule.met.is_set()
        await eventually(lambda: direct.fetch("select 1 from arrived"), what="the row is there")
        await direct.close()


async def test_what_is_cut_does_not_arrive(database: str):
    async with proxy(database) as between:
        direct, through = await asyncpg.connect(database), await asyncpg.connect(between.dsn)
        await direct.execute("create table arrived (n integer)")
        between.plan("cut", kind="Q", statement="insert into arrived")
        session = through.get_server_pid()

        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await through.execute("insert into arrived values (1)")

        async def gone() -> bool:
            query = "select 1 from pg_stat_activity where pid = $1"
            return not await direct.fetch(query, session)

        await eventually(gone, what="the server has ended the session")
        assert await direct.fetch("select 1 from arrived") == []
        await direct.close()
