"""A table that nobody described is replicated with what `init` prints, not a line edited."""

from typing import Any

import pytest

from tests.end_to_end.conftest import Stage
from tests.support.command import replicator
from tests.support.daemon import Worker

CUSTOMERS, ORDERS = 8, 40


def items() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number in range(CUSTOMERS):
        pk = {"S": f"CUSTOMER#{number}"}
        found.append(
            {
                "PK": pk,
                "SK": {"S": "PROFILE"},
                "fullName": {"S": f"name {number}"},
                "Name": {"S": "x"},
                "name": {"S": "the same in lower case"},
                "createdAt": {"S": f"2026-01-{number + 1:02}T10:00:00Z"},
                "date of birth": {"S": f"19{number + 10}-02-03"},
                "": {"NULL": True},
                "a.b": {"BOOL": True},
                "x" * 70: {"N": "1.5"},
                "ctid": {"N": str(number)},
                "mixed": {"S": "a"} if number % 2 else {"N": "1"},
            }
        )
        found += [
            {
                "PK": pk,
                "SK": {"S": f"ORDER#{order}"},
                "total": {"N": f"{order}.5"},
                "lines": {"L": [{"M": {"sku": {"S": "a"}}}]},
                "tags": {"SS": ["a", "b"]},
                "placedAt": {"N": str(1_760_000_000_000 + order)},
                "extra": {"S": "nul \0"},
                "quantity": {"N": str(order)},
            }
            for order in range(ORDERS // CUSTOMERS)
        ]
    found.append({"PK": {"S": "SETTINGS"}, "SK": {"S": "x"}, "v": {"N": "1"}})
    return [{name: value for name, value in item.items() if name} for item in found]


async def test_what_init_prints_plans_migrates_and_runs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    single = await stage.create_table("single", {"PK": "S", "SK": "S"})
    plain = await stage.create_table("Plain.One", {"id": "N"})
    for item in items():
        await stage.client.put_item(TableName=single, Item=item)
    for number in range(5):
        item = {"id": {"N": str(number)}, "payload": {"B": b"x"}, "user-id": {"S": f"u{number}"}}
        await stage.client.put_item(TableName=plain, Item=item)
    monkeypatch.setenv("REPLICATOR_TARGET__DSN", stage.dsn)
    monkeypatch.setenv("REPLICATOR_HTTP__PORT", "0")
    file = stage.directory / "replicator.yaml"
    tables = ("--table", single, "--table", plain, "--endpoint-url", stage.url)

    printed = await replicator("init", *tables, "--region", "us-east-1", config=None)

    assert printed.code == 0, printed.err
    file.write_text(printed.out)
    text = printed.out
    assert 'when: {PK: {begins_with: "CUSTOMER#"}, SK: {begins_with: "ORDER#"}}' in text
    assert 'when: {PK: {begins_with: "CUSTOMER#"}, SK: PROFILE}' in text
    assert text.count("pk: {from: PK, type: text}") == 3  # the catch-all has the same names
    assert f"deployment: {single}  #" in text
    assert "extra: {type: text, nul: replace}" in text
    assert "rest: others" in text
    assert "placed_at: {from: placedAt, type: timestamptz, format: epoch_ms}" in text
    assert "created_at: {from: createdAt, type: timestamptz}" in text
    assert 'date_of_birth: {from: "\\"date of birth\\"", type: date}' in text
    assert (
        "quantity: numeric  # N, in 100 % of the items; whole, up to 1 digit: bigint would do"
        in text
    )
    assert "mixed: of several types (N in 4, S in 4 of the sampled items)" in text
    fits = await replicator("plan", "--sample", "500", "--json", config=file)
    assert fits.code == 0, fits.err
    [first, _] = fits.document["samples"]
    assert first["sampled"] == CUSTOMERS + ORDERS + 1
    assert [(target["items"], target["fits"]) for target in first["targets"]] == [
        (ORDERS, ORDERS),
        (CUSTOMERS, CUSTOMERS),
        (1, 1),
    ]
    placed = next(c for c in first["targets"][0]["columns"] if c["column"] == "placed_at")
    assert placed == {
        "column": "placed_at",
        "converts": ORDERS,
        "null": 0,
        "rejected": 0,
        "reasons": [],
    }
    for command in ("plan", "migrate", "check"):
        done = await replicator(command, config=file)
        assert done.code == 0, f"{command}: {done.out}{done.err}"
    words = ["--config", str(file), "run", "--until-caught-up"]
    worker = Worker(words, stage.directory / "run.log")
    assert await worker.ended() == 0, worker.tail()
    verified = await replicator("verify", "--json", config=file)
    assert verified.code == 0, verified.out
    counts = {table["target"]: table["compared"] for table in verified.document["tables"]}
    assert sorted(counts.values()) == sorted([CUSTOMERS, ORDERS, 1, 5])
    assert all(table["rejected"] == 0 for table in verified.document["tables"])


async def test_a_table_that_does_not_exist_is_named(stage: Stage):
    tables = ("--table", "absent", "--endpoint-url", stage.url)

    ended = await replicator("init", *tables, config=None)

    assert ended.code == 2
    assert "there is no DynamoDB table 'absent'" in ended.err
    assert not ended.out
