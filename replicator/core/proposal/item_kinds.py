"""Tells kinds of items in one table apart, by an attribute or by the beginnings of keys. Pure."""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from replicator.core.mapping.attribute_paths import path_text
from replicator.core.proposal.attribute_statistics import snake_case
from replicator.core.stream_record import Image
from replicator.core.table_spec import SourceKey

KINDS_MAX = 20
COVERED_MIN = 0.9
"""Share of the sample that must be told apart; below, the sample is one kind."""
_NAMES = (
    *("type", "entity", "entity_type", "kind", "record_type", "item_type", "model", "et"),
    *("typename", "edb_e", "doc_type", "object_type"),
)
_WEAK_NAMES = {"type", "kind", "model"}
"""Names that a property of one kind of items may have, too, unless `_` stands before."""
_SHARED_MIN = 0.75
"""Share of common attributes from which kinds have one shape."""
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]*[#:|/]")
_LITERAL = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of items: `when` selects the kind, `images` are from the sample."""

    name: str
    when: dict[str, Any]
    images: tuple[Image, ...]


def detect_entities(images: Sequence[Image], source_key: SourceKey) -> list[Entity]:
    """The kinds of items in a sample, the most frequent first; [] for a single kind."""
    keys = [name for name, _ in source_key.attributes]
    for name in _discriminators(images, keys):
        found = _grouped(images, partial(_text, name=name))
        if found and not (_is_weak(name) and _one_shape(found.values(), {name, *keys})):
            when = {value: {path_text(name): value} for value in found}
            return [Entity(_name(value), when[value], members) for value, members in found.items()]
    return _by_key(images, [name for name, tag in source_key.attributes if tag == "S"])


def _discriminators(images: Iterable[Image], keys: Sequence[str]) -> list[str]:
    names = dict.fromkeys(name for image in images for name in image if name not in keys)
    by_word = {snake_case(name): name for name in names}
    return [by_word[word] for word in _NAMES if word in by_word]


def _is_weak(name: str) -> bool:
    return snake_case(name) in _WEAK_NAMES and not name.startswith("_")


def _one_shape(groups: Iterable[Sequence[Image]], aside: set[str]) -> bool:
    """True if the groups have the same attributes, nearly: a property differs, not the kind."""
    shapes = []
    for members in groups:
        counts = Counter(name for image in members for name in image if name not in aside)
        shapes.append({name for name, count in counts.items() if count >= 0.1 * len(members)})
    every = set().union(*shapes)
    return len(set.intersection(*shapes)) >= _SHARED_MIN * len(every)


def _by_key(images: Sequence[Image], names: Sequence[str]) -> list[Entity]:
    """Told apart by the beginnings of key attributes, where these differ."""
    varying = [
        name for name in names if len({_beginning(_text(image, name)) for image in images}) > 1
    ]
    if not varying:
        return []

    def signature(image: Image) -> tuple[str, ...] | None:
        parts = [_beginning(_text(image, name)) for name in varying]
        return None if None in parts else tuple(part for part in parts if part is not None)

    found = _grouped(images, signature)
    lasts = Counter(parts[-1] for parts in found)
    entities = []
    for parts, members in found.items():
        named = parts[-1:] if lasts[parts[-1]] == 1 else parts
        when = {
            path_text(name): {"begins_with": part} if _PREFIX.fullmatch(part) else part
            for name, part in zip(varying, parts, strict=True)
        }
        entities.append(Entity(_name("_".join(named)), when, members))
    return entities


def _grouped(
    images: Sequence[Image], kind_of: Callable[[Image], Any]
) -> dict[Any, tuple[Image, ...]]:
    """The items of each kind, if there are several and not too many; {} otherwise."""
    groups: dict[Hashable, list[Image]] = {}
    for image in images:
        kind = kind_of(image)
        if kind is not None:
            groups.setdefault(kind, []).append(image)
    covered = sum(map(len, groups.values()))
    if not 1 < len(groups) <= KINDS_MAX or covered < COVERED_MIN * len(images):
        return {}
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return {kind: tuple(members) for kind, members in ordered}


def _beginning(text: str | None) -> str | None:
    """`ORDER#` of `ORDER#17`, `PROFILE` of `PROFILE`; None where nothing stands out."""
    if text is None:
        return None
    match = _PREFIX.match(text)
    if match:
        return match[0]
    return text if _LITERAL.fullmatch(text) else None


def _text(image: Image, name: str) -> str | None:
    raw = image.get(name, {}).get("S")
    return raw if isinstance(raw, str) else None


def _name(text: str) -> str:
    return snake_case(text) or "items"
