"""The items of a single-table design, and what an analyst asks of the tables made of them."""

from collections.abc import Iterator
from typing import Any

import asyncpg

CUSTOMERS, ORDERS_OF_EACH, EVENTS, ALERTS = 300, 12, 1_039, 6
ITEMS = CUSTOMERS * (1 + ORDERS_OF_EACH) + EVENTS + ALERTS + 10
COUNTRIES = ("DE", "IT", "JP")


def key(pk: str, sk: str) -> dict[str, Any]:
    return {"PK": {"S": pk}, "SK": {"S": sk}}


def items() -> Iterator[dict[str, Any]]:
    """Customers with their orders; one long partition of events, with a few alerts at its end."""
    for number in range(CUSTOMERS):
        pk = f"CUSTOMER#{number:05}"
        yield key(pk, "PROFILE") | {
            "entityType": {"S": "customer"},
            "fullName": {"S": f"name {number}"},
            "country": {"S": COUNTRIES[number % 3]},
            "createdAt": {"S": f"2026-01-{number % 28 + 1:02}T10:00:00Z"},
        }
        for order in range(ORDERS_OF_EACH):
            yield key(pk, f"ORDER#{order:03}") | {
                "entityType": {"S": "order"},
                "total": {"N": f"{order}.25"},
                "placedAt": {"N": str(1_760_000_000_000 + 86_400_000 * order)},
                "shippedAt": {"S": "" if order % 4 == 0 else "2026-02-03T04:05:06Z"},
            }
    for number in range(EVENTS):
        yield key("LOG", f"EVENT#{number:06}") | {
            "entityType": {"S": "event"},
            "level": {"N": str(number % 5)},
        }
    for number in range(ALERTS):
        yield key("LOG", f"WARNING#{number}") | {
            "entityType": {"S": "alert"},
            "severity": {"S": "high"},
        }
    for number in range(10):
        yield key("SETTINGS", f"{number}") | {"entityType": {"S": "setting"}, "v": {"N": "1"}}


async def create_single_table(client: Any, name: str) -> None:
    """A table for them, with a stream."""
    await client.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "PK", "KeyType": "HASH"},
            {"AttributeName": "SK", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": part, "AttributeType": "S"} for part in ("PK", "SK")
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


async def put_all(client: Any, table: str) -> None:
    """Write them to a table whose key is PK, SK."""
    found = list(items())
    for start in range(0, ITEMS, 25):
        puts = [{"PutRequest": {"Item": item}} for item in found[start : start + 25]]
        await client.batch_write_item(RequestItems={table: puts})


async def questions_are_answered(dsn: str) -> None:
    """Ask who bought how much, which orders are late, and what happened; compare the answers."""
    connection = await asyncpg.connect(dsn)
    try:
        by_country = await connection.fetch(
            "select country, sum(total) as total from orders join customers using (pk)"
            " group by country order by country"
        )
        late = await connection.fetchval(
            "select count(*) from orders"
            " where placed_at >= '2025-10-15' and shipped_at is null and total > 1"
        )
        worst = await connection.fetch(
            "select level, count(*) as events from events group by level order by level desc"
        )
        alerts = await connection.fetchval("select count(*) from alerts where severity = 'high'")
        letters = await connection.fetchval("select count(*) from replicator.dead_letter")
    finally:
        await connection.close()
    assert [tuple(row.values()) for row in by_country] == [
        (country, CUSTOMERS // 3 * sum(n + 0.25 for n in range(ORDERS_OF_EACH)))
        for country in COUNTRIES
    ]
    assert late == CUSTOMERS
    assert [row["level"] for row in worst] == [4, 3, 2, 1, 0]
    assert sum(row["events"] for row in worst) == EVENTS
    assert (alerts, letters) == (ALERTS, 0)
