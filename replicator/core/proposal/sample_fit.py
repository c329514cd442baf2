"""Fit of a mapping to sampled items: values that convert, are NULL, or are rejected. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replicator.core.mapping.compile_mapping import TableMapping, TargetMapping
from replicator.core.snapshot.scan_responses import keys_of
from replicator.core.stream_record import Image
from replicator.errors import ValueRejected

REASONS_MAX = 3


@dataclass(frozen=True, slots=True)
class ColumnFit:
    """One column. `reasons`: why values are rejected, the most frequent first."""

    name: str
    converts: int
    null: int
    rejected: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetFit:
    """One target. `items`: items of the sample that belong to the target; `fits`: items that become
    rows."""

    target: str
    items: int
    fits: int
    columns: tuple[ColumnFit, ...]
    row_bytes: int
    """Characters of the cells of an average row: about the size."""


def sample_fit(mapping: TableMapping, images: Sequence[Image]) -> list[TargetFit]:
    """Fit of the given items, target by target."""
    if mapping.protection is not None:
        images = [mapping.protection.image(image) for image in images]
    return [_target_fit(target, mapping, images) for target in mapping.targets]


def _target_fit(target: TargetMapping, mapping: TableMapping, images: Sequence[Image]) -> TargetFit:
    outcomes: dict[str, Counter[str]] = {column.name: Counter() for column in target.table.columns}
    reasons: dict[str, Counter[str]] = {name: Counter() for name in outcomes}
    items = fits = size = 0
    for image in images:
        keys = keys_of(image, mapping.source_key)
        if not target.condition.matches(keys, image):
            continue
        items += 1
        rejected = False
        for name, cell in target.try_columns(keys, image):
            match cell:
                case ValueRejected():
                    rejected = True
                    outcomes[name]["rejected"] += 1
                    reasons[name][str(cell)] += 1
                case None:
                    outcomes[name]["null"] += 1
                case _:
                    outcomes[name]["converts"] += 1
                    size += len(cell)
        fits += not rejected
    columns = tuple(_column_fits(outcomes, reasons))
    return TargetFit(target.name, items, fits, columns, size // items if items else 0)


def _column_fits(
    outcomes: dict[str, Counter[str]], reasons: dict[str, Counter[str]]
) -> Iterator[ColumnFit]:
    for name, counts in outcomes.items():
        if not counts:  # `_deleted_at` comes from no item
            continue
        why = tuple(reason for reason, _ in reasons[name].most_common(REASONS_MAX))
        yield ColumnFit(name, counts["converts"], counts["null"], counts["rejected"], why)
