from typing import Any

import pytest

from replicator.core.mapping.attribute_paths import parse_path
from replicator.core.proposal.attribute_statistics import (
    Guess,
    attribute_statistics,
    snake_case,
)
from replicator.core.proposal.item_kinds import detect_entities
from replicator.core.proposal.propose_mapping import propose_table
from replicator.core.proposal.sample_fit import sample_fit
from replicator.core.stream_record import Image
from replicator.core.table_spec import ColumnSpec, SourceKey, TargetSpec
from replicator.core.values.column_types import parse_type
from tests.support.builders import table_mapping, target

ONE = SourceKey((("pk", "S"),))
TWO = SourceKey((("pk", "S"), ("sk", "S")))


CUT = Guess("timestamptz", fraction="truncate")


def words(no: str, yes: str, *before: Any) -> Guess:
    return Guess("boolean", transform=(*before, "boolean"), words=((no, False), (yes, True)))


def item(pk: str, sk: Any = None, **attributes: Any) -> Image:
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
        ("日本", "日本"),
        ("Größe", "größe"),
        ("हिन्दी", "हिन्दी"),
        ("+/-", ""),
    ],
)
def test_names_become_those_of_sql(name: str, found: str):
    assert snake_case(name) == found


@pytest.mark.parametrize(
    ("name", "values", "guess"),
    [
        ("x", ["2024-02-29T10:00:00Z", "2024-02-29T10:00:00+01:00"], Guess("timestamptz")),
        ("x", ["2024-02-29T10:00:00", "2024-03-01 10:00"], Guess("timestamp")),
        ("x", ["2024-02-29"], Guess("date")),
        ("x", ["2024-02-29", "soon"], None),
        ("x", ["2024-02-30"], None),
        ("x", ["2024-02-29", ""], Guess("date", transform=("empty_null",))),
        ("x", [""], None),
        ("x", ["2024-02-29T10:00:00.123Z"], Guess("timestamptz")),
        ("x", ["2024-02-29T10:00:00Z", "2024-02-29T10:00:00.123456Z"], CUT),
        ("x", ["2024-02-29T10:00:00.1234567+02:00"], CUT),
        ("x", ["2024-02-29T10:00:00.123456789Z"], CUT),
        ("x", ["Y", "N", "Y", "Y"], words("N", "Y")),
        ("x", ["False", "True"] * 2, words("False", "True")),
        ("x", ["t", "f", "", "t", "f"], words("f", "t", "empty_null")),
        ("x", ["Y", "N"], None),
        ("x", ["Y", "y", "n", "N"], None),
        ("x", ["Y"] * 9, None),
    ],
)
def test_texts_that_are_all_times_are_found(name: str, values: list[str], guess: Guess | None):
    [found] = attribute_statistics([{name: {"S": value}} for value in values])[:1]

    assert found.guess == guess


@pytest.mark.parametrize(
    ("name", "number", "time_format"),
    [
        ("createdAt", "1700000000", "epoch_s"),
        ("ttl", "1700000000", "epoch_s"),
        ("ts", "1700000000123", "epoch_ms"),
        ("updated_at", "1700000000123456", "epoch_us"),
        ("updated_at", "1700000000123456789", "epoch_ns"),
        ("updated_at", "1700000000.25", "epoch_s"),
        ("createdAt", "17", None),
        ("amount", "1700000000", None),
        ("status", "1700000000", None),
    ],
)
def test_numbers_are_times_only_where_their_name_says_so(
    name: str, number: str, time_format: str | None
):
    [found] = attribute_statistics([{name: {"N": number}}])

    assert (found.guess.format if found.guess else None) == time_format


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


@pytest.mark.parametrize(
    ("values", "guess"),
    [
        ([{"N": "1"}, {"S": "2.50"}, {"S": "-3"}], Guess("numeric", transform=("number",))),
        (
            [{"N": "1"}, {"S": ""}, {"S": "7"}],
            Guess("numeric", transform=("empty_null", "number")),
        ),
        ([{"N": "1"}, {"S": "007"}], None),
        ([{"N": "1"}, {"S": "1e3"}], None),
        ([{"N": "1"}, {"BOOL": True}], None),
    ],
)
def test_numbers_that_some_writer_made_strings_are_numbers(values: Any, guess: Guess | None):
    [found] = attribute_statistics([{"x": value} for value in values])

    assert found.guess == guess


@pytest.mark.parametrize(
    ("name", "numbers", "found"),
    [
        ("isActive", ["0", "1"], True),
        ("active", ["1"], True),
        ("email_verified", ["0"], True),
        ("quantity", ["0", "1"], False),
        ("isActive", ["0", "2"], False),
    ],
)
def test_zero_and_one_are_booleans_only_where_the_name_says_so(
    name: str, numbers: list[str], found: bool
):
    [statistics] = attribute_statistics([{name: {"N": number}} for number in numbers])

    assert statistics.guess == (words("0", "1") if found else None)


def test_what_is_proposed_takes_every_sampled_value():
    images = [
        item("a", n={"N": "1"}, at={"S": "2024-02-29T10:00:00.123456789Z"}, paid={"N": "1"}),
        item("b", n={"S": "2.5"}, at={"S": ""}),
        item("c", n={"S": ""}),
    ]

    [proposed] = propose_table("t", ONE, images, set()).targets

    columns = tuple(
        ColumnSpec(
            column.name,
            parse_path(column.path),
            parse_type(column.type),
            column.format,
            transform=column.transform,
            fraction=column.fraction,
            words=column.words,
        )
        for column in proposed.columns
    )
    [fit] = sample_fit(table_mapping(TargetSpec("public.t", columns=columns)), images)
    assert (fit.items, fit.fits) == (3, 3)
    assert {column.name: column.null for column in fit.columns} == {
        "pk": 0,
        "n": 1,
        "at": 2,
        "paid": 2,
    }


def test_a_property_called_type_makes_no_kinds_of_items_with_one_shape():
    shared = {"amount": {"N": "1"}, "at": {"N": "2"}, "by": {"S": "x"}}
    images = [item(str(n), type={"S": "credit" if n % 2 else "debit"}, **shared) for n in range(9)]
    refunds = [{**image, "type": {"S": "refund"}, "of": {"S": "y"}} for image in images]
    parcels = [item(f"p{n}", type={"S": "parcel"}, weight={"N": "1"}) for n in range(9)]
    users = [item(f"u{n}", _type={"S": "user" if n % 2 else "team"}, **shared) for n in range(9)]

    assert detect_entities(images, ONE) == []
    assert detect_entities([*images, *refunds], ONE) == []
    assert [kind.name for kind in detect_entities([*images, *parcels], ONE)] == [
        "parcel",
        "debit",
        "credit",
    ]
    assert len(detect_entities(users, ONE)) == 2
    [proposed] = propose_table("t", ONE, images, set()).targets
    assert "type" in [column.name for column in proposed.columns]


def test_a_name_that_is_one_already_wins_over_one_that_becomes_it():
    images = [item("a", Price={"S": "a"}) for _ in range(9)] + [item("b", price={"N": "1"})]

    [proposed] = propose_table("t", ONE, images, set()).targets

    assert {column.path: column.name for column in proposed.columns} == {
        "Price": "price_2",
        "price": "price",
    }


def test_key_columns_have_one_name_in_all_targets():
    two = SourceKey((("PK", "S"), ("SK", "S")))
    users = [{"PK": {"S": f"USER#{n}"}, "SK": {"S": "PROFILE"}} for n in range(5)]
    orders = [
        {"PK": {"S": f"USER#{n}"}, "SK": {"S": f"ORDER#{n}"}, "pk": {"S": "a"}} for n in range(6)
    ]

    targets = propose_table("t", two, [*users, *orders], set()).targets

    assert {tuple(column.name for column in target.key) for target in targets} == {("pk_2", "sk")}
    assert [column.name for column in targets[0].columns] == ["pk"]


def test_a_reserved_word_of_postgresql_gets_an_underscore_as_a_column_and_as_a_table():
    images = [{"user": {"S": "a"}, "select": {"S": "b"}, "user_": {"S": "c"}, "Name": {"S": "d"}}]

    [proposed] = propose_table("Order", SourceKey((("user", "S"),)), images, set()).targets

    assert proposed.name == "public.order_"
    assert [column.name for column in proposed.key] == ["user__2"]
    assert {column.path: column.name for column in proposed.columns} == {
        "user_": "user_",
        "select": "select_",
        "Name": "name",
    }


def test_counts_of_one_and_of_none_read_as_a_person_says_them():
    images = [item("a", code={"S": "x"}, count={"N": "7"}, empty={"S": ""})]

    [proposed] = propose_table("t", ONE, images, set()).targets

    why = {column.name: column.why for column in proposed.columns}
    assert why["code"].endswith("; up to 1 character")
    assert "whole, up to 1 digit:" in why["count"]
    assert why["empty"] == "S, in 100 % of the items"


def test_a_long_name_is_cut_between_characters():
    images = [item("a", **{"ü" * 40: {"S": "a"}, "ü" * 41: {"S": "b"}})]

    [proposed] = propose_table("t", ONE, images, set()).targets

    names = [column.name for column in proposed.columns]
    assert names == ["ü" * 31, "ü" * 29 + "_2"]


def test_what_stays_in_rest_is_named_with_its_reason():
    images = [item(str(n), often={"N": "1"}) for n in range(99)]
    images.append(item("last", often={"S": "x"}, rare={"S": "x"}, nothing={"NULL": True}))

    [proposed] = propose_table("t", ONE, images, set()).targets

    assert proposed.columns == ()
    assert set(proposed.left) == {
        "often: of several types (N in 99, S in 1 of the sampled items); 0 of the strings are "
        "numbers: `transform: number` into numeric would reject the others, text takes all",
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
