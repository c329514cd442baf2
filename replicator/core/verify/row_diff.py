"""An item against the row that it should have become: what must be, what is, what differs. Pure."""

from dataclasses import dataclass
from typing import Literal, assert_never

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.stream_record import Image
from replicator.core.values.row_builder import Row
from replicator.errors import ValueRejected

Kind = Literal["missing", "extra", "different"]


@dataclass(frozen=True, slots=True)
class MustBe:
    """The row, cell by cell, and the rows of each child table."""

    row: Row
    children: tuple[list[Row], ...] = ()


@dataclass(frozen=True, slots=True)
class MustNotBe:
    """No row with the key, or only one that says it was deleted."""

    key: Row


@dataclass(frozen=True, slots=True)
class MayBe:
    """Nothing can be said of the key's row. `rejected`: why the item does not convert.

    An older change of a rejected item may be the row; what `ignore` keeps may be as it was.
    `key` None: no row can have the key.
    """

    key: Row | None
    rejected: str | None = None


Expectation = MustBe | MustNotBe | MayBe


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A target's row under a key. `key_hash` is the same for equal keys; None: there is no row, but
    rows of child tables.

    `differing` names the columns that are not as they must be, and the child tables with such rows.
    `older_mapping`: the row was written before the table's mapping was changed last.
    """

    key_hash: int | None
    deleted: bool
    differing: tuple[str, ...] = ()
    older_mapping: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """Why source and target are not equal; `columns` when both have the item.

    Where only child rows are left of an item, `columns` names the tables.
    """

    kind: Kind
    columns: tuple[str, ...] = ()
    older_mapping: bool = False


def expectation(target: TargetMapping, keys: Image, image: Image | None) -> Expectation:
    """Expected rows of a target, given the item as it is; `image` None: there is no item."""
    belongs = image is not None and target.condition.matches(keys, image)
    try:
        key = target.key_of(keys)
    except ValueRejected as rejection:
        return MayBe(None, str(rejection) if belongs else None)
    if image is None or not belongs:
        return MustNotBe(key) if shows_extra(target) else MayBe(key)
    try:
        row = target.row_of(keys, image)
        return MustBe(row, target.children_of(row, image))
    except ValueRejected as rejection:
        return MayBe(key, str(rejection))


def shows_extra(target: TargetMapping) -> bool:
    """True when a row without the item is a fault.

    Such a row is none where some deletions are ignored, or rows may be older than the replica.
    """
    spec = target.spec
    return "ignore" not in (spec.on_delete, spec.on_expire) and spec.existing_rows != "keep"


def judge(expected: Expectation, found: FoundRow | None) -> Difference | None:
    """The difference between what must be and what is."""
    match expected:
        case MustBe():
            if found is None or found.key_hash is None:
                return Difference("missing")
            if not found.differing:
                return None
            return Difference("different", found.differing, found.older_mapping)
        case MustNotBe():
            if found is None or found.deleted:
                return None
            return Difference("extra", found.differing if found.key_hash is None else ())
        case MayBe():
            return None
        case _:
            assert_never(expected)
