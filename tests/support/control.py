"""A control schema with facts in it, written as workers would, and the configuration beside it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from replicator.core.status.worker_report import (
    LateShard,
    TableReport,
    WorkerReport,
    report_document,
)
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.migrate import migrate
from tests.support.bounds import USUAL_SECONDS
from tests.support.mappings import mapping, target

DEPLOYMENT = "test"


@asynccontextmanager
async def control_pool(dsn: str, *, pool_size: int = 2) -> AsyncIterator[Database]:
    """A pool of the deployment's connections, as a worker has one."""
    pool = Database(
        # a test says when a lock ends
        ConnectionSettings(dsn=dsn, lock_timeout_seconds=USUAL_SECONDS),
        deployment=DEPLOYMENT,
        control_schema="replicator",
        pool_size=pool_size,
    )
    try:
        yield pool
    finally:
        await pool.close()


def stream_arn(table: str, label: str = "2026-03-01T00:00:00.000") -> str:
    return f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}/stream/{label}"


@dataclass(frozen=True)
class Control:
    """The control schema of a deployment, and the connection that its rows are written with."""

    dsn: str
    connection: asyncpg.Connection

    async def register(self, *tables: str) -> None:
        """What `migrate` does for these tables, each into one of the same name."""
        done = await migrate(
            ConnectionSettings(dsn=self.dsn),
            "replicator",
            DEPLOYMENT,
            [mapping(target(f"public.{table}"), name=table) for table in tables],
        )
        assert not [finding for finding in done.findings if finding.severity == "error"]

    async def generation(self, table: str, *, label: str = "2026-03-01T00:00:00.000") -> str:
        """Give a table a stream; the ARN."""
        arn = stream_arn(table, label)
        label_at = datetime.fromisoformat(label).replace(tzinfo=UTC)
        await self._insert("generation", source=table, stream_arn=arn, label_at=label_at)
        await self.connection.execute(
            "update replicator.table_state set stream_arn = $2, start_at = now() where source = $1",
            table,
            arn,
        )
        return arn

    async def shard(self, table: str, shard_id: str = "shard-0", **facts: Any) -> None:
        """Add a shard that was read up to a minute ago; `ago` says how long ago else."""
        ago = facts.pop("ago", timedelta(minutes=1))
        now = await self.connection.fetchval("select now()")
        await self._insert(
            "shard",
            **{
                "source": table,
                "stream_arn": stream_arn(table),
                "shard_id": shard_id,
                "state": "active",
                "listed": True,
                "safe_at": None if ago is None else now - ago,
                "polled_at": now,
                **facts,
            },
        )

    async def worker(
        self,
        name: str,
        *late: LateShard,
        seen_seconds_ago: float = 0.0,
        leases: int = 1,
        listed_seconds: float = 0.0,
    ) -> None:
        """Say that a worker was seen, and that it works on every registered table."""
        seen_at = await self.connection.fetchval(
            "select now() - make_interval(secs => $1)", seen_seconds_ago
        )
        rows = await self.rows("select source, mapping_fingerprint from replicator.table_state")
        report = WorkerReport(
            seen_at,
            looked_seconds=0.0,
            tables={
                source: TableReport(fingerprint, 1, listed_seconds, 0.0, late)
                for source, fingerprint in rows
            },
        )
        await self._insert(
            "worker",
            id=name,
            version="0",
            leases=leases,
            seen_at=seen_at,
            told_at=seen_at,
            evidence=json.dumps(report_document(report)),
        )

    async def head(self, table: str, shard_id: str = "shard-0") -> None:
        """Say that a shard was seen at its head just now."""
        await self.connection.execute(
            "update replicator.shard set head_at = now(), safe_at = now(), polled_at = now()"
            " where source = $1 and shard_id = $2",
            table,
            shard_id,
        )

    async def gap(self, table: str, shard_id: str | None = "shard-0", **facts: Any) -> int:
        """Record an open gap; its number."""
        return await self._insert(
            "gap",
            returning="id",
            **{
                "source": table,
                "stream_arn": stream_arn(table),
                "shard_id": shard_id,
                "kind": "certain",
                "detail": "the position is older than what the shard still holds",
                **facts,
            },
        )

    async def letter(self, table: str, key: str = "a", **facts: Any) -> int:
        """Set a record aside; its number."""
        return await self._insert(
            "dead_letter",
            returning="id",
            **{
                "source": table,
                "stream_arn": stream_arn(table),
                "shard_id": "shard-0",
                "item_key": f'{{"pk":{{"S":"{key}"}}}}',
                "event": "modify",
                "sequence_number": 111222333444555666777,
                "target": f"public.{table}",
                "reason": "attribute 'total', column 'total': 1.005 has more than 2 decimals",
                **facts,
            },
        )

    async def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return [tuple(row) for row in await self.connection.fetch(query, *values)]

    async def actions(self) -> list[tuple[Any, ...]]:
        """What was done by hand: table, verb, who, why."""
        return await self.rows("select source, verb, who, why from replicator.action order by id")

    async def _insert(self, table: str, *, returning: str = "1", **values: Any) -> int:
        values = {"deployment": DEPLOYMENT, **values}
        places = ", ".join(f"${number + 1}" for number in range(len(values)))
        number: int = await self.connection.fetchval(
            f"insert into replicator.{table} ({', '.join(values)}) values ({places}) "
            f"returning {returning}",
            *values.values(),
        )
        return number


@asynccontextmanager
async def control_schema(dsn: str) -> AsyncIterator[Control]:
    """A connection to a database that `register` makes a control schema in."""
    connection = await asyncpg.connect(dsn, timeout=USUAL_SECONDS)
    try:
        yield Control(dsn, connection)
    finally:
        await connection.close()


def write_configuration(
    directory: Path,
    *tables: str,
    dsn: str,
    endpoint_url: str = "http://127.0.0.1:9",
    lease_table: str = "leases",
) -> Path:
    """A configuration of these tables; nobody listens at the endpoint unless it is given."""
    file = directory / "replicator.yaml"
    document = {
        "version": 1,
        "deployment": DEPLOYMENT,
        "source": {"region": "us-east-1", "endpoint_url": endpoint_url},
        "coordination": {"table": lease_table},
        "target": {"dsn": dsn},
        "http": {"port": 0},
        "tables": {
            table: {"initial_load": "stream", "into": {f"public.{table}": {}}} for table in tables
        },
    }
    file.write_text(yaml.safe_dump(document))
    return file
