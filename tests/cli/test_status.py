"""`replicator status`, and what all commands say that ask the control schema."""

import re
from datetime import timedelta

import asyncpg
import pytest

from replicator.core.status.worker_report import LateShard
from tests.support.command import replicator
from tests.support.control import stream_arn
from tests.support.nobody import PORT_OF_NOBODY

ASKING = {
    "status": ("status",),
    "pause": ("pause", "--table", "orders"),
    "resume": ("resume", "--table", "orders"),
    "gaps list": ("gaps", "list"),
    "gaps accept": ("gaps", "accept", "--table", "orders", "--why", "a drill"),
    "dead-letters list": ("dead-letters", "list"),
    "dead-letters show": ("dead-letters", "show", "1"),
    "forget": ("forget", "--table", "orders", "--yes"),
}
asking = pytest.mark.parametrize("words", ASKING.values(), ids=list(ASKING))


async def test_nothing_wrong_is_said_in_the_first_line(control, configure):
    await control.register("orders")
    await control.generation("orders")
    await control.shard("orders", owner="one")
    await control.head("orders")
    await control.worker("one", leases=3)

    ended = await replicator("status", config=configure("orders"))

    assert ended.code == 0
    assert ended.out.splitlines()[0] == "deployment test: all is well"
    assert "orders  well     streaming" in ended.out
    assert "1 active" in ended.out
    assert ended.err == ""


async def test_what_is_wrong_comes_first_with_what_mends_it(control, configure):
    tables = ("orders", "parts", "stops", "waits")
    await control.register(*tables)
    for table in tables:
        await control.generation(table)
        await control.shard(table, owner="one", ago=timedelta(hours=1))
        await control.head(table)
    await control.worker("one")
    await control.letter("orders")
    await control.gap("parts")
    await control.connection.execute(
        "update replicator.table_state set halted = true, reason = 'no column n', "
        "remedy = 'add it' where source = 'stops'"
    )
    await control.connection.execute(
        "update replicator.table_state set paused = true where source = 'waits'"
    )

    ended = await replicator("status", config=configure(*tables))

    wrong, _, table = ended.out.partition("TABLE")
    first = "deployment test: 3 of 4 stopped; 4 things need a look"
    assert wrong.splitlines()[0] == first
    assert [line.split(":")[0].strip() for line in wrong.splitlines()[1:] if ": " in line] == [
        "stops",
        "parts",
        "orders",
        "waits",
    ]
    for remedy in (
        '`replicator snapshot --table parts --why "..."` loads it again, `replicator gaps accept '
        '--table parts --why "..."` leaves what is lost as it is',
        "add it",
        "replicator resume --table waits",
        "replicator dead-letters list --table orders",
    ):
        assert f"    -> {remedy}\n" in wrong
    assert [line.split()[:3] for line in table.splitlines()[1:5]] == [
        ["stops", "stopped", "halted"],
        ["parts", "stopped", "gap"],
        ["waits", "stopped", "paused"],
        ["orders", "well", "streaming"],
    ]
    assert ended.code == 0


async def test_the_document_has_the_promised_shape(control, configure):
    await control.register("orders")
    await control.generation("orders")
    await control.shard("orders", owner="one", ago=timedelta(hours=1))
    await control.shard("orders", "shard-1", parent_id="shard-0", ago=None)
    await control.worker("one", leases=2)
    await control.letter("orders")

    ended = await replicator("status", "--json", config=configure("orders"))

    document = ended.document
    [table], [worker] = document["tables"], document["workers"]
    assert set(document) == {
        "schema_version",
        "deployment",
        "verdict",
        "problems",
        "tables",
        "workers",
    }
    assert (document["schema_version"], document["deployment"]) == (1, "test")
    assert document["verdict"] == "behind"
    late, letters = document["problems"]
    assert 3600 <= late.pop("since_seconds") < 3660
    assert late == {
        "severity": "warning",
        "kind": "lag",
        "table": "orders",
        "what": "changes of 1 h ago are not applied, or may not be",
        "remedy": "see docs/runbook.md#replicatorlaghigh if it does not shrink",
    }
    assert (letters["kind"], letters["since_seconds"]) == ("dead_letters", None)
    assert 3600 <= table.pop("lag_seconds") < 3660
    assert 82740 < table.pop("retention_headroom_seconds") <= 82800
    assert 0 <= table.pop("poll_age_seconds") < 60
    letter = table.pop("newest_dead_letter")
    assert {"id", "target", "reason", "first_seen"} == set(letter)
    assert table == {
        "source": "orders",
        "verdict": "behind",
        "stream_arn": stream_arn("orders"),
        "state": "streaming",
        "shards": {"waiting": 1, "active": 1, "unowned": 0, "done": 0, "gap": 0},
        "dead_letters": 1,
        "drift": {},
        "drift_seen": {},
        "records_per_minute": 0,
        "reason": None,
        "remedy": None,
        "gaps": [],
        "last_applied_at": None,
        "snapshot": None,
        "verified": None,
    }
    assert (worker["id"], worker["leases"]) == ("one", 2)
    assert 0 <= worker["seen_seconds_ago"] < 60


async def test_before_the_first_run_nothing_streams(control, configure):
    await control.register("orders")

    text = (await replicator("status", config=configure("orders"))).out
    document = (await replicator("status", "--json", config=configure("orders"))).document

    [table] = document["tables"]
    assert (table["state"], table["verdict"], table["lag_seconds"]) == ("snapshot", "stopped", None)
    assert "orders  stopped  not begun" in text
    assert "workers: none was seen within the last 60 s\n    -> replicator run\n" in text


async def test_a_shard_without_an_owner_is_named_though_a_worker_lives(control, configure):
    await control.register("orders")
    await control.generation("orders")
    then = await control.connection.fetchval("select now() - interval '5 minutes'")
    await control.shard("orders", polled_at=then, found_at=then, ago=timedelta(seconds=1))
    await control.worker("one")

    ended = await replicator("status", config=configure("orders"))

    assert ended.out.startswith("deployment test: 1 of 1 behind; 1 thing needs a look")
    assert "shard shard-0 may be read and nobody does, for 5 min" in ended.out


async def test_a_locked_target_is_named_as_its_worker_tells(control, configure):
    await control.register("orders")
    arn = await control.generation("orders")
    await control.shard("orders", owner="one")
    await control.head("orders")
    locked = "public.orders is locked by process 7"
    await control.worker("one", LateShard(arn, "shard-0", 1.0, 30.0, None, locked, "end it"))

    ended = await replicator("status", config=configure("orders"))

    assert re.search(r"cannot be committed, for \d+ s: public\.orders is locked by", ended.out)
    assert "-> end it" in ended.out
    assert "1 of 1 behind" in ended.out


async def test_a_halted_table_promises_no_end_of_its_snapshot(control, configure):
    await control.register("orders")
    await control.generation("orders")
    await control.connection.execute(
        "insert into replicator.snapshot (deployment, source, reason, state, who, items_estimated,"
        " started_at) values ('test', 'orders', 'asked', 'running', 'me', 100,"
        " now() - interval '1 minute')"
    )
    await control.connection.execute(
        "insert into replicator.segment (deployment, source, snapshot_id, number, parts,"
        " items) select 'test', 'orders', id, 0, 1, 50 from replicator.snapshot"
    )
    config = configure("orders")
    before = (await replicator("status", "--json", config=config)).document["tables"][0]
    await control.connection.execute("update replicator.table_state set halted = true")

    after = (await replicator("status", "--json", config=config)).document["tables"][0]

    assert before["snapshot"]["seconds_left"] > 0
    assert after["snapshot"]["seconds_left"] is None


async def test_a_table_that_is_only_configured_asks_for_migrate(control, configure):
    await control.register("orders")

    text = await replicator("status", config=configure("orders", "parts"))
    document = (await replicator("status", "--json", config=configure("parts"))).document

    assert "parts   stopped  unregistered" in text.out
    [parts] = [table for table in document["tables"] if table["source"] == "parts"]
    assert (parts["state"], parts["remedy"]) == ("halted", "replicator migrate")
    assert "not registered yet" in parts["reason"]


async def test_a_table_that_left_the_configuration_stays_until_it_is_forgotten(control, configure):
    await control.register("orders", "parts")

    document = (await replicator("status", "--json", config=configure("orders"))).document

    [parts] = [table for table in document["tables"] if table["source"] == "parts"]
    assert "not in the configuration any more" in parts["reason"]
    assert parts["remedy"] == "replicator forget --table parts"


async def test_a_table_that_another_configuration_works_on_is_not_to_be_forgotten(
    control, configure
):
    await control.register("orders", "parts")
    await control.worker("of-parts")

    ended = await replicator("status", config=configure("orders"))

    assert "parts: not in this configuration, and a living worker works on it" in ended.out
    assert "give one of the two another `deployment`" in ended.out
    assert "forget" not in ended.out


async def test_without_workers_it_says_how_to_start_one(control, configure):
    await control.register("orders")
    await control.generation("orders")
    await control.shard("orders")
    await control.worker("gone", seen_seconds_ago=100)

    ended = await replicator("status", config=configure("orders"))

    assert "workers: none was seen within the last 60 s\n    -> replicator run\n" in ended.out
    assert "1 unowned" in ended.out


async def test_a_worker_that_died_a_moment_ago_is_named_and_not_the_source(control, configure):
    await control.register("orders")
    await control.generation("orders")
    await control.shard("orders", owner="one")
    await control.head("orders")
    await control.worker("one", seen_seconds_ago=30)

    ended = await replicator("status", config=configure("orders"))

    assert "1 of 1 not proved to be well" in ended.out
    assert re.search(
        r"orders: worker one was last seen \d+ s ago, and has shard shard-0", ended.out
    )


async def test_a_worker_that_is_gone_has_no_leases_any_more(control, configure):
    await control.register("orders")
    await control.worker("gone", seen_seconds_ago=240, leases=1)
    await control.worker("lives", leases=1)

    ended = await replicator("status", config=configure("orders"))

    lines = [line.split() for line in ended.out.partition("WORKER")[2].splitlines()[1:]]
    assert lines[0] == ["gone", "-", "4", "min", "ago,", "gone"]
    assert lines[1][:2] == ["lives", "1"]


@asking
async def test_without_a_control_schema_migrate_is_named(words, configure):
    ended = await replicator(*words, config=configure("orders"))

    assert (ended.code, ended.out) == (2, "")
    assert "no control schema 'replicator' yet" in ended.err
    assert "`replicator migrate`" in ended.err


@asking
async def test_without_postgresql_one_message_says_so(words, configure):
    dsn = f"postgresql://postgres@127.0.0.1:{PORT_OF_NOBODY}/app"

    ended = await replicator(*words, config=configure("orders", dsn=dsn))

    assert (ended.code, ended.out) == (4, "")
    assert "cannot be reached" in ended.err
    assert len(ended.err.splitlines()) == 2


async def test_a_role_without_rights_is_told_so(control, configure, database):
    await control.register("orders")
    role = f"reader_{database.rpartition('_')[2]}"
    await control.connection.execute(f"create role {role} login")
    reader = configure("orders", dsn=database.replace("//postgres@", f"//{role}@"))
    try:
        without_usage = await replicator("status", config=reader)
        await control.connection.execute(f"grant usage on schema replicator to {role}")
        without_select = await replicator("status", config=reader)
    finally:
        await control.connection.execute(f"drop owned by {role}; drop role {role}")

    assert without_usage.code == 2
    assert f"the role '{role}' may not use the schema" in without_usage.err
    assert without_select.code == 2
    assert "permission denied" in without_select.err


async def test_another_deployment_is_not_shown(control, configure):
    await control.register("orders")
    await control.connection.execute("update replicator.table_state set deployment = 'other'")
    with pytest.raises(asyncpg.UniqueViolationError):
        await control.connection.execute(
            "insert into replicator.table_state (deployment, source, source_table, "
            "mapping_fingerprint) values ('other', 'orders', 'orders', '')"
        )

    ended = await replicator("status", "--json", config=configure("parts"))

    assert [table["source"] for table in ended.document["tables"]] == ["parts"]
