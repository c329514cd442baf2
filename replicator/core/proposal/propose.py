"""A first mapping for a table that nobody described: from its key and a sample of items. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from replicator.core.mapping.paths import path_text
from replicator.core.mapping.target_table import BYTES_MAX
from replicator.core.proposal.attribute_statistics import (
    AttributeStatistics,
    attribute_statistics,
    snake_case,
)
from replicator.core.proposal.entities import Entity, detect_entities
from replicator.core.records import Image
from replicator.core.spec import SourceKey
from replicator.core.values.attributes import label
from replicator.core.values.policies import TimeFormat

COLUMNS_MAX = 200
RARE = 0.02
"""Attributes of fewer items than this share stay in `rest`."""
_RESTS = ("extra", "others", "unmapped", "rest_of_item")
_TYPES = {
    "S": "text",
    "N": "numeric",
    "B": "bytea",
    "BOOL": "boolean",
    "M": "jsonb",
    "L": "jsonb",
    "SS": "text[]",
    "NS": "numeric[]",
    "BS": "bytea[]",
}
_OWN_NAMES = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "_deleted_at"}


@dataclass(frozen=True, slots=True)
class ProposedColumn:
    """A column. `path` leads to the attribute; `why` tells what the sample said of it."""

    name: str
    path: str
    type: str
    why: str
    format: TimeFormat | None = None
    nul: bool = False


@dataclass(frozen=True, slots=True)
class ProposedTarget:
    """A target table; `left` are attributes that stay in `rest`, each with the reason."""

    name: str
    when: dict[str, Any] | None
    items: int
    key: tuple[ProposedColumn, ...]
    columns: tuple[ProposedColumn, ...]
    rest: str
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProposedTable:
    """A source table; `unmatched` takes items of no known kind, None where there is one kind."""

    name: str
    targets: tuple[ProposedTarget, ...]
    unmatched: str | None
    sampled: int


def propose_table(
    name: str, source_key: SourceKey, images: Sequence[Image], taken: set[str]
) -> ProposedTable:
    """Targets for a table of this name; names of `taken` targets are avoided, ours are added."""
    base = snake_case(name) or "items"
    entities = detect_entities(images, source_key)
    if not entities:
        target = _target(_free(base, taken), None, source_key, images)
        return ProposedTable(name, (target,), None, len(images))
    targets = tuple(_of_entity(entity, base, source_key, taken) for entity in entities)
    return ProposedTable(name, targets, f"public.{_free(f'{base}_other', taken)}", len(images))


def _of_entity(entity: Entity, base: str, source_key: SourceKey, taken: set[str]) -> ProposedTarget:
    name = _plural(entity.name)
    free = _free(f"{base}_{name}" if name in taken else name, taken)
    return _target(free, entity.when, source_key, entity.images)


def _plural(name: str) -> str:
    """The plural for a table's name, so that `order` and `user` do not meet SQL's own words."""
    if name.endswith("s"):
        return name
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _target(
    name: str, when: dict[str, Any] | None, source_key: SourceKey, images: Sequence[Image]
) -> ProposedTarget:
    taken: set[str] = set()
    key = tuple(
        ProposedColumn(_column_name(attribute, taken), path_text(attribute), _TYPES[kind], kind)
        for attribute, kind in source_key.attributes
    )
    of_key = {attribute for attribute, _ in source_key.attributes}
    attributes = attribute_statistics(images)
    named = {snake_case(statistics.name) for statistics in attributes}
    rest = _free(next((name for name in _RESTS if name not in named), _RESTS[0]), taken)
    columns: list[ProposedColumn] = []
    left: list[str] = []
    for statistics in attributes:
        if statistics.name in of_key:
            continue
        reason = _stays_in_rest(statistics, len(images), len(columns))
        if reason is not None:
            left.append(f"{label(statistics.name)}: {reason}")
        else:
            columns.append(_column(statistics, len(images), taken))
    return ProposedTarget(
        f"public.{name}", when, len(images), key, tuple(columns), rest, tuple(left)
    )


def _stays_in_rest(statistics: AttributeStatistics, items: int, columns: int) -> str | None:
    if statistics.tag is None:
        return f"of several types ({_tags(statistics)})" if len(statistics.tags) > 1 else "NULL"
    if not _is_text(statistics.name):
        return "its name is not Unicode text"
    if statistics.present < RARE * items:
        return f"rare ({statistics.present} of {items})"
    if columns >= COLUMNS_MAX:
        return "one column too many"
    return None


def _column(statistics: AttributeStatistics, items: int, taken: set[str]) -> ProposedColumn:
    guess, tag = statistics.time, statistics.tag or "S"
    return ProposedColumn(
        _column_name(statistics.name, taken),
        path_text(statistics.name),
        guess.column_type if guess else _TYPES[tag],
        "; ".join(_facts(statistics, items)),
        format=guess.format if guess else None,
        nul=statistics.nul,
    )


def _facts(statistics: AttributeStatistics, items: int) -> Iterator[str]:
    share = 100 * statistics.present // max(1, items)
    yield f"{_tags(statistics)}, in {share} % of the items"
    if statistics.tag == "S" and statistics.time is None:
        yield f"up to {statistics.longest} characters"
    if statistics.tag == "N" and statistics.time is None and statistics.whole:
        yield f"whole, up to {statistics.longest} digits" + (
            ": bigint would do" if statistics.longest <= 18 else ""
        )
    if statistics.nul:
        yield "NUL characters, which PostgreSQL cannot store, are replaced"


def _is_text(name: str) -> bool:
    try:
        return "\0" not in name and bool(name.encode())
    except UnicodeEncodeError:
        return False


def _tags(statistics: AttributeStatistics) -> str:
    return " or ".join(sorted(statistics.tags))


def _column_name(attribute: str, taken: set[str]) -> str:
    name = snake_case(attribute) or "attribute"
    if name[0].isdigit() or name in _OWN_NAMES:
        name = f"a_{name}"
    return _free(name, taken)


def _free(name: str, taken: set[str]) -> str:
    """The name, cut to what PostgreSQL keeps and numbered where it is taken; it is taken now."""
    found, number = name[:BYTES_MAX], 1
    while found in taken:
        number += 1
        found = f"{name[: BYTES_MAX - 4]}_{number}"
    taken.add(found)
    return found
