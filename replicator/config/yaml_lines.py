"""YAML into plain values, with the line of each value."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from replicator.config.mistakes import KeyPath, Mistake, WrongConfiguration
from replicator.errors import ConfigurationError

BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 50
VALUES_MAX = 100_000  # aliases of aliases can make very much of very little

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_DIGITS = "[0-9]{1,40}"
_WORDS = {
    "null": (r"~|null|Null|NULL|", ("~", "n", "N", "")),
    "bool": (r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    "int": (rf"[-+]?{_DIGITS}", tuple("-+0123456789")),
    "float": (
        rf"[-+]?(?:{_DIGITS}\.[0-9]{{0,40}}|\.{_DIGITS}|{_DIGITS}(?=[eE]))(?:[eE][-+]?[0-9]{{1,3}})?",
        tuple("-+.0123456789"),
    ),
    "merge": ("<<", ("<",)),
}


class _TooMuch(Exception):
    """A document is nested more deeply, or holds more nodes, than a configuration can."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Loader(yaml.SafeLoader):
    """YAML 1.2's few plain words: `no`, `on` and `12:30` are text, as the author meant.

    Nodes are counted while being read, so that a document that is no configuration costs
    neither the stack nor a minute.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 (as in its base)
        self._depth += 1
        self._nodes += 1
        if self._depth > DEPTH_MAX or self._nodes > VALUES_MAX:
            raise _TooMuch(self.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [
        (_TAG + name, re.compile(rf"(?:{pattern})\Z"))
        for name, (pattern, firsts) in _WORDS.items()
        if first in firsts
    ]
    for first in {first for _, firsts in _WORDS.values() for first in firsts}
}


class Document:
    """A text, read: `values` are plain, keys always text, decimals exact; `mistakes` the rest.

    `name` is the name in messages. WrongConfiguration where reading cannot go on.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.mistakes: list[Mistake] = []
        self._read = 0
        self._lines: dict[KeyPath, int] = {}
        try:
            self._root = yaml.compose(text, Loader=_Loader)
        except yaml.YAMLError as error:
            raise WrongConfiguration([_unreadable(name, error)]) from error
        except _TooMuch as error:
            mistake = Mistake(f"{name}:{error.line}", (), "holds too much", "flatten it")
            raise WrongConfiguration([mistake]) from error
        self.values: Any = {} if self._root is None else self._value(self._root, ())

    def where(self, path: KeyPath) -> str:
        """The document and line of a key, or of the nearest one above."""
        nearest = (path[:size] for size in range(len(path), 0, -1))
        line = next((self._lines[above] for above in nearest if above in self._lines), 1)
        return f"{self.name}:{line}"

    def _value(self, node: yaml.Node, path: KeyPath) -> object:
        self._count(node, path, len(path))
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self._item(item, (*path, at)) for at, item in enumerate(node.value)]
            case _:
                return self._scalar(node, path)

    def _count(self, node: yaml.Node, path: KeyPath, depth: int) -> None:
        """Count a node as often as it is read or merged: an alias costs as much as its anchor."""
        self._read += 1
        if depth > DEPTH_MAX or self._read > VALUES_MAX:
            raise WrongConfiguration(
                [self._mistake(node, path[:3], "holds too much", "flatten it")]
            )

    def _item(self, node: yaml.Node, path: KeyPath) -> object:
        self._lines.setdefault(path, node.start_mark.line + 1)
        return self._value(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value, own in self._members(node, path):
            name = self._text(key, path) if isinstance(key, yaml.ScalarNode) else "?"
            self._lines.setdefault((*path, name), key.start_mark.line + 1)
            if name in values and own:
                self.mistakes.append(
                    self._mistake(key, (*path, name), "is there twice", "keep one of them")
                )
            values.setdefault(name, self._value(value, (*path, name)))
        return values

    def _members(
        self, node: yaml.MappingNode, path: KeyPath, depth: int = 0
    ) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Keys and values, keys of merged mappings (`<<: *name`) last; True for the node's own."""
        for key, value in node.value:
            if key.tag != _MERGE:
                yield key, value, depth == 0
        for key, value in node.value:
            if key.tag == _MERGE:
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self._count(merged, path, depth)
                    if isinstance(merged, yaml.MappingNode):
                        yield from self._members(merged, path, depth + 1)
                    else:
                        fault, remedy = "merges what is no mapping", "write `<<: *name`"
                        self.mistakes.append(self._mistake(merged, (*path, "<<"), fault, remedy))

    def _scalar(self, node: yaml.Node, path: KeyPath) -> object:
        text = self._text(node, path)
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
            case "float":
                return Decimal(text)
            case "str":
                return text
            case _:
                mistake = self._mistake(node, path, "has a YAML tag", "remove the tag")
                raise WrongConfiguration([mistake])

    def _text(self, node: yaml.Node, path: KeyPath) -> str:
        text = str(node.value)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            fault = "is not text: it holds a lone surrogate"
            mistake = self._mistake(node, path, fault, "write the character itself")
            raise WrongConfiguration([mistake]) from error
        return text

    def _mistake(self, node: yaml.Node, path: KeyPath, fault: str, remedy: str) -> Mistake:
        return Mistake(f"{self.name}:{node.start_mark.line + 1}", path, fault, remedy)


def read_file(path: Path) -> Document:
    """Read a configuration file; ConfigurationError for an unreadable one."""
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        propose = f"`replicator init --table NAME >{quote(str(path))}`"
        raise ConfigurationError(
            f"there is no configuration at {path}",
            remedy=f"let {propose} propose one, or name another with --config or REPLICATOR_CONFIG",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"the configuration {path} cannot be read: {error.strerror}",
            remedy="check the path and its permissions",
        ) from error
    if len(content) > BYTES_MAX:
        message = f"the configuration {path} is larger than {BYTES_MAX} bytes"
        raise ConfigurationError(message, remedy="check that it is the right file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        mistake = Mistake(f"{path}:{line}", (), "is not UTF-8 text", "save the file as UTF-8")
        raise WrongConfiguration([mistake]) from error
    return Document(str(path), text)


def _unreadable(name: str, error: yaml.YAMLError) -> Mistake:
    """The place of a YAML syntax error; the text itself may hold a secret and is not quoted."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Mistake(name, (), "is not YAML: it holds characters that are not text", None)
    mark = error.problem_mark
    where = f"{name}:{mark.line + 1}"
    fault = f"is not YAML: {error.problem} (column {mark.column + 1})"
    return Mistake(where, (), fault, "check indentation, colons and quotes there")
