"""`replicator dead-letters`: what is listed, and what one shows."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.command import replicator

IMAGE = r'{"pk":{"S":"a"},"note":{"S":"x\u0000y"},"lone":{"S":"\ud800"},"n":{"N":"1E-130"}}'


@pytest.fixture
async def orders(control):
    await control.register("orders", "parts")
    return control


async def ids(*words, config):
    ended = await replicator("dead-letters", "list", "--json", *words, config=config)
    return [letter["id"] for letter in ended.document["dead_letters"]]


async def test_the_document_has_the_promised_shape(orders, configure):
    number = await orders.letter("orders")
    scanned = await orders.letter("orders", "b", sequence_number=None, event="snapshot")

    ended = await replicator("dead-letters", "list", "--json", config=configure("orders"))

    letter, other = ended.document["dead_letters"]
    assert datetime.fromisoformat(letter.pop("first_seen")).tzinfo is not None
    assert letter == {
        "id": number,
        "source": "orders",
        "target": "public.orders",
        "key": {"pk": {"S": "a"}},
        "event": "modify",
        "sequence_number": "111222333444555666777",
        "reason": "attribute 'total', column 'total': 1.005 has more than 2 decimals",
        "state": "open",
    }
    assert (other["id"], other["sequence_number"]) == (scanned, None)


async def test_the_list_is_chosen_by_table_state_reason_and_age(orders, configure):
    config = configure("orders", "parts")
    old = datetime.now(UTC) - timedelta(hours=3)
    one = await orders.letter("orders", reason="holds a NUL character", first_seen=old)
    two = await orders.letter("parts")
    gone = await orders.letter("parts", "b", state="superseded")

    assert await ids(config=config) == [one, two]
    assert await ids("--table", "parts", config=config) == [two]
    assert await ids("--state", "superseded", config=config) == [gone]
    assert await ids("--state", "discarded", config=config) == []
    assert await ids("--state", "all", config=config) == [one, two, gone]
    assert await ids("--reason", "nul CHAR", config=config) == [one]
    assert await ids("--reason", "%", config=config) == []
    assert await ids("--older-than", "2h30m", config=config) == [one]
    assert await ids("--older-than", "4h", config=config) == []


async def test_a_limit_says_how_many_it_leaves_out(orders, configure):
    oldest = await orders.letter("orders")
    for key in "bcd":
        await orders.letter("orders", key)

    ended = await replicator(
        "dead-letters", "list", "--limit", "1", "--json", config=configure("orders")
    )

    assert [letter["id"] for letter in ended.document["dead_letters"]] == [oldest]
    assert ended.document["total"] == 4
    assert "3 more match" in ended.err


async def test_for_a_person_a_letter_is_one_line(orders, configure):
    number = await orders.letter("orders", "k \x1b[31m")
    await orders.connection.execute(
        """update replicator.dead_letter set item_key = '{"pk":{"S":"k \\u001b[31m"}}'"""
    )

    ended = await replicator("dead-letters", "list", "--each", config=configure("orders"))

    row = ended.out.splitlines()[1]
    assert row.split()[0] == str(number)
    assert "public.orders" in row
    assert row.endswith("1.005 has more than 2 decimals")
    assert "\x1b" not in ended.out
    assert "dead-letters show ID" in ended.out


async def test_for_a_person_letters_with_one_reason_are_one_line(orders, configure):
    config = configure("orders", "parts")
    rare = await orders.letter("orders", "z", reason="attribute 'n', column 'n': is not an integer")
    old = datetime.now(UTC) - timedelta(hours=3)
    many = [await orders.letter("orders", key, first_seen=old) for key in "abcd"]
    await orders.letter("orders", "e", state="superseded")
    other = await orders.letter("parts", "a")

    ended = await replicator("dead-letters", "list", config=config)
    limited = await replicator("dead-letters", "list", "--limit", "1", config=config)

    _, first, second, third, _, hint = ended.out.splitlines()
    assert first.split()[:2] == ["4", "3"]
    assert f"{many[0]}, {many[1]}, {many[2]}, …" in first
    assert first.endswith("1.005 has more than 2 decimals")
    assert second.endswith("is not an integer")
    assert f" {rare} " in second
    assert ("public.parts" in third, f" {other} " in third) == (True, True)
    assert "list --each" in hint
    assert "2 more reasons match: --limit 3 shows all" in limited.err


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("words", [(), ("--each",)])
async def test_without_letters_it_says_so(configure, words):
    ended = await replicator("dead-letters", "list", *words, config=configure("orders"))

    assert (ended.code, ended.out) == (0, "no open dead letters\n")


async def test_another_deployment_has_its_own(orders, configure):
    number = await orders.letter("orders", deployment="other")

    listed = await ids("--state", "all", config=configure("orders"))
    shown = await replicator("dead-letters", "show", str(number), config=configure("orders"))

    assert listed == []
    assert shown.code == 2


async def test_one_shows_everything_with_its_images(orders, configure):
    number = await orders.letter("orders", new_image=IMAGE, sqlstate="22003")

    text = await replicator("dead-letters", "show", str(number), config=configure("orders"))
    document = (
        await replicator("dead-letters", "show", str(number), "--json", config=configure("orders"))
    ).document

    assert text.code == 0
    assert "pk=a" in text.out
    assert "22003" in text.out
    assert r'"S": "x\u0000y"' in text.out
    assert "old image: none" in text.out
    assert "Correct the item in DynamoDB" in text.out
    letter = document["dead_letter"]
    assert letter["new_image"]["n"] == {"N": "1E-130"}
    assert letter["new_image"]["lone"] == {"S": "\ud800"}
    assert letter["old_image"] is None
    assert (letter["id"], letter["sqlstate"]) == (number, "22003")


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("number", ["7", str(10**30)])
async def test_a_number_without_a_letter_is_refused(number, configure):
    ended = await replicator("dead-letters", "show", number, config=configure("orders"))

    assert (ended.code, ended.out) == (2, "")
    assert f"no dead letter {number}" in ended.err


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("older_than", ["2x", "", "h", "-1h", "99999999999d"])
async def test_what_is_no_duration_is_refused(older_than, configure):
    ended = await replicator(
        "dead-letters", "list", f"--older-than={older_than}", config=configure("orders")
    )

    assert ended.code == 2
    assert "--older-than" in ended.err


@pytest.mark.usefixtures("orders")
async def test_an_unknown_table_is_answered_with_the_nearest_name(configure):
    ended = await replicator("dead-letters", "list", "--table", "part", config=configure("orders"))

    assert ended.code == 2
    assert "did you mean parts?" in ended.err


async def test_open_ones_are_discarded_by_number_and_by_filter(orders, configure):
    config = configure("orders", "parts")
    one = await orders.letter("orders")
    two = await orders.letter("parts", reason="holds a NUL character")
    closed = await orders.letter("parts", "b", state="superseded")

    ended = await replicator(
        "dead-letters", "discard", "--reason", "nul", "--why", "test data", config=config
    )
    assert (ended.code, ended.out) == (0, "discarded 1 dead letter\n")
    ended = await replicator(
        "dead-letters", "discard", str(one), "--why", "x", "--who", "ada", "--json", config=config
    )
    assert ended.document["discarded"] == [one]

    states = await orders.rows("select id, state from replicator.dead_letter order by id")
    assert states == [(one, "discarded"), (two, "discarded"), (closed, "superseded")]
    assert [action[0] for action in await orders.actions()] == ["parts", "orders"]


async def test_what_is_not_open_is_refused_and_nobody_acts_on_all_by_mistake(orders, configure):
    config = configure("orders", "parts")
    closed = await orders.letter("orders", state="superseded")

    ended = await replicator("dead-letters", "replay", str(closed), config=config)
    assert (ended.code, f"no open dead letter {closed}" in ended.err) == (2, True)
    ended = await replicator("dead-letters", "replay", config=config)
    assert (ended.code, "say which" in ended.err) == (2, True)
    ended = await replicator("dead-letters", "discard", "--why", "x", config=config)
    assert (ended.code, "say which" in ended.err) == (2, True)


async def test_a_replay_that_cannot_look_at_the_source_table_changes_nothing(orders, configure):
    number = await orders.letter("orders")

    ended = await replicator("dead-letters", "replay", str(number), config=configure("orders"))

    assert ended.code == 4
    assert await orders.rows("select state from replicator.dead_letter") == [("open",)]
