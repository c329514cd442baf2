"""What all living workers handle is the sum of what each has written down."""

from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.connection.database import Database
from replicator.postgres.control.positions import Positions
from replicator.postgres.control.status_reads import read_knowledge
from replicator.postgres.control.throughput import write_throughput
from tests.support.control import DEPLOYMENT, control_schema


async def test_only_living_workers_count(database: str):
    async with control_schema(database) as control:
        await control.register("orders", "carts")
        pool = Database(
            ConnectionSettings(dsn=database),
            deployment=DEPLOYMENT,
            control_schema="replicator",
            pool_size=2,
        )
        try:
            for worker in ("one", "two", "gone"):
                await Positions(pool).seen(worker, version="0", leases=1)
                await write_throughput(pool, worker, {"orders": 5, "carts": 1})
            await write_throughput(pool, "two", {"orders": 7})
            await control.connection.execute(
                "update replicator.worker set seen_at = now() - interval '2 minutes'"
                " where id = 'gone'"
            )

            knowledge, _ = await read_knowledge(pool)
        finally:
            await pool.close()

    assert knowledge.throughput == {"orders": 12, "carts": 1}
