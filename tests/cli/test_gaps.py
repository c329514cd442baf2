"""`replicator gaps`: what is shown, and what accepting changes."""

import pytest
import yaml

from tests.support.command import replicator
from tests.support.control import stream_arn

OLD = "2026-02-01T00:00:00.000"
ACCEPT = ("gaps", "accept", "--table", "orders", "--who", "Ada", "--why", "a drill")


@pytest.fixture
async def orders(control):
    await control.register("orders", "parts")
    await control.generation("orders", label=OLD)
    await control.generation("orders")
    return control


async def shard_states(control):
    return await control.rows(
        "select shard_id, state, gap_accepted_at is not null from replicator.shard order by 1"
    )


async def test_open_gaps_are_listed(orders, configure):
    await orders.shard("orders", state="gap")
    first = await orders.gap("orders")
    await orders.gap("parts", None, kind="possible", detail="a new stream")
    await orders.gap("parts", "healed", state="healed")

    text = await replicator("gaps", "list", config=configure("orders", "parts"))
    document = (
        await replicator("gaps", "list", "--table", "orders", "--json", config=configure("orders"))
    ).document

    assert text.code == 0
    assert f"gap {first}, shard shard-0: the position is older" in text.out
    assert "between two streams: a new stream" in text.out
    assert "`replicator gaps heal --table orders`: nobody knows when its gap began" in text.out
    assert "healed" not in text.out
    [gap] = document["gaps"]
    assert gap.pop("found_at").endswith("Z")
    assert gap == {
        "id": first,
        "source": "orders",
        "stream_arn": stream_arn("orders"),
        "shard_id": "shard-0",
        "kind": "certain",
        "since": None,
        "detail": "the position is older than what the shard still holds",
        "remedy": '`replicator snapshot --table orders --why "..."` loads it again, `replicator '
        'gaps accept --table orders --why "..."` leaves what is lost as it is',
    }


@pytest.mark.usefixtures("orders")
async def test_without_gaps_it_says_so(configure):
    text = await replicator("gaps", "list", config=configure("orders"))
    listed = await replicator("gaps", "list", "--json", config=configure("orders"))

    assert text.out == "no open gaps\n"
    assert listed.document == {"schema_version": 1, "gaps": []}


async def test_accepting_lets_the_shard_be_read_on_and_is_on_record(orders, configure):
    await orders.shard("orders", state="gap", epoch=4)
    await orders.gap("orders")

    ended = await replicator(*ACCEPT, config=configure("orders"))

    assert ended.code == 0
    assert "accepted gap" in ended.out
    assert "differ from the source" in ended.out
    assert "Workers go on" in ended.out
    assert await shard_states(orders) == [("shard-0", "waiting", True)]
    assert await orders.rows("select epoch from replicator.shard") == [(5,)]
    assert await orders.rows("select state, closed_by, closed_why from replicator.gap") == [
        ("accepted", "Ada", "a drill")
    ]
    assert await orders.actions() == [("orders", "accept gap", "Ada", "a drill")]


async def test_one_gap_of_several_is_accepted_by_its_number(orders, configure):
    for shard in ("shard-0", "shard-1"):
        await orders.shard("orders", shard, state="gap")
    await orders.gap("orders", "shard-0")
    second = await orders.gap("orders", "shard-1")

    ended = await replicator(*ACCEPT, "--id", str(second), config=configure("orders"))

    assert "It stays stopped" in ended.out
    assert await shard_states(orders) == [("shard-0", "gap", False), ("shard-1", "waiting", True)]


async def test_a_number_that_is_not_open_is_refused(orders, configure):
    other = await orders.gap("parts")

    ended = await replicator(*ACCEPT, "--id", str(other), config=configure("orders"))

    assert ended.code == 2
    assert f"has no open gap {other}" in ended.err
    assert await orders.rows("select state from replicator.gap") == [("open",)]


async def test_accepting_a_gap_between_streams_ends_what_the_older_ones_left(orders, configure):
    await orders.generation("orders", label="2026-04-01T00:00:00.000")
    newest = stream_arn("orders", "2026-04-01T00:00:00.000")
    await orders.shard("orders", "older", state="gap", stream_arn=stream_arn("orders", OLD))
    await orders.shard("orders", "newer", state="gap", stream_arn=newest)
    await orders.shard("parts", "other", state="gap", stream_arn=stream_arn("parts", OLD))
    await orders.gap("orders", None, kind="possible")

    ended = await replicator(*ACCEPT, config=configure("orders", "parts"))

    assert ended.code == 0
    assert await shard_states(orders) == [
        ("newer", "gap", False),
        ("older", "gap", True),
        ("other", "gap", False),
    ]
    over = await orders.rows("select shard_id from replicator.shard where done_at is not null")
    assert over == [("older",)]


async def test_a_shard_of_an_older_stream_is_never_read_again(orders, configure):
    await orders.shard("orders", "older", state="gap", stream_arn=stream_arn("orders", OLD))
    await orders.gap("orders", "older", stream_arn=stream_arn("orders", OLD))

    await replicator(*ACCEPT, config=configure("orders"))

    assert await shard_states(orders) == [("older", "gap", True)]


async def test_a_second_acceptance_has_nothing_to_do(orders, configure):
    ended = await replicator(*ACCEPT, config=configure("orders"))

    assert (ended.code, ended.out) == (0, "orders has no open gap\n")
    assert await orders.actions() == []


@pytest.mark.parametrize("why", [(), ("--why", " ")], ids=["missing", "empty"])
async def test_nobody_accepts_without_saying_why(why, orders, configure):
    await orders.gap("orders")

    ended = await replicator(
        "gaps", "accept", "--table", "orders", *why, config=configure("orders")
    )

    assert ended.code == 2
    assert "--why" in ended.err
    assert await orders.rows("select state from replicator.gap") == [("open",)]


async def test_while_a_gap_is_healed_whoever_asks_again_is_told_of_the_snapshot(orders, configure):
    await orders.gap("orders")
    config = configure("orders")
    document = yaml.safe_load(config.read_text()) | {"export": {"bucket": "exports"}}
    config.write_text(yaml.safe_dump(document))
    heal = ("gaps", "heal", "--table", "orders", "--detach")

    first = await replicator(*heal, config=config)
    await orders.connection.execute("update replicator.gap set state = 'accepted'")
    second = await replicator(*heal, config=config)
    await orders.connection.execute("update replicator.snapshot set state = 'done'")
    third = await replicator(*heal, config=config)

    assert (first.code, second.code, third.code) == (0, 2, 2)
    [(number,)] = await orders.rows("select id from replicator.snapshot")
    assert f"snapshot {number} is under way" in second.err
    assert "under way" not in third.err
    assert "`replicator gaps list`" in third.err
