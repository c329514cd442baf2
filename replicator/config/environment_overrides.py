"""Reads overrides from the environment: `REPLICATOR_` and the key, joined by `__`."""

import types
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from replicator.config.masked_dsn import Dsn
from replicator.config.mistakes import KeyPath, Mistake, WrongConfiguration
from replicator.config.settings_keys import FILE_ONLY, keys_outside_tables
from replicator.config.yaml_lines import Document

PREFIX = "REPLICATOR_"
CONFIG = "REPLICATOR_CONFIG"

_OURS = (CONFIG, "REPLICATOR_MINISTACK")
_OURS_PREFIXES = ("REPLICATOR_TEST_",)
_KUBERNETES_PREFIXES = ("REPLICATOR_PORT", "REPLICATOR_SERVICE_")  # a Service named replicator
_KUBERNETES_MARKS = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT_")
_NEAR = 0.75


def variable(path: KeyPath) -> str:
    """The variable of a key."""
    return PREFIX + "__".join(str(step).upper() for step in path)


class Environment:
    """The variables of the product: laid over the values of a file, or found wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._known = {
            variable(path): (path, field.annotation) for path, field in keys_outside_tables()
        }
        self._given = {
            name: text
            for name, text in sorted(environ.items(), key=lambda pair: pair[0].count("__"))
            if name.startswith(PREFIX) and not _is_foreign(name)
        }
        self._said: dict[KeyPath, str] = {}
        self.mistakes = [
            _unknown(name, self._known) for name in self._given if name not in self._known
        ]

    def where(self, path: KeyPath) -> str | None:
        """The variable that said what is at the path, or None."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._said:
                return self._said[path[:length]]
        return None

    def over(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values with what the environment says, deeper variables last."""
        merged = dict(values)
        for name, text in self._given.items():
            if name in self._known:
                path, kind = self._known[name]
                self._said[path] = f"environment {name}"
                try:
                    _set(merged, path, _parse(name, text, kind))
                except WrongConfiguration as error:
                    self.mistakes += error.mistakes
        return merged


def _parse(name: str, text: str, kind: object) -> object:
    if not text.strip():
        return None
    if _is_text(kind):
        return text
    document = Document(f"environment {name}", text)
    if document.mistakes:
        raise WrongConfiguration(document.mistakes)
    return document.values


def _set(values: dict[str, Any], path: KeyPath, value: object) -> None:
    *groups, last = (str(step) for step in path)
    for group in groups:
        inner = values.get(group)
        values[group] = values = dict(inner) if isinstance(inner, dict) else {}
    inner = values.get(last)
    if isinstance(inner, dict) and isinstance(value, dict):
        value = inner | value
    values[last] = value


def _is_text(kind: object) -> bool:
    match get_origin(kind):
        case None:
            return kind in (str, Dsn, Path, type(None))
        case origin if origin is Literal:
            return all(isinstance(word, str) for word in get_args(kind))
        case origin if origin is Annotated:
            return _is_text(get_args(kind)[0])
        case origin if origin in (Union, types.UnionType):
            return all(_is_text(member) for member in get_args(kind))
        case _:
            return False


def _is_foreign(name: str) -> bool:
    return name in _OURS or name.startswith((*_OURS_PREFIXES, *_KUBERNETES_PREFIXES))


def _unknown(name: str, known: Mapping[str, object]) -> Mistake:
    names = [*known, CONFIG]
    same = [other for other in names if other.replace("__", "_") == name.replace("__", "_")]
    near = same or get_close_matches(name, names, n=1, cutoff=_NEAR)
    injected = "__" not in name and any(mark in f"{name}_" for mark in _KUBERNETES_MARKS)
    if name.startswith(variable((FILE_ONLY,))):
        remedy = "tables are configured in the file alone"
    elif near and (same or not injected):
        remedy = f"did you mean {near[0]}?"
    elif injected:
        remedy = "Kubernetes injects it for a Service; say `enableServiceLinks: false` in the pod"
    else:
        remedy = "unset it; docs/configuration.md lists the variables there are"
    return Mistake(f"environment {name}", (), "is not a known variable", remedy)
