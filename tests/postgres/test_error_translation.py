"""Each of PostgreSQL's errors blames a row, the table or the moment; values are never told."""

import asyncpg
import pytest

from replicator.errors import (
    BatchRejected,
    BatchTooSlow,
    Disposition,
    SchemaMismatch,
    SinkUnavailable,
)
from replicator.postgres.connection.error_translation import ROW_SQLSTATES, translate

KNOWN = sorted(
    {
        each.sqlstate
        for each in vars(asyncpg.exceptions).values()
        if isinstance(each, type)
        and issubclass(each, asyncpg.PostgresError)
        and each.sqlstate is not None
        and len(each.sqlstate) == 5
    }
)
SECRET = "a secret value"


def failure(sqlstate: str, **fields: str) -> asyncpg.PostgresError:
    letters = {
        "message": "M",
        "detail": "D",
        "hint": "H",
        "constraint": "n",
        "column": "c",
        "table": "t",
        "context": "W",
        "severity": "S",
        "source": "F",
        "function": "R",
    }
    given = {"C": sqlstate, "S": "ERROR", "M": "it failed"}
    error = asyncpg.PostgresError.new(given | {letters[name]: v for name, v in fields.items()})
    assert isinstance(error, asyncpg.PostgresError)
    return error


def test_only_a_short_list_blames_a_row_and_what_nobody_foresaw_halts():
    blamed = {
        sqlstate
        for sqlstate in [*KNOWN, "RZ999", "2200Z", "55999"]
        if isinstance(
            translate(failure(sqlstate, constraint="c", column="x"), mapped_columns=["x"]),
            BatchRejected,
        )
    }

    assert blamed <= ROW_SQLSTATES
    assert {"22003", "23502", "23514", "54000"} <= blamed
    for sqlstate in ("55000", "2200H", "21000", "27000", "RZ999", "2200Z", "XX002", "38000"):
        assert translate(failure(sqlstate)).disposition is Disposition.HALT, sqlstate


def test_a_halt_has_postgresqls_message_detail_and_hint():
    halted = translate(
        failure("55000", message="cannot update table", detail="It says so.", hint="Set it.")
    )

    assert isinstance(halted, SchemaMismatch)
    assert "55000): cannot update table; detail: It says so.; hint: Set it." in str(halted)


@pytest.mark.parametrize(
    "sqlstate", [s for s in KNOWN if s[:2] in {"22", "23", "21", "P0"} and s != "2200H"]
)
def test_no_value_is_told(sqlstate: str):
    quoting = {"detail": SECRET} if sqlstate[:2] in {"23", "21"} else {"message": SECRET}

    told = translate(failure(sqlstate, **quoting))

    assert SECRET not in str(told)


@pytest.mark.parametrize("sqlstate", ["XX000", "53400", "57014", "57P01", "P0001", "P0004"])
def test_what_a_trigger_raises_is_its_own_word_about_a_row_whatever_the_sqlstate(sqlstate: str):
    place = "PL/pgSQL function picky() line 3 at RAISE"
    raised = failure(sqlstate, message=SECRET, context=place, function="exec_stmt_raise")

    told = translate(raised)

    assert isinstance(told, BatchRejected)
    assert (place in str(told), SECRET in str(told)) == (True, False)


def test_the_same_sqlstates_without_a_trigger_tell_of_the_server():
    assert isinstance(translate(failure("XX000")), SinkUnavailable)
    assert isinstance(translate(failure("53400")), SinkUnavailable)
    assert isinstance(translate(failure("57014")), BatchTooSlow)


def test_what_a_trigger_raises_as_a_constraint_may_hold_a_value_and_is_not_told():
    raised = failure("23514", message=SECRET, constraint="c", function="exec_stmt_raise")

    assert SECRET not in str(translate(raised))


def test_a_null_in_a_mapped_column_is_the_rows_fault_and_in_another_the_tables():
    null = failure("23502", column="x", table="t")

    assert isinstance(translate(null, mapped_columns=["x"]), BatchRejected)
    assert isinstance(translate(null, mapped_columns=["y"]), SchemaMismatch)
    # a domain that must not be null names no column
    assert isinstance(translate(failure("23502")), BatchRejected)


@pytest.mark.parametrize("sqlstate", ["42601", "42622"])
def test_a_text_that_an_extension_calls_a_syntax_error_is_the_rows_fault(sqlstate: str):
    said = failure(sqlstate, message=SECRET, source="ltree_io.c")
    of_the_statement = failure(sqlstate, message="ltree syntax error", source="scan.l")

    told = translate(said)

    assert isinstance(told, BatchRejected)
    assert str(told).endswith("a text that this version's ltree refuses")
    assert isinstance(translate(of_the_statement), SchemaMismatch)


def test_a_missing_partition_is_the_tables_fault():
    missing = failure("23514", message='no partition of relation "t" found for row', table="t")

    halted = translate(missing)

    assert isinstance(halted, SchemaMismatch)
    assert halted.remedy == "create the partition, or a default one of 't'"


@pytest.mark.parametrize(
    ("sqlstate", "message", "limit"),
    [
        ("57014", "canceling statement due to statement timeout", "statement_timeout"),
        ("25P04", "terminating connection due to transaction timeout", "transaction_timeout"),
        ("25P03", "terminating connection", "idle_in_transaction_session_timeout"),
        ("08P01", "query timeout", "the pooler's query_timeout"),
        ("08P01", "query_timeout", "the pooler's query_timeout"),
    ],
)
def test_a_time_limit_is_known_by_its_name_also_beneath_a_lost_connection(
    sqlstate: str, message: str, limit: str
):
    said = failure(sqlstate, message=message, severity="FATAL")
    lost = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    lost.__cause__ = said
    rollback = asyncpg.InterfaceError("connection is closed")
    rollback.__context__ = lost

    for error in (said, lost, rollback):
        told = translate(error)

        assert isinstance(told, BatchTooSlow)
        assert told.limit == limit


def test_a_connection_that_was_lost_without_a_word_is_claimed_anew():
    for error in (
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionResetError(),
    ):
        assert isinstance(translate(error), SinkUnavailable)


@pytest.mark.parametrize("sqlstate", ["26000", "42P05"])
def test_a_forgotten_pooler_is_recognised(sqlstate: str):
    told = translate(failure(sqlstate, message='prepared statement "__asyncpg_1" does not exist'))

    assert "a pooler stands between" in str(told)
    assert "pooler: transaction" in (told.remedy or "")
