"""What the shop does with its orders can be counted on by whoever counts records."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from replicator.demo.comparison import read_value
from replicator.demo.sample_orders import Delete, Put, Shop, Update

START = datetime(2026, 1, 2, tzinfo=UTC)


def plain(value: Any) -> Any:
    return read_value(value)


def test_changes_touch_only_orders_that_are_there_and_are_counted():
    shop, there, kinds = Shop(Random(7)), set[str](), set[type]()

    for number in range(2000):
        change = shop.next_change(START + timedelta(milliseconds=25 * number))
        kinds.add(type(change))
        match change:
            case Put(item):
                order_id = plain(item["order_id"])
                assert order_id not in there
                there.add(order_id)
            case Update(order_id):
                assert order_id in there
            case Delete(order_id):
                there.remove(order_id)
        assert shop.orders == len(there)

    assert kinds == {Put, Update, Delete}


def test_an_update_never_repeats_so_each_makes_a_record():
    shop, seen = Shop(Random(7)), set[tuple[str, str]]()

    for _ in range(2000):
        match shop.next_change(START):
            case Update(order_id, _, values):
                stage = (order_id, plain(values[":status"]))
                assert stage not in seen
                seen.add(stage)
            case _:
                pass


def test_totals_have_more_digits_than_a_float_keeps():
    put = Shop(Random(7)).next_change(START)

    assert isinstance(put, Put)
    total = plain(put.item["total"])
    assert len(total.as_tuple().digits) > 17
    assert Decimal(float(total)) != total
