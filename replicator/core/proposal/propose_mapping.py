"""A first mapping for a table without one: from the key and a sample of items. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from replicator.core.mapping.attribute_paths import path_text
from replicator.core.mapping.target_table import BYTES_MAX
from replicator.core.proposal.attribute_statistics import (
    AttributeStatistics,
    attribute_statistics,
    snake_case,
)
from replicator.core.proposal.item_kinds import Entity, detect_entities
from replicator.core.proposal.reserved_words import unreserved
from replicator.core.stream_record import Image
from replicator.core.table_spec import SourceKey
from replicator.core.values.column_options import Fraction, TimeFormat, Transform, Words
from replicator.core.values.dynamodb_json import label

COLUMNS_MAX = 200
RARE = 0.02
"""Attributes of fewer items than the share stay in `rest`."""
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
    """A column. `path` leads to the attribute; `why` is the reason from the sample."""

    name: str
    path: str
    type: str
    why: str
    format: TimeFormat | None = None
    nul: bool = False
    transform: tuple[Transform, ...] = ()
    fraction: Fraction = "reject"
    words: Words = ()


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
    """Targets for a table of the name; names of `taken` targets are avoided, ours are added."""
    base = snake_case(name) or "items"
    key = _key_columns(source_key, images)
    entities = detect_entities(images, source_key)
    if not entities:
        target = _target(_free(unreserved(base), taken), None, key, images)
        return ProposedTable(name, (target,), None, len(images))
    targets = tuple(_of_entity(entity, base, key, taken) for entity in entities)
    return ProposedTable(name, targets, f"public.{_free(f'{base}_other', taken)}", len(images))


def _key_columns(source_key: SourceKey, images: Sequence[Image]) -> dict[str, ProposedColumn]:
    """The key columns by the attributes: named one way in all targets of the table."""
    kinds: dict[str, str] = dict(source_key.attributes)
    others = {name for image in images for name in image} - kinds.keys()
    names = _column_names(list(kinds), {name for name in others if _is_column_name(name)})
    return {
        attribute: ProposedColumn(names[attribute], path_text(attribute), _TYPES[kind], kind)
        for attribute, kind in kinds.items()
    }


def _of_entity(
    entity: Entity, base: str, key: dict[str, ProposedColumn], taken: set[str]
) -> ProposedTarget:
    name = unreserved(_plural(entity.name))
    free = _free(f"{base}_{name}" if name in taken else name, taken)
    return _target(free, entity.when, key, entity.images)


def _plural(name: str) -> str:
    """The plural for a table's name, so that `order` and `user` do not meet SQL's own words."""
    if name.endswith("s"):
        return name
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _target(
    name: str,
    when: dict[str, Any] | None,
    key: dict[str, ProposedColumn],
    images: Sequence[Image],
) -> ProposedTarget:
    mapped: list[AttributeStatistics] = []
    left: list[str] = []
    attributes = [each for each in attribute_statistics(images) if each.name not in key]
    for statistics in attributes:
        reason = _stays_in_rest(statistics, len(images), len(mapped))
        if reason is not None:
            left.append(f"{label(statistics.name)}: {reason}")
        else:
            mapped.append(statistics)
    taken = {column.name for column in key.values()}
    named = taken | {snake_case(each.name) for each in attributes}
    rest = _free(next((each for each in _RESTS if each not in named), _RESTS[0]), taken)
    names = _column_names([each.name for each in mapped], taken)
    columns = tuple(_column(each, len(images), names[each.name]) for each in mapped)
    return ProposedTarget(
        f"public.{name}", when, len(images), tuple(key.values()), columns, rest, tuple(left)
    )


def _stays_in_rest(statistics: AttributeStatistics, items: int, columns: int) -> str | None:
    if statistics.tag is None and statistics.guess is None:
        return _undecided(statistics) if len(statistics.tags) > 1 else "NULL"
    if not _is_text(statistics.name):
        return "its name is not Unicode text"
    if statistics.present < RARE * items:
        return f"rare ({statistics.present} of {items})"
    if columns >= COLUMNS_MAX:
        return "one column too many"
    return None


def _undecided(statistics: AttributeStatistics) -> str:
    """Of which types an attribute is, and in how many items each."""
    counts = ", ".join(f"{tag} in {count}" for tag, count in sorted(statistics.tags.items()))
    found = f"of several types ({counts} of the sampled items)"
    if statistics.tags.keys() - {"NULL"} == {"N", "S"}:
        found += (
            f"; {statistics.numeric} of the strings are numbers: `transform: number` into numeric "
            "would reject the others, text takes all"
        )
    return found


def _column(statistics: AttributeStatistics, items: int, name: str) -> ProposedColumn:
    guess, tag = statistics.guess, statistics.tag or "S"
    return ProposedColumn(
        name,
        path_text(statistics.name),
        guess.column_type if guess else _TYPES[tag],
        "; ".join(_facts(statistics, items)),
        format=guess.format if guess else None,
        nul=statistics.nul,
        transform=guess.transform if guess else (),
        fraction=guess.fraction if guess else "reject",
        words=guess.words if guess else (),
    )


def _facts(statistics: AttributeStatistics, items: int) -> Iterator[str]:
    share = 100 * statistics.present // max(1, items)
    yield f"{_tags(statistics)}, in {share} % of the items"
    guess = statistics.guess
    if guess is None and statistics.tag == "S" and statistics.longest:
        yield f"up to {_counted(statistics.longest, 'character')}"
    if guess is None and statistics.tag == "N" and statistics.whole:
        yield f"whole, up to {_counted(statistics.longest, 'digit')}" + (
            ": bigint would do" if statistics.longest <= 18 else ""
        )
    if guess is not None and "number" in guess.transform:
        yield f"{statistics.numeric} strings, all numbers"
    if guess is not None and "empty_null" in guess.transform:
        yield f"{statistics.empty} are empty strings, which become NULL"
    if guess is not None and guess.fraction == "truncate":
        yield "what is finer than a microsecond is cut"
    if statistics.nul:
        yield "NUL characters, which PostgreSQL cannot store, are replaced"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_text(name: str) -> bool:
    try:
        return "\0" not in name and bool(name.encode())
    except UnicodeEncodeError:
        return False


def _tags(statistics: AttributeStatistics) -> str:
    return " or ".join(sorted(statistics.tags))


def _column_names(attributes: Sequence[str], taken: set[str]) -> dict[str, str]:
    """A column's name for each attribute; a valid name is kept."""
    names = {name: name for name in attributes if _is_column_name(name) and name not in taken}
    taken |= names.keys()
    for attribute in attributes:
        if attribute not in names:
            names[attribute] = _free(_sanitised(attribute), taken)
    return names


def _is_column_name(name: str) -> bool:
    return bool(name) and _is_text(name) and _sanitised(name) == name == _cut(name, BYTES_MAX)


def _sanitised(attribute: str) -> str:
    name = snake_case(attribute) or "attribute"
    return f"a_{name}" if name[0].isdigit() or name in _OWN_NAMES else unreserved(name)


def _free(name: str, taken: set[str]) -> str:
    """The name, cut to what PostgreSQL keeps and numbered where taken; the name is taken
    afterwards."""
    found, number = _cut(name, BYTES_MAX), 1
    while found in taken:
        number += 1
        found = f"{_cut(name, BYTES_MAX - 4)}_{number}"
    taken.add(found)
    return found


def _cut(name: str, bytes_max: int) -> str:
    return name.encode(errors="ignore")[:bytes_max].decode(errors="ignore")
