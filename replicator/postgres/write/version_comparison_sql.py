"""Comparison of the versions of an item's changes in SQL: by number, or by time with the ties.

A version is a generation and a number. `core/stream/order_by_time` says what the number of a change
with a time is made of, and what the ties mean: the expressions here are `later` in SQL.
"""

from collections.abc import Mapping
from typing import Protocol

from replicator.core.stream.order_by_time import SLOT, TIME
from replicator.core.stream.source_kind import ChangeOrder


class OrderSql(Protocol):
    """Expressions over two versions, each given as expressions of generation and number."""

    def older(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        """True where `one` is older than `other`, which has just arrived."""
        ...

    def undecided(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        """True where nothing proves which of two changes is the later one."""
        ...


class ByNumber:
    """Sequence numbers: the higher one is the newer."""

    def older(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        """SQL that compares generation and number as a row."""
        return f"({one[0]}, {one[1]}) < ({other[0]}, {other[1]})"

    def undecided(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        """SQL that is never true: no two changes of an item have one number."""
        del one, other
        return "false"


class ByTime:
    """Creation times, with the tie rule.

    What cannot be decided counts as older than what has just arrived.
    """

    def older(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        """SQL that compares generation and time; of one time, the images that the changes lie
        between.
        """
        return (
            f"({one[0]} < {other[0]} or {one[0]} = {other[0]} and "
            f"({_time(one[1])} < {_time(other[1])} or {self._tied(one, other)} and "
            f"case when {_follows(one[1], other[1])} <> {_follows(other[1], one[1])} "
            f"then {_follows(one[1], other[1])} "
            f"else {_rank(one[1])} <= {_rank(other[1])} end))"
        )

    def undecided(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        """SQL that is true for changes of one time of which neither begins with the image that the
        other ends with, or both do.
        """
        return (
            f"({one[0]} = {other[0]} and {self._tied(one, other)} "
            f"and {_follows(one[1], other[1])} = {_follows(other[1], one[1])})"
        )

    def _tied(self, one: tuple[str, str], other: tuple[str, str]) -> str:
        return f"{_time(one[1])} = {_time(other[1])} and {one[1]} <> {other[1]}"


ORDERS: Mapping[ChangeOrder, OrderSql] = {"number": ByNumber(), "time": ByTime()}


_BELOW_TIME = len(str(TIME)) - 1
"""Digits of a number that stand below the time."""


def _time(number: str) -> str:
    """The time, as the number without the digits below it: a division takes five times as long."""
    return f"trunc({number}, -{_BELOW_TIME})"


def _old(number: str) -> str:
    return f"mod(div({number}, {SLOT}), {SLOT})"


def _new(number: str) -> str:
    return f"mod({number}, {SLOT})"


def _follows(one: str, other: str) -> str:
    """True where `other` begins with the image that `one` ends with."""
    return f"({_old(other)} = {_new(one)})"


def _rank(number: str) -> str:
    """0 for an insertion, 2 for a removal, else 1."""
    return f"(case when {_old(number)} = 0 then 0 when {_new(number)} = 0 then 2 else 1 end)"
