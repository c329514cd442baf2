"""Keepers of the order: who sees to it that an older change never replaces a newer one. Pure.

A table has one keeper at a time, in `table_state.mode`; a change of keeper fences every writer off.
"""

from enum import StrEnum

from replicator.core.table_spec import Poller


class OrderKeeper(StrEnum):
    """The keeper of the order of a table's changes.

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

    def __new__(cls, value: str, poller: Poller, by_versions: bool) -> "OrderKeeper":
        keeper = str.__new__(cls, value)
        keeper._value_ = value
        keeper.poller = poller
        keeper.by_versions = by_versions
        return keeper

    @classmethod
    def of(cls, word: str) -> "OrderKeeper":
        """The keeper that `table_state.mode` names; ValueError for another word."""
        return cls(word)  # type: ignore[call-arg]  # mypy takes the members' arguments for these

    @classmethod
    def at_first(cls, poller: Poller) -> "OrderKeeper":
        """The keeper of a table that is registered for a poller."""
        return cls.LAMBDA if poller == "lambda" else cls.FENCE

    @classmethod
    def others_than(cls, poller: Poller) -> tuple["OrderKeeper", ...]:
        """The keepers from which a table may be handed to a poller."""
        return tuple(keeper for keeper in cls if keeper.poller != poller)

    def while_loading(self) -> "OrderKeeper":
        """The keeper beside a snapshot or a repair, which writes between the changes."""
        return OrderKeeper.LAMBDA if self is OrderKeeper.LAMBDA else OrderKeeper.GUARD

    def after_loading(self, resting: "OrderKeeper") -> "OrderKeeper":
        """The keeper when no load is left; `resting`: the daemon's, by the kind of the source."""
        return OrderKeeper.LAMBDA if self is OrderKeeper.LAMBDA else resting
