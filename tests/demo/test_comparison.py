"""The demonstration's comparison sees every kind of difference, and only differences."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from replicator.demo.comparison import OrderDifference, StoredItem, compare, same

ITEM: StoredItem = {
    "order_id": {"S": "A-1"},
    "status": {"S": "paid"},
    "placed_at": {"S": "2026-01-02T03:04:05.678Z"},
    "changed_at": {"N": "1767323046789"},
    "total": {"N": "120.12345678901234567"},
    "gift": {"BOOL": True},
    "tags": {"SS": ["web", "fragile"]},
    "signature": {"B": b"\x00\xff"},
    "note": {"NULL": True},
    "lines": {"L": [{"M": {"price": {"N": "7.95"}, "packed": {"BOOL": False}}}]},
    "customer": {"M": {"name": {"S": "Zoë"}, "address": {"M": {"city": {"S": "Malmö"}}}}},
    "weights": {"NS": ["10", "9.5"]},
}


def row(**changed: Any) -> dict[str, Any]:
    """What ITEM must become, but for what is said."""
    return {
        "order_id": "A-1",
        "status": "paid",
        "placed_at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        "changed_at": datetime(2026, 1, 2, 3, 4, 6, 789000, tzinfo=UTC),
        "total": Decimal("120.12345678901234567"),
        "gift": True,
        "tags": ["fragile", "web"],
        "signature": b"\x00\xff",
        "note": None,
        "lines": '[{"packed": false, "price": 7.95}]',
        "customer": "Zoë",
        "city": "Malmö",
        "extra": json.dumps(
            {"customer": {"name": "Zoë", "address": {"city": "Malmö"}}, "weights": [9.5, 10]}
        ),
    } | changed


def test_an_item_and_its_row_are_equal():
    found = compare([ITEM], [row()])

    assert found.equal
    assert (found.items, found.rows) == (1, 1)


def test_two_empty_sides_are_equal():
    assert compare([], []).equal


def test_an_item_without_a_row_is_missing():
    found = compare([ITEM], [])

    assert found.differences == (OrderDifference("A-1", "missing"),)
    assert not found.equal


def test_a_row_without_an_item_is_extra():
    found = compare([ITEM], [row(), row(order_id="A-2")])

    assert found.differences == (OrderDifference("A-2", "extra"),)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("total", Decimal("120.12345678901234568")),
        ("total", 120.12345678901234567),
        ("gift", 1),
        ("gift", None),
        ("note", ""),
        ("tags", ["web", "fragile"]),
        ("signature", b"\x00"),
        ("placed_at", datetime(2026, 1, 2, 3, 4, 5, 678001, tzinfo=UTC)),
        ("lines", '[{"packed": 0, "price": 7.95}]'),
        ("lines", '[{"packed": false, "price": "7.95"}]'),
        ("lines", None),
        ("city", "Malmo"),
        ("extra", "{}"),
        ("a_column_of_nobody", None),
    ],
)
def test_a_value_that_differs_names_its_column(column: str, value: object):
    found = compare([ITEM], [row(**{column: value})])

    assert found.differences == (OrderDifference("A-1", "different", (column,)),)


def test_a_column_that_is_not_there_differs():
    without = row()
    del without["city"]

    assert compare([ITEM], [without]).differences == (
        OrderDifference("A-1", "different", ("city",)),
    )


def test_a_number_is_the_same_with_other_zeros_behind_it():
    assert same(Decimal("1.50"), Decimal("1.5"))


@pytest.mark.parametrize(
    ("one", "other"), [(True, Decimal(1)), (Decimal(1), "1"), ([], {}), (None, ""), ([1], [1, 1])]
)
def test_values_of_different_types_are_never_the_same(one: object, other: object):
    assert not same(one, other)
