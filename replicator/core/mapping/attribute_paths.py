"""Ways into an item: `customer.name`, `lines[0].sku`, `"a.b".c`. Pure."""

import re
from collections.abc import Callable

from replicator.core.stream_record import AttributeValue
from replicator.core.table_spec import AttributePath
from replicator.core.values.dynamodb_json import TYPES
from replicator.errors import ConfigurationError

Descent = Callable[[AttributeValue | None], AttributeValue | None]

_STEP = re.compile(
    r'(?P<dot>\.)?(?:(?P<bare>[^."\[\]]+)|"(?P<quoted>(?:[^"]|"")+)")|\[(?P<index>[0-9]{1,6})\]'
)
_is_plain = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*").fullmatch
_REMEDY = 'write it as customer.name, lines[0].sku, or "a.b".c where a name holds . [ ] or "'


def parse_path(text: str) -> AttributePath:
    """The steps of a path; in quotes a name holds anything, a doubled quote is one quote."""
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None or (bool(steps) == (match["dot"] is None and match["index"] is None)):
            raise _unreadable(text)
        if match["index"] is not None:
            steps.append(int(match["index"]))
        else:
            steps.append(match["bare"] or match["quoted"].replace('""', '"'))
        position = match.end()
    if not steps:
        raise _unreadable(text)
    return tuple(steps)


def path_text(name: str) -> str:
    """The path that leads to a top-level attribute of the name, with any characters.

    In quotes unless a plain word without a meaning in `when`.
    """
    if _is_plain(name) and name not in ("all", "any", "none"):
        return name
    return '"' + name.replace('"', '""') + '"'


def written(path: AttributePath) -> str:
    """The path as written in a configuration."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}" for step in path]
    return "".join(steps).removeprefix(".")


def _quoted(name: str) -> str:
    odd = not name or any(character in name for character in '."[]')
    return '"' + name.replace('"', '""') + '"' if odd else name


def compile_descent(path: AttributePath) -> Descent:
    """From the value of the path's top-level attribute to the value at the end.

    None where the way ends early: an absent name, a short list, another type, an empty map (with
    the tag or without). A value that is not typed at all is handed on for the converter to
    refuse.
    """
    steps = [("L" if isinstance(step, int) else "M", step) for step in path[1:]]

    def descend(value: AttributeValue | None) -> AttributeValue | None:
        for tag, step in steps:
            if not isinstance(value, dict):
                return value
            if len(value) != 1 or tag not in value:
                return None if len(value) <= 1 and value.keys() <= TYPES.keys() else value
            inside = value[tag]
            if isinstance(step, str) and isinstance(inside, dict):
                value = inside.get(step)
            elif isinstance(step, int) and isinstance(inside, list):
                value = inside[step] if step < len(inside) else None
            else:
                return value
        return value

    return descend


def _unreadable(text: str) -> ConfigurationError:
    return ConfigurationError(f"the path {text!r} cannot be read", remedy=_REMEDY)
