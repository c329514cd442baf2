"""Servers that go away, change or refuse: whoever does what is printed ends with all well."""

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from replicator.demo.embedded_servers import EmbeddedPostgres
from tests.faults.conftest import NewReplica
from tests.faults.replica import NAMED_SECONDS, Replica
from tests.faults.test_postgres_faults import ROLE
from tests.faults.test_walks import all_is_well, do_as_printed, problem_of
from tests.support import endpoints
from tests.support.daemon import Worker
from tests.support.proxy import proxy

pytestmark = pytest.mark.faults


async def works(it: Replica) -> Worker:
    """A worker that has applied something."""
    worker = await it.deployment.start_ready()
    it.load.put("before")
    await it.equal(worker)
    return worker


async def told_by_the_page(worker: Worker, words: str) -> dict[str, Any]:
    """The first problem of the worker's own page, which needs no server."""

    async def first() -> Any:
        problems = (await worker.status()).get("problems", [])
        return next((each for each in problems[:1] if words in each["what"]), None)

    problem: dict[str, Any] = await worker.until(
        first, what=f"the page says {words}", after=NAMED_SECONDS
    )
    return problem


async def end_sessions(it: Replica) -> None:
    await it.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name like 'replicator%'"
    )


async def test_a_target_that_is_down_is_named_and_needs_nothing_but_to_be_started(
    new_replica: NewReplica, own_postgres: EmbeddedPostgres
):
    async with new_replica(dsn=own_postgres.dsn) as it:
        worker = await works(it)
        await asyncio.to_thread(own_postgres.stop, immediate=True)
        it.load.write(20)

        problem = await told_by_the_page(worker, "PostgreSQL has not answered")

        assert "cannot be reached" in problem["what"]
        assert "work goes on by itself" in problem["remedy"]
        asked = await it.deployment.command("status")
        assert (asked.code, "check that PostgreSQL runs there" in asked.text) == (4, True)
        await asyncio.to_thread(own_postgres.start)
        await all_is_well(it, worker)
        assert await worker.stop() == 0


@pytest.mark.wide
async def test_a_password_that_was_rotated_is_named_with_where_it_is_read_from(
    new_replica: NewReplica, own_postgres: EmbeddedPostgres, tmp_path: Path
):
    async with new_replica(dsn=own_postgres.dsn) as it:
        await it.execute(ROLE.format(name="app") + "alter role app password 'first'")
        hba = own_postgres.directory / "data" / "pg_hba.conf"
        hba.write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n"
        )
        await it.sql("select pg_reload_conf()")
        file = tmp_path / "password"
        file.write_text("first\n")
        target = it.deployment.settings["target"]
        target["dsn"] = it.dsn.replace("//postgres@", "//app@")
        target["password_file"] = str(file)
        worker = await works(it)
        await it.execute("alter role app password 'second'")
        await end_sessions(it)
        it.load.write(20)

        problem = await told_by_the_page(worker, "the password is wrong")

        assert problem["kind"] == "target"
        assert "target.password_file" in problem["remedy"]
        asked = await it.deployment.command("status")
        assert asked.code == 2
        assert "the password is wrong" in asked.text
        assert "target.password_file" in asked.text
        failed = [entry for entry in worker.entries("task failed") if "password" in entry["error"]]
        assert "target.password_file" in failed[0]["remedy"]
        file.write_text("second\n")
        await all_is_well(it, worker)
        assert await worker.stop() == 0


async def test_a_lease_table_that_was_deleted_needs_nobody(
    new_replica: NewReplica, lease_endpoint: str
):
    async with new_replica() as it:
        worker = await works(it)
        async with endpoints.dynamodb_client(lease_endpoint) as client:
            await client.delete_table(TableName=it.lease_table)
        it.load.write(20)

        await all_is_well(it, worker)
        assert await worker.stop() == 0


async def test_a_failover_to_the_other_host_of_the_dsn_needs_nobody(new_replica: NewReplica):
    async with new_replica() as it, proxy(it.dsn) as first, proxy(it.dsn) as second:
        one, other = (urlsplit(each.dsn) for each in (first, second))
        it.deployment.settings["target"]["dsn"] = (
            f"postgresql://{one.username}@127.0.0.1:{one.port},127.0.0.1:{other.port}{one.path}"
            "?target_session_attrs=read-write"
        )
        worker = await works(it)
        await first.close()
        it.load.write(20)

        await all_is_well(it, worker)
        assert await worker.stop() == 0


async def test_a_schema_that_the_role_may_not_use_is_mended_by_what_is_printed(
    new_replica: NewReplica,
):
    async with new_replica() as it:
        name = it.deployment.settings["deployment"]
        await it.execute(ROLE.format(name=name))
        try:
            it.deployment.settings["target"]["dsn"] = it.dsn.replace("//postgres@", f"//{name}@")
            it.deployment.settings["poll"]["discover_seconds"] = 1
            worker = await works(it)
            await it.execute(
                f"revoke usage on schema public from {name};"
                "revoke usage on schema public from public"
            )
            it.load.write(20)

            problem = await problem_of(it, worker, lambda each: each["kind"] == "halted")

            checked = await it.deployment.command("check")
            assert checked.code == 1
            [grant] = re.findall(r"grant usage on schema \"?public\"? to \S+", checked.text)[:1]
            await it.execute(grant)
            await do_as_printed(it, problem["remedy"])
            await all_is_well(it, worker)
            assert await worker.stop() == 0
        finally:
            for each in it.deployment.workers:
                each.kill()
            await it.execute(f"drop owned by {name}; drop role {name}")
