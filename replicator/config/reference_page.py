"""Writes the reference page and the JSON Schema of the configuration from the settings themselves.

`python -m replicator.config.reference_page` writes `deploy/config.schema.json` and
`docs/configuration.md` below the current directory.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from replicator.config.column_settings import ChildSettings, ColumnSettings, KeyColumnSettings
from replicator.config.environment_overrides import variable
from replicator.config.settings import Settings
from replicator.config.settings_base import Group
from replicator.config.settings_keys import FILE_ONLY, fields_of, group_in, holds_entries
from replicator.config.source_settings import TableSourceSettings
from replicator.config.table_settings import TableSettings, TargetSettings

SCHEMA_PATH = Path("deploy/config.schema.json")
GUIDE_PATH = Path("docs/configuration.md")

_EXAMPLE = Path(__file__).with_name("example.yaml")
_GUIDE = Path(__file__).with_name("guide.md")
_PLAIN_WORDS = {"integer": "whole number", "null": "null", "boolean": "true, false"}


def schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file."""
    generated = Settings.model_json_schema()
    definitions = generated["$defs"]
    optional = {f"#/$defs/{name}" for name, group in definitions.items() if "required" not in group}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of replicator",
        **_tidy(generated, optional),
    }


def schema_text() -> str:
    """The JSON Schema as published."""
    return json.dumps(schema(), indent=2) + "\n"


def _tidy(node: Any, optional: set[str]) -> Any:  # noqa: ANN401 (JSON is anything)
    """The schema without what pydantic adds for itself; groups that may be empty may be null."""
    match node:
        case list():
            return [_tidy(member, optional) for member in node]
        case {"$ref": str(reference)} if reference in optional:
            rest = {name: node[name] for name in node if name in ("description", "examples")}
            return {"anyOf": [{"$ref": reference}, {"type": "null"}], **rest}
        case dict():
            kept = {
                name: _tidy(member, optional)
                for name, member in node.items()
                if not (name in ("title", "format") and isinstance(member, str))
            }
            if "patternProperties" in kept:
                kept["additionalProperties"] = False
            return kept
        case str():
            return node.replace("\n", " ")
        case _:
            return node


def guide() -> str:
    """The reference of all keys, in Markdown."""
    shape = schema()
    definitions = shape["$defs"]
    groups = [_section("The top level", Settings, shape, ())]
    for name, field in fields_of(Settings).items():
        group = group_in(field.annotation)
        if group is not None and group is not TargetSettings and name != FILE_ONLY:
            groups.append(_section(f"`{name}`", group, definitions[group.__name__], (name,)))
    tables = [
        _section(title, group, definitions[group.__name__], None) for title, group in _TABLE_GROUPS
    ]
    return (
        _GUIDE.read_text(encoding="utf-8")
        .replace("@EXAMPLE@", _EXAMPLE.read_text(encoding="utf-8").rstrip())
        .replace("@GROUPS@", "\n".join(groups))
        .replace("@TABLES@", "\n".join(tables))
    )


def _section(
    title: str, group: type[Group], shape: Mapping[str, Any], path: tuple[str, ...] | None
) -> str:
    """One group as a table; `path` None: without variables of the environment."""
    lines = [f"## {title}", "", *_sentences(group.__doc__ or ""), ""]
    lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    for name, field in fields_of(group).items():
        property_shape = shape["properties"][name]
        meaning = " ".join((field.description or "").split())
        cells = (f"`{name}`", _default(field), _allowed(field, property_shape), meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if path:
        example = variable((*path, next(reversed(group.model_fields))))
        lines += ["", f"A variable of this group: `{example}`."]
    return "\n".join([*lines, ""])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if isinstance(field.default, Group):
        return ""
    return f"`{json.dumps(field.default)}`".replace('"', "")


def _allowed(field: FieldInfo, shape: Mapping[str, Any]) -> str:
    shape = next((option for option in shape.get("anyOf", ()) if "$ref" not in option), shape)
    if "enum" in shape:
        return ", ".join(f"`{word}`" for word in shape["enum"])
    if "const" in shape:
        return f"`{shape['const']}`"
    if "maximum" in shape:
        return f"{shape['minimum']} to {shape['maximum']}"
    if field.examples:
        return f"such as `{_flow(field.examples[0])}`"
    if holds_entries(field.annotation) or group_in(field.annotation):
        return "a group"
    kind = shape.get("type", "")
    return _PLAIN_WORDS.get(kind, "text" if kind == "string" else str(kind))


def _flow(value: object) -> str:
    """A value as YAML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    return str(value)


def _sentences(text: str) -> list[str]:
    return " ".join(text.split()).replace(". ", ".\n").splitlines()


_TABLE_GROUPS: tuple[tuple[str, type[Group]], ...] = (
    ("A table", TableSettings),
    ("A table's source", TableSourceSettings),
    ("A target, and `defaults`", TargetSettings),
    ("A column of `columns`", ColumnSettings),
    ("A column of `key`", KeyColumnSettings),
    ("A table of `children`", ChildSettings),
)

if __name__ == "__main__":
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
    GUIDE_PATH.write_text(guide(), encoding="utf-8")
