"""`replicator pause` and `resume`: what they change, what they say, what is on record."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.command import replicator

INSTANT = r"(\d{4}-\d\d-\d\d \d\d:\d\d) UTC"


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


@pytest.fixture
async def orders(control):
    await control.register("orders")
    await control.generation("orders")
    return control


async def test_a_pause_stops_the_table_and_fences_its_workers_off(orders, configure):
    await orders.shard("orders", epoch=7)
    await orders.shard("orders", "shard-1", epoch=3, state="done")

    ended = await replicator("pause", "--table", "orders", config=configure("orders"))

    assert ended.code == 0
    assert ended.out.startswith("orders is paused\n")
    assert await orders.rows("select paused from replicator.table_state") == [(True,)]
    assert await orders.rows("select epoch from replicator.shard order by shard_id") == [(8,), (3,)]


async def test_who_and_why_are_on_record(orders, configure):
    config = configure("orders")

    await replicator("pause", "--table", "orders", "--who", "Ada", config=config)
    await replicator("resume", "--table", "orders", "--why", "mended", config=config)

    paused, resumed = await orders.actions()
    assert paused == ("orders", "pause", "Ada", None)
    assert resumed[:2] == ("orders", "resume")
    assert re.fullmatch(r".+@.+", resumed[2])
    assert resumed[3] == "mended"


@pytest.mark.usefixtures("orders")
async def test_status_says_who_paused_a_table_and_why(configure):
    config = configure("orders")
    for words in (
        ("pause", "--who", "Bob", "--why", "long ago"),
        ("resume",),
        ("pause", "--who", "Ada", "--why", "the target\x1b[2J is being rebuilt"),
        ("pause", "--who", "Eve"),  # which changes nothing
    ):
        done = await replicator(words[0], "--table", "orders", *words[1:], config=config)
        assert done.code == 0

    ended = await replicator("status", config=config)
    document = (await replicator("status", "--json", config=config)).document

    said = "paused by Ada: the target\\x1b[2J is being rebuilt"
    assert f"  orders: {said}\n    -> replicator resume --table orders\n" in ended.out
    assert document["problems"][0]["what"] == "paused by Ada: the target\x1b[2J is being rebuilt"
    assert document["tables"][0]["reason"] == document["problems"][0]["what"]


async def test_status_says_that_no_reason_was_given_or_nothing_is_on_record(orders, configure):
    config = configure("orders")
    await replicator("pause", "--table", "orders", "--who", "Ada", config=config)
    without_why = await replicator("status", config=config)
    await orders.connection.execute("delete from replicator.action")
    without_record = await replicator("status", config=config)
    await replicator("resume", "--table", "orders", config=config)
    await replicator("pause", "--table", "orders", "--why", "x" * 9_000, config=config)
    long = await replicator("status", config=config)

    assert "orders: paused by Ada, who gave no reason\n" in without_why.out
    assert "orders: paused by hand; nothing is on record" in without_record.out
    assert max(map(len, long.out.splitlines())) < 300


async def test_a_pause_says_when_data_starts_to_be_lost(orders, configure):
    await orders.shard("orders", ago=timedelta(hours=20))
    await orders.shard("orders", "shard-1", ago=timedelta(hours=1))

    ended = await replicator("pause", "--table", "orders", config=configure("orders"))

    [oldest] = map(instant, re.findall(f"unread is of {INSTANT}", ended.out))
    [lost] = map(instant, re.findall(f"starts to be lost at {INSTANT}", ended.out))
    assert lost - oldest == timedelta(hours=24)
    assert abs(lost - datetime.now(UTC) - timedelta(hours=4)) < timedelta(minutes=3)
    assert re.search(r"in 3 h 5\d min\.|in 4 h", ended.out)
    assert "replicator resume --table orders" in ended.out


async def test_what_was_never_read_may_be_lost_at_any_time(orders, configure):
    await orders.shard("orders", ago=None, state="waiting")

    ended = await replicator("pause", "--table", "orders", config=configure("orders"))

    assert "Data may be lost at any time" in ended.out


async def test_a_pause_that_comes_too_late_says_so(orders, configure):
    await orders.shard("orders", ago=timedelta(hours=25))

    ended = await replicator("pause", "--table", "orders", config=configure("orders"))

    assert re.search(f"may be lost already: since {INSTANT}", ended.out)


async def test_resume_lifts_a_pause_and_a_halt(orders, configure):
    await orders.worker("one")
    await orders.connection.execute(
        "update replicator.table_state set paused = true, halted = true, reason = 'no column n', "
        "remedy = 'add it'"
    )

    ended = await replicator("resume", "--table", "orders", config=configure("orders"))

    assert ended.code == 0
    assert "no column n" in ended.out
    assert "not paused any more" in ended.out
    assert "Workers go on" in ended.out
    assert await orders.rows(
        "select paused, halted, reason, remedy from replicator.table_state"
    ) == [(False, False, None, None)]


async def test_resume_does_not_lift_a_gap(orders, configure):
    await orders.shard("orders", state="gap")
    await orders.gap("orders")

    ended = await replicator("resume", "--table", "orders", config=configure("orders"))

    assert "stays stopped, because a gap must be accepted" in ended.out
    assert await orders.rows("select state from replicator.gap") == [("open",)]


async def test_a_table_that_left_the_configuration_can_be_paused(orders, configure):
    ended = await replicator("pause", "--table", "orders", config=configure("parts"))

    assert ended.code == 0
    assert await orders.rows("select paused from replicator.table_state") == [(True,)]


@pytest.mark.parametrize("verb", ["pause", "resume"])
async def test_an_unknown_table_is_answered_with_the_nearest_name(verb, orders, configure):
    ended = await replicator(verb, "--table", "oders", config=configure("orders", "parts"))

    assert (ended.code, ended.out) == (2, "")
    assert "did you mean orders?" in ended.err
    assert await orders.actions() == []


@pytest.mark.usefixtures("orders")
async def test_a_table_that_is_not_registered_asks_for_migrate(configure):
    ended = await replicator("pause", "--table", "parts", config=configure("orders", "parts"))

    assert ended.code == 2
    assert "not registered yet" in ended.err
    assert "`replicator migrate`" in ended.err
