from typing import Any

import pytest

from replicator.core.proposal.attribute_statistics import (
    TimeGuess,
    attribute_statistics,
    snake_case,
)
from replicator.core.proposal.entities import detect_entities
from replicator.core.proposal.propose import propose_table
from replicator.core.proposal.sample_fit import sample_fit
from replicator.core.records import Image
from replicator.core.spec import SourceKey
from tests.support.builders import table_mapping, target

ONE = SourceKey((("pk", "S"),))
TWO = SourceKey((("pk", "S"), ("sk", "S")))


def item(pk: str, sk: str | None = None, **attributes: Any) -> Image:
    keys = {"pk": {"S": pk}} | ({} if sk is None else {"sk": {"S": sk}})
    return {**keys, **attributes}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("customerName", "customer_name"),
        ("Customer-Name", "customer_name"),
        ("a.b", "a_b"),
        ("__typename", "typename"),
        ("orderID2", "order_id2"),
        ("日本", ""),
    ],
)
def test_names_become_those_of_sql(name: str, found: str):
    assert snake_case(name) == found


@pytest.mark.parametrize(
    ("name", "values", "guess"),
    [
        ("x", ["2024-02-29T10:00:00Z", "2024-02-29T10:00:00+01:00"], TimeGuess("timestamptz")),
        ("x", ["2024-02-29T10:00:00", "2024-03-01 10:00"], TimeGuess("timestamp")),
        ("x", ["2024-02-29"], TimeGuess("date")),
        ("x", ["2024-02-29", "soon"], None),
        ("x", ["2024-02-30"], None),
    ],
)
def test_texts_that_are_all_times_are_found(name: str, values: list[str], guess: TimeGuess | None):
    [found] = attribute_statistics([{name: {"S": value}} for value in values])[:1]

    assert found.time == guess


@pytest.mark.parametrize(
    ("name", "number", "time_format"),
    [
        ("createdAt", "1700000000", "epoch_s"),
        ("ttl", "1700000000", "epoch_s"),
        ("ts", "1700000000123", "epoch_ms"),
        ("updated_at", "1700000000123456", "epoch_us"),
        ("createdAt", "17", None),
        ("amount", "1700000000", None),
        ("status", "1700000000", None),
    ],
)
def test_numbers_are_times_only_where_their_name_says_so(
    name: str, number: str, time_format: str | None
):
    [found] = attribute_statistics([{name: {"N": number}}])

    assert (found.time.format if found.time else None) == time_format


def test_kinds_are_told_apart_by_an_attribute_that_is_called_so():
    images = [item(str(n), entityType={"S": "user" if n % 3 else "team"}) for n in range(30)]

    users, teams = detect_entities(images, ONE)

    assert (users.name, users.when, len(users.images)) == ("user", {"entityType": "user"}, 20)
    assert (teams.name, teams.when) == ("team", {"entityType": "team"})


def test_kinds_are_told_apart_by_how_keys_begin():
    images = [item(f"USER#{n}", "PROFILE") for n in range(5)]
    images += [item(f"USER#{n}", f"ORDER#{n}") for n in range(6)]

    orders, profiles = detect_entities(images, TWO)

    assert (orders.name, orders.when) == ("order", {"sk": {"begins_with": "ORDER#"}})
    assert (profiles.name, profiles.when) == ("profile", {"sk": "PROFILE"})


def test_keys_that_tell_nothing_make_one_kind():
    assert detect_entities([item(f"k{n}") for n in range(20)], ONE) == []
    assert detect_entities([], ONE) == []


def test_what_stays_in_rest_is_named_with_its_reason():
    images = [item(str(n), often={"N": "1"}) for n in range(99)]
    images.append(item("last", often={"S": "x"}, rare={"S": "x"}, nothing={"NULL": True}))

    [proposed] = propose_table("t", ONE, images, set()).targets

    assert proposed.columns == ()
    assert set(proposed.left) == {
        "often: of several types (N or S)",
        "rare: rare (1 of 100)",
        "nothing: NULL",
    }


def test_names_that_are_one_name_in_sql_are_numbered():
    long = "x" * 80
    images = [item("a", Name={"S": "a"}, name={"S": "b"}, PK={"S": "c"}, ctid={"S": "d"})]
    images[0] |= {long: {"S": "e"}, f"{long}y": {"S": "f"}, "extra": {"S": "g"}}

    [proposed] = propose_table("t", ONE, images, set()).targets

    names = [column.name for column in (*proposed.key, *proposed.columns)]
    assert len({name[:63] for name in names}) == 8
    assert {"pk", "pk_2", "name", "name_2", "a_ctid", "extra"} <= set(names)
    assert proposed.rest == "others"


def test_a_sample_shows_what_would_convert_be_null_or_be_rejected():
    images = [item("a", n={"N": "1"}), item("b"), item("c", n={"N": "1.5"}), item("d", n={"S": ""})]

    [fit] = sample_fit(table_mapping(target()), images)

    assert (fit.items, fit.fits) == (4, 2)
    key, n = fit.columns
    assert (key.name, key.converts, key.null, key.rejected) == ("pk", 4, 0, 0)
    assert (n.name, n.converts, n.null, n.rejected) == ("n", 1, 1, 2)
    assert "attribute 'n', column 'n': is not an integer" in n.reasons
