"""Which leases are one table's: told by ARNs where they are known, else by the table's name."""

from replicator.app.administration.forget_table import leases_of
from replicator.postgres.control.forget_table import Streams

OTHER_REGION = "arn:aws:dynamodb:eu-west-1:1:table/orders"
TABLE = "arn:aws:dynamodb:us-east-1:1:table/orders"


def lease(table_arn: str, label: str = "2026-03-01T00:00:00.000", shard: str = "s-1") -> str:
    return f"prod:{table_arn}/stream/{label}:{shard}"


def own(streams: dict[str, Streams], *keys: str) -> tuple[str, ...]:
    return leases_of("orders", keys, deployment="prod", streams=streams)


def test_every_stream_that_the_table_ever_had_counts():
    streams = {"orders": Streams("orders", frozenset({f"{TABLE}/stream/2026-03-01T00:00:00.000"}))}
    newer, older = lease(TABLE), lease(TABLE, "2025-01-01T00:00:00.000", "s-0")

    assert own(streams, newer, older, lease(OTHER_REGION)) == (older, newer)


def test_a_name_that_begins_alike_is_another_table():
    streams = {"orders": Streams(TABLE, frozenset())}

    assert own(streams, lease(f"{TABLE}-archive"), lease(TABLE)) == (lease(TABLE),)


def test_without_a_known_stream_the_name_tells():
    streams = {"orders": Streams("orders", frozenset())}
    archive = "arn:aws:dynamodb:us-east-1:1:table/old-orders"

    assert own(streams, lease(TABLE), lease(archive)) == (lease(TABLE),)


def test_what_another_table_knows_as_its_own_is_never_touched():
    streams = {
        "orders": Streams("orders", frozenset()),
        "orders_eu": Streams(OTHER_REGION, frozenset()),
    }

    assert own(streams, lease(TABLE), lease(OTHER_REGION)) == (lease(TABLE),)
