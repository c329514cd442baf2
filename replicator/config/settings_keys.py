"""Walks the groups of the settings for the keys that a configuration can have."""

from collections.abc import Iterator
from typing import get_args, get_origin

from pydantic.fields import FieldInfo

from replicator.config.mistakes import KeyPath
from replicator.config.settings import Settings
from replicator.config.settings_base import Group

FILE_ONLY = "tables"
"""The key that environment variables cannot override."""


def fields_of(group: type[Group]) -> dict[str, FieldInfo]:
    """The keys of a group, as written."""
    return {field.alias or name: field for name, field in group.model_fields.items()}


def group_in(annotation: object) -> type[Group] | None:
    """The group that a key holds: alone, optional, or as the entries of a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Group):
        return annotation
    return next((group for part in get_args(annotation) if (group := group_in(part))), None)


def holds_entries(annotation: object) -> bool:
    """True for a key with entries that have names of the user's choice."""
    return get_origin(annotation) is dict or any(
        holds_entries(part) for part in get_args(annotation)
    )


def group_at(path: KeyPath) -> type[Group] | None:
    """The group at a path; None where there is none."""
    group: type[Group] | None = Settings
    name_follows = False
    for step in path:
        if name_follows:
            name_follows = False
            continue
        field = fields_of(group).get(str(step)) if group else None
        if field is None:
            return None
        group, name_follows = group_in(field.annotation), holds_entries(field.annotation)
    return None if name_follows else group


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field at a path; None for the entries of a mapping and for what is unknown."""
    group = group_at(path[:-1])
    return fields_of(group).get(str(path[-1])) if group else None


def keys_outside_tables() -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every key that a variable can say, groups before the members."""
    for name, field in fields_of(Settings).items():
        if name != FILE_ONLY:
            yield from _walk((name,), field)


def _walk(path: KeyPath, field: FieldInfo) -> Iterator[tuple[KeyPath, FieldInfo]]:
    yield path, field
    group = group_in(field.annotation)
    if group is not None and not holds_entries(field.annotation):
        for name, inner in fields_of(group).items():
            yield from _walk((*path, name), inner)
