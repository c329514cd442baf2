"""Ordering modes: how an older change is kept from replacing a newer one. Pure.

A table has one mode at a time, in `table_state.mode`; a switch of the mode fences every writer off.
"""

from enum import StrEnum

from replicator.core.table_spec import Poller


class OrderingMode(StrEnum):
    """The way in which the order of a table's changes is kept.

    `FENCE`: one worker reads a shard from the oldest change to the newest, and the fence lets no
    other write. `GUARD`: the same shards beside a load, or records that arrive in any order: the
    version of each row decides. `LAMBDA`: AWS Lambda reads the stream, in any number of calls at
    once, and the version of each row decides.
    """

    FENCE = "fence", "daemon", False
    GUARD = "guard", "daemon", True
    LAMBDA = "lambda", "lambda", True

    poller: Poller
    """The reader of the stream."""
    by_versions: bool
    """True where a change is written only behind the row's version."""

    def __new__(cls, value: str, poller: Poller, by_versions: bool) -> "OrderingMode":
        mode = str.__new__(cls, value)
        mode._value_ = value
        mode.poller = poller
        mode.by_versions = by_versions
        return mode

    @classmethod
    def of(cls, word: str) -> "OrderingMode":
        """The mode that `table_state.mode` names; ValueError for another word."""
        return cls(word)  # type: ignore[call-arg]  # mypy takes the members' arguments for these

    @classmethod
    def at_first(cls, poller: Poller) -> "OrderingMode":
        """The mode of a table that is registered for a poller."""
        return cls.LAMBDA if poller == "lambda" else cls.FENCE

    @classmethod
    def others_than(cls, poller: Poller) -> tuple["OrderingMode", ...]:
        """The modes from which a table may be handed to a poller."""
        return tuple(mode for mode in cls if mode.poller != poller)

    def while_loading(self) -> "OrderingMode":
        """The mode beside a snapshot or a repair, which writes between the changes."""
        return OrderingMode.LAMBDA if self is OrderingMode.LAMBDA else OrderingMode.GUARD

    def after_loading(self, resting: "OrderingMode") -> "OrderingMode":
        """The mode when no load is left; `resting`: the daemon's, by the kind of the source."""
        return OrderingMode.LAMBDA if self is OrderingMode.LAMBDA else resting
