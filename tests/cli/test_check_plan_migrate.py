"""`check`, `plan` and `migrate` as a person runs them, on both emulators and a real server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from tests.support.command import Ended, replicator
from tests.support.control import control_schema
from tests.support.endpoints import create_table, dynamodb_client, streams_client
from tests.support.missing_part import skip_without
from tests.support.nobody import PORT_OF_NOBODY
from tests.support.postgres_versions import TOO_OLD, VersionMissing, binaries, postgres_of

Write = Callable[..., Path]


@pytest.fixture
async def configured(
    database: str, dynamodb_endpoint: str, table_name: str, tmp_path: Path
) -> Write:
    """Writes a configuration that fits: a table with a stream, a database; changes on request."""
    async with dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, table_name)

    def write(columns: dict[str, Any] | None = None, **changes: Any) -> Path:
        document = {
            "version": 1,
            "deployment": "test",
            "source": {"region": "us-east-1", "endpoint_url": dynamodb_endpoint},
            "coordination": {"table": f"{table_name}-leases"},
            "target": {"dsn": database},
            "tables": {
                "orders": {
                    "table": table_name,
                    "initial_load": "snapshot",
                    "into": {
                        "public.orders": {
                            "columns": {"total": "numeric", **(columns or {})},
                            "rest": "extra",
                        }
                    },
                }
            },
            **changes,
        }
        file = tmp_path / "replicator.yaml"
        file.write_text(yaml.safe_dump(document))
        return file

    return write


def errors(ended: Ended) -> list[str]:
    return [
        f"{finding['where']}: {finding['message']}"
        for finding in ended.document["findings"]
        if finding["severity"] == "error"
    ]


async def test_what_plan_prints_migrate_does_and_then_everything_fits(
    configured: Write, database: str
):
    config = configured()

    planned = await replicator("plan", "--json", "--exit-code", config=config)
    checked_before = await replicator("check", "--json", config=config)
    migrated = await replicator("migrate", config=config)
    planned_again = await replicator("plan", "--exit-code", config=config)
    checked = await replicator("check", config=config)

    assert planned.code == 1
    [statement] = planned.document["statements"]
    assert statement["sql"] in migrated.out
    assert checked_before.code == 0
    assert all(f["where"] == "migrate is due" for f in checked_before.document["findings"])
    assert migrated.code == 0
    assert (planned_again.code, planned_again.out) == (0, "nothing to do\n")
    assert (checked.code, checked.out) == (0, "everything fits\n")
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("select source from replicator.target_claim") == "orders"
    await connection.close()


async def test_check_warns_of_a_table_that_another_configuration_works_on(
    configured: Write, database: str
):
    config = configured()
    await replicator("migrate", config=config)

    async with control_schema(database) as control:
        await control.register("parts")
        before = await replicator("check", config=config)
        await control.worker("of-parts")
        checked = await replicator("check", "--json", config=config)

    assert (before.code, before.out) == (0, "everything fits\n")
    assert checked.code == 0
    [finding] = checked.document["findings"]
    assert (finding["severity"], finding["where"]) == ("warning", "table parts")
    assert "another configuration has the same `deployment`" in finding["message"]


async def test_plan_changes_nothing(configured: Write, database: str):
    await replicator("plan", config=configured())

    connection = await asyncpg.connect(database)
    made = await connection.fetchval(
        "select count(*) from pg_class where relnamespace::regnamespace::text !~ '^(pg_|info)'"
    )
    await connection.close()
    assert made == 0


async def test_plan_counts_the_control_schemas_statements_and_prints_them_when_asked(
    configured: Write,
):
    config = configured()

    short = await replicator("plan", config=config)
    whole = await replicator("plan", "--all", config=config)
    document = (await replicator("plan", "--json", config=config)).document

    sql = document["control_schema"]["sql"]
    assert f"{len(sql.splitlines())} lines of SQL: `replicator plan --all` prints them" in short.out
    assert "create table" in sql.lower()
    assert "replicator.dead_letter" not in short.out
    assert len(short.out.splitlines()) < 20
    assert sql in whole.out
    assert "public.orders; locks:" in short.out


async def test_plan_says_what_else_a_changed_mapping_asks_for(configured: Write):
    await replicator("migrate", config=configured())

    added = await replicator("plan", "--json", config=configured({"placed": "date"}))
    changed = await replicator(
        "plan", "--json", config=configured({"total": {"from": "sum", "type": "numeric"}})
    )

    assert [need["needs"] for need in added.document["tables"]] == ["backfill"]
    assert [need["needs"] for need in changed.document["tables"]] == ["snapshot"]
    assert changed.document["statements"] == []


async def test_a_changed_mapping_that_does_not_fit_is_told_and_registered_once_it_fits(
    configured: Write, database: str
):
    await replicator("migrate", config=configured())
    config = configured({"total": "text"})

    planned = await replicator("plan", config=config)
    refused = await replicator("migrate", config=config)
    connection = await asyncpg.connect(database)
    registered = await connection.fetchval("select mapping_revision from replicator.table_state")
    await connection.execute("alter table orders alter column total type text")
    await connection.close()
    migrated = await replicator("migrate", config=config)

    assert planned.code == 0
    assert "`replicator migrate` would not register it" in planned.out
    assert "-- error: public.orders: the column 'total' has the type numeric" in planned.out
    assert (refused.code, refused.out) == (1, "")
    assert "the changed mapping of table orders is not registered" in refused.err
    assert "error: public.orders: the column 'total' has the type numeric" in refused.err
    assert registered == 1
    assert (migrated.code, migrated.out) == (
        0,
        "registered the changed mapping of table orders\n",
    )


async def test_plan_ends_as_migrate_would_where_a_type_is_missing(configured: Write):
    config = configured({"mood": "public.mood"})

    planned = await replicator("plan", config=config)
    refused = await replicator("migrate", config=config)

    assert (planned.code, refused.code) == (2, 2)
    for said in (planned.out, refused.err):
        assert "public.mood" in said


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
@pytest.mark.parametrize("command", ["plan", "migrate"])
async def test_a_stream_without_new_images_is_refused_before_anything_is_made(
    configured: Write,
    database: str,
    dynamodb_endpoint: str,
    table_name: str,
    view: Any,
    command: str,
):
    config = configured()
    async with dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, f"{table_name}-{view}", view=view)
    document = yaml.safe_load(config.read_text())
    document["tables"]["orders"]["table"] = f"{table_name}-{view}"
    config.write_text(yaml.safe_dump(document))

    refused = await replicator(command, config=config)

    assert refused.code == 2
    assert f"carries {view}" in refused.err
    assert "disable the stream, then enable it again" in refused.err
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("select to_regnamespace('replicator')") is None
    await connection.close()


async def test_every_finding_comes_in_one_run(
    configured: Write, database: str, dynamodb_endpoint: str, table_name: str
):
    async with dynamodb_client(dynamodb_endpoint) as client:
        await create_table(client, f"{table_name}-keys", view="KEYS_ONLY")
        await create_table(client, f"{table_name}-wrong")
    connection = await asyncpg.connect(database)
    await connection.execute("create table orders (pk integer primary key, must text not null)")
    await connection.close()
    config = configured(deployment="other")
    document = yaml.safe_load(config.read_text())
    entry = document["tables"]["orders"]
    document["tables"] |= {
        "gone": {**entry, "table": "no-such-table", "into": {"public.gone": {}}},
        "keys": {**entry, "table": f"{table_name}-keys", "into": {"public.keys": {}}},
        "wrong": {
            **entry,
            "table": f"{table_name}-wrong",
            "into": {"public.wrong": {"key": {"k": {"from": "other"}}, "columns": {}}},
        },
    }
    config.write_text(yaml.safe_dump(document))

    ended = await replicator("check", "--json", config=config)

    assert ended.code == 1
    text = "\n".join(errors(ended))
    for expected in (
        "table gone: there is no DynamoDB table 'no-such-table'",
        "carries KEYS_ONLY",
        "table wrong: target public.wrong: the key",
        "'pk' has the type integer",
        "'must' must not be null",
        "'total' (numeric) is missing",
    ):
        assert expected.replace("the key", "") in text.replace("the key", "")
    assert all(finding["remedy"] for finding in ended.document["findings"])


async def test_a_stream_that_is_off_is_found(
    configured: Write, dynamodb_endpoint: str, table_name: str
):
    async with dynamodb_client(dynamodb_endpoint) as client:
        await client.update_table(
            TableName=table_name, StreamSpecification={"StreamEnabled": False}
        )

    ended = await replicator("check", "--json", config=configured())

    assert ended.code == 1
    [error] = errors(ended)
    assert "has no stream" in error


async def test_a_lease_table_that_is_none_and_other_readers_are_found(
    configured: Write, dynamodb_endpoint: str, table_name: str
):
    config = configured(coordination={"table": table_name})
    shape = await replicator("check", "--json", config=config)
    async with (
        dynamodb_client(dynamodb_endpoint) as client,
        streams_client(dynamodb_endpoint) as streams,
    ):
        await client.create_table(
            TableName=f"{table_name}-leases",
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        [stream] = (await streams.list_streams(TableName=table_name))["Streams"]
        await client.put_item(
            TableName=f"{table_name}-leases",
            Item={
                "leaseKey": {"S": f"elsewhere:{stream['StreamArn']}:shardId-1"},
                "leaseOwner": {"S": "worker"},
            },
        )

    ended = await replicator("check", "--json", config=configured())

    assert "instead of leaseKey (S)" in "\n".join(errors(shape))
    warnings = [finding["message"] for finding in ended.document["findings"]]
    assert any("is read by 'elsewhere' too" in warning for warning in warnings)
    assert ended.code == 0


async def test_a_server_that_is_too_old_is_refused_with_one_sentence_and_nothing_is_made(
    configured: Write,
):
    try:
        binaries(TOO_OLD)
    except VersionMissing as missing:
        skip_without(missing)
    with postgres_of(TOO_OLD) as server:
        config = configured(target={"dsn": server.dsn})
        checked = await replicator("check", "--json", config=config)
        refused = [
            await replicator(*words, config=config)
            for words in (["plan"], ["migrate"], ["run", "--migrate"])
        ]
        connection = await asyncpg.connect(server.dsn)
        made = await connection.fetchval("select to_regnamespace('replicator')")
        await connection.close()

    sentence = "the server is PostgreSQL 13; 14 is the oldest that is tested"
    assert (checked.code, errors(checked)) == (1, [f"target: {sentence}"])
    for ended in refused:
        assert (ended.code, ended.out) == (2, "")
        assert sentence in ended.err
        assert "upgrade the server" in ended.err
    assert made is None


async def test_a_database_that_is_not_utf8_is_left_as_it_is(configured: Write, database: str):
    name = f"{database.rpartition('/')[2]}_latin1"
    admin = await asyncpg.connect(database)
    await admin.execute(
        f"create database {name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0"
    )
    try:
        config = configured(target={"dsn": f"{database.rpartition('/')[0]}/{name}"})
        refused = [await replicator(command, config=config) for command in ("plan", "migrate")]
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()

    for ended in refused:
        assert (ended.code, ended.out) == (2, "")
        assert "has the encoding LATIN1" in ended.err


@pytest.mark.parametrize("command", ["check", "plan", "migrate"])
async def test_a_server_that_is_away_is_no_finding(configured: Write, command: str):
    config = configured(target={"dsn": f"postgresql://app:hunter2@127.0.0.1:{PORT_OF_NOBODY}/app"})

    ended = await replicator(command, config=config)

    assert ended.code == 4
    assert "cannot be reached" in ended.out + ended.err
    assert "hunter2" not in ended.out + ended.err


@pytest.mark.parametrize("command", ["check", "plan", "migrate"])
async def test_a_source_that_is_away_is_no_finding(configured: Write, command: str):
    away = {"region": "us-east-1", "endpoint_url": f"http://127.0.0.1:{PORT_OF_NOBODY}"}

    ended = await replicator(command, config=configured(source=away))

    assert ended.code == 4
    assert "Could not connect" in ended.out + ended.err


@pytest.mark.parametrize(("command", "code"), [("check", 1), ("plan", 2), ("migrate", 2)])
async def test_wrong_names_and_credentials_are_told_in_one_message(
    configured: Write,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    code: int,
):
    role = configured(target={"dsn": database.replace("postgres@", "nobody:hunter2@")})
    wrong_role = await replicator(command, config=role)
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    wrong_profile = await replicator(command, config=configured())
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    no_credentials = await replicator(command, config=configured())

    assert (wrong_role.code, wrong_profile.code, no_credentials.code) == (code, code, code)
    assert "does not let the role in" in wrong_role.out + wrong_role.err
    assert "hunter2" not in wrong_role.out + wrong_role.err
    assert "no-such-profile" in wrong_profile.out + wrong_profile.err
    assert "AWS_ACCESS_KEY_ID" in no_credentials.out + no_credentials.err


async def test_a_target_of_another_deployment_is_refused(configured: Write):
    await replicator("migrate", config=configured())
    other = configured(deployment="other")

    refused = await replicator("migrate", config=other)
    checked = await replicator("check", "--json", config=other)

    assert refused.code == 2
    assert "claimed by deployment 'test'" in refused.err
    assert checked.code == 1


async def test_unknown_keys_and_variables_are_findings(
    configured: Write, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REPLICATOR_TARGET__DSM", "x")
    monkeypatch.setenv("REPLICATOR_PORT_8080_TCP", "tcp://10.0.0.1:8080")

    ended = await replicator("check", "--json", config=configured(deplyment="x"))

    assert ended.code == 1
    text = "\n".join(errors(ended))
    assert "REPLICATOR_TARGET__DSM" in text
    assert "deplyment" in text
    assert "PORT_8080" not in text
