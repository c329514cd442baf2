"""The function among hostile names in `public`: it looks none of them up."""

import asyncio
from typing import Any

from tests.support.lambda_events import change, event, put
from tests.support.lambda_function import LambdaTable
from tests.support.lambda_runtime import EVENT_SECONDS
from tests.support.traps import lay_traps, own_session, sprung

HERE: dict[str, Any] = {"kind": {"S": "here"}, "parts": {"L": [{"S": "x"}, {"S": "y"}]}}


def test_the_function_looks_no_name_up_in_public(of_all_kinds: LambdaTable):
    """Rows, children, a history, deletions, dead letters, and what is turned away."""
    dsn = of_all_kinds.dsn
    asyncio.run(lay_traps(dsn))

    with of_all_kinds.function() as function:
        for records in (
            [put(5, **HERE), put(6, "b", **HERE), put(7, "c")],
            [put(3), change(8, "b", removed=True), change(9, "c", n={"S": "none"})],
            [put(6, "b")],
        ):
            answer = function.handle(event(*records), seconds_left=EVENT_SECONDS)
            assert answer == {"batchItemFailures": []}

    for table, rows in {
        "public.t": 2,
        "public.parts": 4,
        "public.t_history": 6,
        "replicator.row_version": 6,
        "replicator.dead_letter": 1,
    }.items():
        assert asyncio.run(one(dsn, f"select count(*) from {table}")) == rows, table
    assert not asyncio.run(sprung(dsn))


async def one(dsn: str, text: str) -> Any:
    connection = await own_session(dsn)
    try:
        return await connection.fetchval(text)
    finally:
        await connection.close()
