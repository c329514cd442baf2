"""Results of comparing source and target. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from replicator.core.verify.row_diff import Difference


@dataclass(frozen=True, slots=True)
class Example:
    """One difference; `item_key` is of the form of `dynamodb_json.item_key_json`."""

    item_key: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class TargetResult:
    """Result of comparing one target.

    `compared`: rows that must be there. `in_flight`: keys that differ and have changes in the
    stream that nobody applied yet, so that nothing can be said. `rejected`: items that do not fit,
    which are dead letters and no differences. `older_mapping`: so many of those that are different
    were written before the mapping was changed last. `examples` are the first of the differences.
    """

    source: str
    target: str
    compared: int
    missing: int
    extra: int
    different: int
    in_flight: int
    rejected: int
    examples: tuple[Example, ...] = ()
    repaired: int = 0
    older_mapping: int = 0

    @property
    def unequal(self) -> int:
        """Number of rows that are not as the items make them."""
        return self.missing + self.extra + self.different


def after_repair(before: TargetResult, after: TargetResult) -> TargetResult:
    """The result of a target whose differing keys were repaired and checked again."""
    return replace(
        before,
        missing=after.missing,
        extra=after.extra,
        different=after.different,
        older_mapping=after.older_mapping,
        in_flight=before.in_flight + after.in_flight,
        examples=after.examples,
        repaired=before.unequal - after.unequal - after.in_flight,
    )


@dataclass(frozen=True, slots=True)
class Verified:
    """The last verification of a table, all the targets together.

    `sample`: the share of the table that was read, None for all of it.
    """

    at: datetime
    unequal: int
    in_flight: int
    sample: float | None


def is_equal(results: Sequence[TargetResult]) -> bool:
    """True when every row was compared and is as its item, and no item is a dead letter."""
    return is_equal_except_dead_letters(results) and not dead_letters(results)


def is_equal_except_dead_letters(results: Sequence[TargetResult]) -> bool:
    """True when every row was compared and is as it must be, but for rows of dead letters."""
    return not any(result.unequal or result.in_flight for result in results)


def dead_letters(results: Sequence[TargetResult]) -> int:
    """Items with an absent or old row, because the item does not fit; once for each target."""
    return sum(result.rejected for result in results)
