"""The function on a real server: what it applies, what it answers, and when it refuses."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from replicator.app.aws_lambda import apply_batches as batches
from replicator.core.mapping.compile_mapping import compile_table
from replicator.errors import (
    BatchTooSlow,
    ConfigurationError,
    KeyChanged,
    MigrationDue,
    NotClaimable,
    SchemaMismatch,
    SinkUnavailable,
    StreamUnfit,
    UnknownRecord,
)
from replicator.postgres.connection.connect import ConnectionSettings
from replicator.postgres.schema.migrate import migrate
from tests.support.bounds import scaled
from tests.support.builders import KEY, NOON, STREAM
from tests.support.harms import HARMS
from tests.support.lambda_events import change, event, put
from tests.support.lambda_function import CONFIGURATION, LambdaTable
from tests.support.lambda_runtime import EVENT_SECONDS
from tests.support.pgbouncer import pgbouncer

LATER = STREAM.replace("2026-03-01", "2026-03-02")
DELIVERED = ([put(5), put(6, "b")], [put(3)], [change(7, "b", removed=True)], [put(6, "b")])
ALL_APPLIED: dict[str, list[Any]] = {"batchItemFailures": []}

OF_THE_DOCUMENTATION = {
    "Records": [
        {
            "eventID": "1",
            "eventVersion": "1.0",
            "dynamodb": {
                "Keys": {"pk": {"S": "101"}},
                "NewImage": {"Message": {"S": "New item!"}, "pk": {"S": "101"}},
                "StreamViewType": "NEW_AND_OLD_IMAGES",
                "SequenceNumber": "111",
                "SizeBytes": 26,
            },
            "awsRegion": "us-west-2",
            "eventName": "INSERT",
            "eventSourceARN": "arn:aws:dynamodb:us-west-2:111122223333:table/orders"
            "/stream/2015-05-11T21:21:33.291",
            "eventSource": "aws:dynamodb",
        }
    ]
}


def test_a_sample_event_without_creation_times_is_applied(table: LambdaTable):
    assert table.apply(OF_THE_DOCUMENTATION) == ALL_APPLIED
    assert table.rows() == {"101": None}


def test_any_order_and_any_repetition_end_in_the_same_rows(table: LambdaTable):
    with table.function() as function:
        for records in DELIVERED:
            assert function.handle(event(*records), seconds_left=EVENT_SECONDS) == ALL_APPLIED

    assert table.rows() == {"a": 5}


def test_a_record_that_can_never_be_applied_is_a_dead_letter_and_counts_as_done(
    table: LambdaTable,
):
    answer = table.apply(event(put(1), change(2, "b", n={"S": "no number"}), put(3, "c")))

    assert answer == ALL_APPLIED
    assert table.rows() == {"a": 1, "c": 3}
    [letter] = table.fetch("select item_key, shard_id, state from replicator.dead_letter")
    assert (letter["shard_id"], letter["state"]) == (None, "open")


def test_a_row_that_postgresql_refuses_is_set_aside_alone(table: LambdaTable):
    table.fetch("alter table public.t add check (n <> 13)")

    assert table.apply(event(*[put(n, f"k{n}") for n in range(10, 20)])) == ALL_APPLIED
    assert len(table.rows()) == 9
    [letter] = table.fetch("select sqlstate from replicator.dead_letter")
    assert letter["sqlstate"] == "23514"


def test_what_fails_in_the_middle_is_delivered_again_from_there(table: LambdaTable):
    table.fetch("alter table public.t add check (n <> 13 or pk = 'x')")
    table.fetch(
        "create function lock_out() returns trigger language plpgsql as"
        " $$ begin if new.n = 14 then raise exception using errcode = '08006'; end if;"
        " return new; end $$"
    )
    table.fetch(
        "create trigger away after insert on public.t for each row execute function lock_out()"
    )

    answer = table.apply(
        event(*[put(n, f"k{n}") for n in range(10, 18)]), seconds_left=EVENT_SECONDS
    )

    assert answer == {"batchItemFailures": [{"itemIdentifier": f"{14:021d}"}]}
    assert sorted(table.rows().values()) == [10, 11, 12]

    table.fetch("drop trigger away on public.t")
    assert table.apply(event(*[put(n, f"k{n}") for n in range(14, 18)])) == ALL_APPLIED
    assert sorted(table.rows().values()) == [10, 11, 12, 14, 15, 16, 17]


def test_with_postgresql_away_all_of_it_fails_within_the_time(table: LambdaTable):
    table.configure(dsn="postgresql://nobody@127.0.0.1:9/none")

    with pytest.raises(SinkUnavailable):
        table.apply(event(put(1)), seconds_left=scaled(3))


def test_a_server_that_does_not_answer_is_left_within_the_time(table: LambdaTable):
    with table.function() as function:
        function.handle(event(put(1)), seconds_left=EVENT_SECONDS)
        table.fetch(
            "create function sleep() returns trigger language plpgsql as"
            " $$ begin perform pg_sleep(60); return new; end $$"
        )
        table.fetch(
            "create trigger slow after insert or update on public.t execute function sleep()"
        )
        with pytest.raises((BatchTooSlow, SinkUnavailable)):
            function.handle(event(put(2, "b")), seconds_left=scaled(2))
        table.fetch("drop trigger slow on public.t")
        function.handle(event(put(2, "b")), seconds_left=EVENT_SECONDS)

    assert table.rows() == {"a": 1, "b": 2}


def test_a_connection_that_died_while_frozen_is_replaced_within_the_invocation(
    table: LambdaTable,
):
    with table.function() as function:
        function.handle(event(put(1)), seconds_left=EVENT_SECONDS)
        table.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        assert function.handle(event(put(2)), seconds_left=EVENT_SECONDS) == ALL_APPLIED

    assert table.rows() == {"a": 2}


@pytest.mark.parametrize(("on_gap", "state"), [("stop", "open"), ("continue", "accepted")])
def test_a_table_created_anew_is_accepted_and_reported_as_a_gap(
    table: LambdaTable, on_gap: str, state: str
):
    text = table.file.read_text()
    table.file.write_text(text.replace("poller:", f"on_gap: {on_gap}\n    poller:"))
    with table.function() as function:
        function.handle(event(put(900)), seconds_left=EVENT_SECONDS)
        function.handle(event(put(1, stream_arn=LATER)), seconds_left=EVENT_SECONDS)
        function.handle(event(put(901)), seconds_left=EVENT_SECONDS)

    assert table.rows() == {"a": 1}
    [gap] = table.fetch("select stream_arn, kind, state from replicator.gap")
    assert gap == {"stream_arn": LATER, "kind": "possible", "state": state}
    assert [line for line in table.lines if "replicator_gaps_total" in line]


def test_the_facts_of_an_invocation_leave_as_embedded_metrics(table: LambdaTable):
    table.apply(event(put(5), put(6, "b"), change(7, "c", n={"S": "secret value"})))
    table.apply(event(put(4), put(5, at=NOON + timedelta(minutes=3))))

    found: dict[str, float] = {}
    for line in table.lines:
        document = json.loads(line)
        [directive] = document["_aws"]["CloudWatchMetrics"]
        dimensions = [document[name] for name in directive["Dimensions"][0][1:]]
        found |= {
            "/".join([metric["Name"], *dimensions]): document[metric["Name"]]
            for metric in directive["Metrics"]
        }
    assert "secret" not in "".join(table.lines)
    assert found["replicator_records_total/orders/modify/applied"] == 2
    assert found["replicator_records_total/orders/modify/dead_letter"] == 1
    assert found["replicator_dead_letters/orders"] == 1
    assert found["replicator_records_total/orders/modify/duplicate"] == 1
    assert found["replicator_guard_rejections_total/orders/duplicate"] == 1
    assert found["replicator_lag_seconds/orders"] > 0
    assert found["replicator_invocation_seconds/orders"] > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"Records": [{"eventSource": "aws:kinesis", "kinesis": {}}]}, "aws:kinesis"),
        ({"hello": "world"}, "no `Records`"),
        ({"Records": [{"eventSource": "aws:dynamodb"}]}, "of which stream"),
        ([1, 2], "no `Records`"),
    ],
)
def test_an_event_that_is_none_of_a_stream_is_refused(
    table: LambdaTable, wrong: object, words: str
):
    with pytest.raises(UnknownRecord, match=words):
        table.apply(wrong)


def test_the_last_event_of_a_tumbling_window_may_be_empty(table: LambdaTable):
    window = {"window": {}, "state": {}, "shardId": "s", "isFinalInvokeForWindow": True}
    assert table.apply(window) == ALL_APPLIED
    assert table.apply({**window, "Records": [put(1)]}) == ALL_APPLIED
    assert table.rows() == {"a": 1}


def test_a_table_that_is_not_in_the_configuration_is_refused(table: LambdaTable):
    other = STREAM.replace("table/orders", "table/parts")

    with pytest.raises(ConfigurationError, match="no entry"):
        table.apply(event(put(1, stream_arn=other)))


def test_nothing_is_applied_of_a_table_that_is_stopped_or_not_ours(table: LambdaTable):
    table.fetch("update replicator.table_state set paused = true")
    with pytest.raises(NotClaimable, match="stopped"):
        table.apply(event(put(1)))
    table.fetch("update replicator.table_state set paused = false, mode = 'guard'")
    with pytest.raises(NotClaimable, match="daemon"):
        table.apply(event(put(1)))
    table.fetch("update replicator.table_state set mode = 'lambda', mapping_fingerprint = 'other'")
    with pytest.raises(MigrationDue):
        table.apply(event(put(1)))
    assert table.rows() == {}


def test_nothing_is_applied_to_a_target_that_would_round(table: LambdaTable):
    table.fetch("alter table t alter column n type real")
    with pytest.raises(ConfigurationError, match="has the type real"):
        table.apply(event(put(16777217)))

    table.fetch("alter table t alter column n type bigint")
    assert table.apply(event(put(16777217))) == ALL_APPLIED
    assert table.rows() == {"a": 16777217}


TWO_PLACES = (
    CONFIGURATION
    + """
  elsewhere:
    table: orders
    source: {{region: us-east-1}}
    poller: lambda
    initial_load: stream
    into:
      public.u: {{columns: {{n: bigint}}}}
"""
)


def test_of_two_tables_of_one_name_the_one_that_was_registered_for_the_arn_is_written(
    own_database: str, tmp_path: Path
):
    table = LambdaTable(own_database, tmp_path, text=TWO_PLACES)
    table.configure()
    with pytest.raises(ConfigurationError, match="the entries orders and elsewhere"):
        table.apply(event(put(1)))

    arn = STREAM.partition("/stream/")[0]
    elsewhere = compile_table(
        table.settings().table_specs()["elsewhere"], KEY, table_arn=arn.replace("eu-", "us-")
    )
    here = replace(table.mapping(), table_arn=arn)
    settings = ConnectionSettings(dsn=own_database)
    asyncio.run(migrate(settings, "replicator", "test", [here, elsewhere]))

    assert table.apply(event(put(1))) == ALL_APPLIED
    assert table.rows() == {"a": 1}
    other = STREAM.replace("eu-", "us-")
    assert table.apply(event(put(2, stream_arn=other))) == ALL_APPLIED
    assert table.rows() == {"a": 1}
    assert table.fetch("select n from public.u") == [{"n": 2}]


def test_a_table_of_the_same_name_that_was_not_registered_is_not_applied(table: LambdaTable):
    arn = STREAM.partition("/stream/")[0].replace("eu-", "us-")
    table.fetch("update replicator.table_state set table_arn = $1", arn)

    with pytest.raises(ConfigurationError, match="no entry with `poller: lambda` is the table of"):
        table.apply(event(put(1)))

    assert table.rows() == {}


def test_events_of_a_table_with_another_key_halt_the_table_at_the_first_one(table: LambdaTable):
    assert table.apply(event(put(1))) == ALL_APPLIED
    other = put(2, stream_arn=LATER)
    other["dynamodb"]["Keys"]["sk"] = {"S": "1"}

    with pytest.raises(KeyChanged, match="has the key"):
        table.apply(event(other))

    [state] = table.fetch("select halted, reason, remedy from replicator.table_state")
    assert (state["halted"], "has the key" in state["reason"]) == (True, True)
    assert "migrate" in state["remedy"]
    assert table.rows() == {"a": 1}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_nothing_is_applied_to_a_target_that_check_calls_unfit(
    table: LambdaTable, harm: tuple[str, str]
):
    statements, words = harm
    for statement in statements.format(table="t").split(";;"):
        table.fetch(statement)

    with pytest.raises(ConfigurationError, match=words):
        table.apply(event(put(1)))
    assert table.rows() == {}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_warm_function_halts_a_table_that_became_unfit_and_goes_on_when_it_is_mended(
    table: LambdaTable, harm: tuple[str, str], monkeypatch: pytest.MonkeyPatch
):
    statements, words = harm
    monkeypatch.setattr(batches, "SURVEY_SECONDS", 0.0)
    with table.function() as function:
        function.handle(event(put(1)), seconds_left=EVENT_SECONDS)
        table.fetch("create table kept (like t including all)")
        for statement in statements.format(table="t").split(";;"):
            table.fetch(statement)

        with pytest.raises(SchemaMismatch, match=words):
            function.handle(event(put(2)), seconds_left=EVENT_SECONDS)

        [state] = table.fetch("select halted, reason from replicator.table_state")
        assert (state["halted"], bool(re.search(words, state["reason"]))) == (True, True)
        assert table.rows() == {"a": 1}
        table.fetch("drop table t")
        table.fetch("alter table kept rename to t")
        table.fetch("update replicator.table_state set halted = false")
        assert function.handle(event(put(2)), seconds_left=EVENT_SECONDS) == ALL_APPLIED
        assert table.rows() == {"a": 2}


def test_a_warm_function_sees_a_trigger_at_the_first_batch_that_it_would_change(
    table: LambdaTable,
):
    with table.function() as function:
        function.handle(event(put(1)), seconds_left=EVENT_SECONDS)
        table.fetch(
            "create function drops() returns trigger language plpgsql as"
            " $$ begin if new.n = 3 then return null; end if; return new; end $$"
        )
        table.fetch(
            "create trigger drops before insert or update on t"
            " for each row execute function drops()"
        )

        with pytest.raises(SchemaMismatch, match="the trigger 'drops' runs before each row"):
            function.handle(event(put(2), put(3, "b")), seconds_left=EVENT_SECONDS)

        assert table.rows() == {"a": 1}
        assert table.fetch("select halted from replicator.table_state") == [{"halted": True}]


@pytest.mark.parametrize("view_type", ["KEYS_ONLY", "OLD_IMAGE"])
def test_a_stream_without_new_images_halts_the_table_at_the_first_event(
    table: LambdaTable, view_type: str
):
    record = put(1)
    record["dynamodb"] |= {"StreamViewType": view_type}
    del record["dynamodb"]["NewImage"]

    with pytest.raises(StreamUnfit, match=f"carries {view_type}"):
        table.apply(event(record, change(2, "b", removed=True)))

    assert table.rows() == {}
    assert table.fetch("select count(*) as n from replicator.dead_letter")[0]["n"] == 0
    [state] = table.fetch("select halted, reason, remedy from replicator.table_state")
    assert (state["halted"], view_type in state["reason"]) == (True, True)
    assert "enable it again" in state["remedy"]


def test_a_table_with_too_many_dead_letters_is_halted(table: LambdaTable):
    table.file.write_text(
        table.file.read_text().replace("poller:", "max_dead_letters: 1\n    poller:")
    )

    bad = event(*[change(n, f"k{n}", n={"S": "no"}) for n in range(2)])
    assert table.apply(bad) == ALL_APPLIED
    with pytest.raises(NotClaimable, match="stopped"):
        table.apply(event(put(5)))


def test_applications_are_told_no_lag_of_a_table_that_lambda_writes(table: LambdaTable):
    table.fetch(
        "insert into replicator.shard (deployment, source, stream_arn, shard_id, listed, safe_at)"
        " values ('test', 'orders', 'arn', 's', true, now() - interval '3 days')"
    )

    [freshness] = table.fetch("select lag, state from replicator.freshness")
    assert freshness == {"lag": None, "state": "streaming"}


def test_behind_a_pooler_in_transaction_mode_nothing_of_a_session_is_used(table: LambdaTable):
    with pgbouncer(table.dsn, sessions=1) as pooled:
        table.configure(pooler="transaction", dsn=pooled)
        with table.function() as one, table.function() as other:
            for number, function in enumerate((one, other, one), 1):
                answer = function.handle(event(put(number)), seconds_left=EVENT_SECONDS)
                assert answer == ALL_APPLIED

    assert table.rows() == {"a": 3}
