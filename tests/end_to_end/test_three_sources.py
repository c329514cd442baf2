"""The same changes through DynamoDB Streams, AWS Lambda and Kinesis end in the same rows.

One scripted table makes the changes. Each source gets them in the form that AWS gives them there:
DynamoDB Streams in shards that divide, read by a worker; Lambda as events, some of them twice, the
shards in any order among each other; Kinesis without numbers, in disorder and with repetitions.
"""

import asyncio
import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from replicator.app.aws_lambda.compose_function import function_of
from tests.end_to_end.conftest import Stage, one_emulator
from tests.end_to_end.test_snapshot import sql
from tests.end_to_end.traffic import COLUMNS, CONFIGURED
from tests.support.comparison import Rows, assert_equal, read_rows
from tests.support.daemon import Deployment
from tests.support.kinesis_tables import (
    Destination,
    described,
    kinesis_data,
    kinesis_stream,
    partition_key,
)
from tests.support.lambda_runtime import EVENT_SECONDS
from tests.support.oracle import Target
from tests.support.random_items import RandomItems
from tests.support.scripted_streams import Table, scripted_streams
from tests.support.scripted_streams.items import canonical

pytestmark = one_emulator

CHANGES = [300, pytest.param(900, marks=pytest.mark.wide)]
KEYS = [f"k{number:03}" for number in range(30)]
SOURCES = ("streams", "lambda", "kinesis")
BEGAN = 1_789_000_000_000_000
EVENT_RECORDS = 60
APPLIED: dict[str, list[Any]] = {"batchItemFailures": []}
Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A change, with the images as DynamoDB returns them."""

    old: Item | None
    new: Item | None
    expired: bool
    micros: int


@dataclass
class Log:
    """Every change of the scripted table, in order, and what they end in."""

    table: Table
    random: RandomItems
    made: list[Made] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    expected: Target = field(default_factory=lambda: Target({"pk": "S"}, COLUMNS, rest="extra"))
    expired: set[str] = field(default_factory=set)

    def change(self) -> None:
        """Put an item, delete it, or let it expire."""
        chance = self.random.random
        pk = chance.choice(KEYS)
        old = self.items.get(pk)
        keys: Item = {"pk": {"S": pk}}
        kind = chance.choices(("put", "delete", "expire"), weights=(6, 1, 1))[0]
        micros = BEGAN + 7 * len(self.made)
        if kind == "put":
            item = {**self.random.named_values(chance.randint(0, 3)), **self._columns(), **keys}
            new = canonical(item)
            if self.table.put(item) is not None:
                self.made.append(Made(old, new, False, micros))
                self.items[pk] = new
                self.expected.put({name: of for name, of in item.items() if name != "parts"})
                self.expired.discard(pk)
        elif old is not None:
            (self.table.expire if kind == "expire" else self.table.delete)(keys)
            self.made.append(Made(old, None, kind == "expire", micros))
            del self.items[pk]
            if kind == "expire":
                self.expired.add(pk)
            else:
                self.expected.delete(keys)

    def _columns(self) -> Item:
        """Attributes that fit their columns, some of them absent."""
        random, chance = self.random, self.random.random
        return random.chosen(
            {
                "change": lambda: {"N": str(len(self.made))},
                "amount": lambda: {"N": random.number()},
                "price": lambda: {"N": random.money()},
                "label": lambda: {"S": random.string()},
                "flag": lambda: {"BOOL": chance.random() < 0.5},
                "raw": lambda: {"B": random.binary()},
                "names": random.set_of_strings,
                "numbers": random.set_of_numbers,
                "blobs": random.set_of_binaries,
                "doc": random.value,
                "parts": lambda: {
                    "L": [{"S": random.string()} for _ in range(chance.randint(0, 3))]
                },
            },
            share=0.7,
        )

    def parts(self) -> Counter[tuple[str, int, str]]:
        """Rows of the child table."""
        return Counter(
            (pk, place, part["S"])
            for pk, item in self.items.items()
            for place, part in enumerate(item.get("parts", {"L": []})["L"])
        )


def entry(log: Log, name: str, **options: Any) -> dict[str, Any]:
    target = {
        "columns": CONFIGURED,
        "rest": "extra",
        "on_expire": "soft",
        "history": f"public.{name}_history",
        "children": {
            f"public.{name}_parts": {
                "from": "parts",
                "position": "place",
                "value": {"part": "text"},
            }
        },
    }
    return {
        "table": log.table.name,
        "initial_load": "stream",
        "into": {f"public.by_{name}": target},
        **options,
    }


async def through_streams(deployment: Deployment) -> None:
    await deployment.migrate()
    assert (await deployment.run_until_caught_up()).code == 0


async def through_kinesis(deployment: Deployment, log: Log, put: Any, chance: Random) -> None:
    """Of each item a few records change places; a third comes twice, some much later."""
    sent = [
        (partition_key(pk_of(each)), record_of_kinesis(log.table.name, each)) for each in log.made
    ]
    again = chance.sample(sent, len(sent) // 3)
    places = [(number + chance.uniform(0, 40), each) for number, each in enumerate(sent)]
    places += [(chance.uniform(0, len(sent) * 1.1), each) for each in again]
    for _, (key, data) in sorted(places, key=lambda placed: placed[0]):
        await put(data, key=key)
    await deployment.migrate()
    assert (await deployment.run_until_caught_up()).code == 0


async def through_lambda(deployment: Deployment, log: Log, chance: Random) -> None:
    """Events of each shard in order, those of different shards in any; some are given twice."""
    await deployment.migrate()
    queues: list[list[list[Item]]] = []
    for number in sorted(log.table.shard_ids()):
        records = [
            record_of_lambda(record, log.table.stream_arn) for record in log.table.records(number)
        ]
        queues.append(
            [records[at : at + EVENT_RECORDS] for at in range(0, len(records), EVENT_RECORDS)]
        )
    environ = {"REPLICATOR_CONFIG": str(deployment.path), "AWS_REGION": "us-east-1"}
    function = await asyncio.to_thread(function_of, environ, lambda _: None)
    try:
        while any(queues):
            queue = chance.choice([each for each in queues if each])
            event = {"Records": queue.pop(0)}
            for _ in range(chance.choice([1, 1, 2])):
                answer = await asyncio.to_thread(function.handle, event, seconds_left=EVENT_SECONDS)
                assert answer == APPLIED
    finally:
        await asyncio.to_thread(function.close)


def record_of_lambda(record: Item, arn: str) -> Item:
    """A record of the API as Lambda hands it over."""
    identity = record.get("userIdentity")
    named = {name[0].lower() + name[1:]: text for name, text in (identity or {}).items()}
    return {**record, "eventSourceARN": arn, **({"userIdentity": named} if identity else {})}


def record_of_kinesis(table: str, made: Made) -> bytes:
    old, new = (None if each is None else of_sdk({"M": each})["M"] for each in (made.old, made.new))
    return kinesis_data(table, old, new, micros=made.micros, expired=made.expired)


def of_sdk(value: Item) -> Item:
    """A typed value with bytes for what is binary."""
    match value:
        case {"B": text}:
            return {"B": base64.b64decode(text)}
        case {"BS": texts}:
            return {"BS": [base64.b64decode(text) for text in texts]}
        case {"M": members}:
            return {"M": {name: of_sdk(member) for name, member in members.items()}}
        case {"L": elements}:
            return {"L": [of_sdk(element) for element in elements]}
        case _:
            return value


def pk_of(made: Made) -> str:
    pk: str = (made.new or made.old or {})["pk"]["S"]
    return pk


async def rows_of(stage: Stage, source: str) -> tuple[Rows, set[str]]:
    """The rows, and the keys of those that are softly deleted."""
    found = await read_rows(stage.dsn, f"public.by_{source}", key=("pk",))
    gone = {pk for (pk,), row in found.items() if row.pop("_deleted_at") is not None}
    return found, gone


async def history_of(stage: Stage, source: str) -> Counter[str]:
    """Every change of the history, without numbers and times, which are each source's own."""
    images = "new_image::text, old_image::text"
    rows = await sql(stage, f"select keys::text, operation, {images} from public.{source}_history")
    return Counter(json.dumps(row) for row in rows)


async def parts_of(stage: Stage, source: str) -> Counter[tuple[str, int, str]]:
    rows = await sql(stage, f"select pk, place, part from public.{source}_parts")
    return Counter((str(pk), int(str(place)), str(part)) for pk, place, part in rows)


@pytest.mark.parametrize("changes", CHANGES)
async def test_the_same_changes_through_each_source_end_in_the_same_rows(
    stage: Stage, kinesis_url: str, changes: int
):
    chance, name = Random(19), f"{stage.prefix}-orders"
    async with (
        await scripted_streams(forward=stage.url) as server,
        kinesis_stream(kinesis_url, f"{stage.prefix}-changes", shards=2) as stream,
        described(server.endpoint_url, Destination(name, stream.arn)) as url,
    ):
        log = Log(server.table(name, key={"pk": "S"}, shards=2), RandomItems(19))
        while len(log.made) < changes:
            log.change()
            if len(log.table.shard_ids()) < 2 + 2 * (len(log.made) * 3 // changes):
                log.table.split(log.table.open_shards()[0])
        source = {"kinesis": stream.arn, "kinesis_endpoint_url": kinesis_url}
        of_streams = stage.deployment(
            {"orders": entry(log, "streams")}, name="streams", endpoint_url=server.endpoint_url
        )
        of_lambda = stage.deployment(
            {"orders": entry(log, "lambda", poller="lambda")},
            name="lambda",
            endpoint_url=server.endpoint_url,
        )
        of_kinesis = stage.deployment(
            {"orders": entry(log, "kinesis", source=source)}, name="kinesis", endpoint_url=url
        )
        async with of_streams, of_lambda, of_kinesis:
            await through_streams(of_streams)
            await through_lambda(of_lambda, log, chance)
            await through_kinesis(of_kinesis, log, stream.put, chance)

    for each in SOURCES:
        found, gone = await rows_of(stage, each)
        assert_equal(log.expected.rows, found)
        assert gone == log.expired, each
    histories = [await history_of(stage, each) for each in SOURCES]
    assert [history.total() for history in histories] == [len(log.made)] * 3
    assert all(one == other for one, other in pairwise(histories))
    parts = [await parts_of(stage, each) for each in SOURCES]
    assert all(one == other for one, other in pairwise(parts))
    live = log.parts()
    assert Counter({row: n for row, n in parts[0].items() if row[0] in log.items}) == live
    assert await sql(stage, "select 1 from replicator.dead_letter") == []
    assert await sql(stage, "select 1 from replicator.gap") == []
