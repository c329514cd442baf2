"""Splits composite strings by a pattern into the parts that columns are made of. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replicator.core.mapping.attribute_paths import compile_descent, parse_path
from replicator.core.stream_record import AttributeValue
from replicator.core.table_spec import AttributePath
from replicator.core.values.cells import Unfit
from replicator.core.values.dynamodb_json import label
from replicator.errors import ConfigurationError, ValueRejected

_PART = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REMEDY = "write it like ORDER#{year}#{number}: names in braces, and text between any two of them"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text with parts; `literals` stand before, between and behind the `parts`."""

    parts: tuple[str, ...]
    literals: tuple[str, ...]

    def split(self, text: str) -> dict[str, str]:
        """The parts of a text; Unfit for a text of another pattern.

        A part ends where the next literal first appears, and is never empty. The text is the
        literals and parts put together again, so that no two texts have the same parts.
        """
        first, *others = self.literals
        if not text.startswith(first):
            raise Unfit("does not follow the pattern")
        found: dict[str, str] = {}
        position = len(first)
        for name, literal in zip(self.parts, others, strict=True):
            end = self._end(text, position, literal, last=name == self.parts[-1])
            if end <= position:
                raise Unfit("does not follow the pattern")
            found[name] = text[position:end]
            position = end + len(literal)
        return found

    def join(self, parts: Mapping[str, str]) -> str:
        """The text that has the given parts."""
        first, *others = self.literals
        pairs = zip(self.parts, others, strict=True)
        return first + "".join(parts[name] + literal for name, literal in pairs)

    def _end(self, text: str, position: int, literal: str, *, last: bool) -> int:
        if not last:
            return text.find(literal, position)
        return len(text) - len(literal) if text.endswith(literal) else -1


def parse_pattern(text: str) -> Pattern:
    """The pattern as written; ConfigurationError where texts could be split in two ways."""
    pieces = _PART.split(text)
    literals, parts = tuple(pieces[::2]), tuple(pieces[1::2])
    fault = None
    if not parts:
        fault = "has no part in braces"
    elif any("{" in literal or "}" in literal for literal in literals):
        fault = "has a brace that is not around a name"
    elif len(set(parts)) < len(parts):
        fault = "has two parts of one name"
    elif "" in literals[1:-1]:
        fault = "has two parts with nothing between them"
    if fault is not None:
        raise ConfigurationError(f"the pattern {text!r} {fault}", remedy=_REMEDY)
    return Pattern(parts, literals)


Extract = Callable[[AttributeValue | None], AttributeValue | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A part by the name: the path to the string, and the cut."""

    name: str
    path: AttributePath
    pattern: Pattern

    @property
    def attribute(self) -> str:
        """The top-level attribute that holds the string."""
        return str(self.path[0])

    def extract(self, column: str) -> Extract:
        """From the attribute's value to the part, a string again; ValueRejected."""
        descend, name, split = compile_descent(self.path), self.name, self.pattern.split
        place = label(".".join(map(str, self.path)))

        def cut(value: AttributeValue | None) -> AttributeValue | None:
            found = descend(value)
            typed = isinstance(found, dict)
            if found is None or (typed and "NULL" in found):
                return None
            text = found.get("S") if typed else None
            if type(text) is not str:
                reason = "is not a string, its pattern cannot split it"
                raise ValueRejected(reason, attribute=place, column=column)
            try:
                return {"S": split(text)[name]}
            except Unfit as unfit:
                raise ValueRejected(unfit.reason, attribute=place, column=column) from unfit

        return cut


def compile_parts(split: tuple[tuple[str, str], ...]) -> Mapping[str, Part]:
    """All parts of a target's patterns by name; ConfigurationError."""
    parts: dict[str, Part] = {}
    for path, text in split:
        pattern = parse_pattern(text)
        for name in pattern.parts:
            if name in parts:
                raise ConfigurationError(
                    f"two patterns of `split` have a part {name!r}", remedy="rename one of them"
                )
            parts[name] = Part(name, parse_path(path), pattern)
    return parts


def require_part(parts: Mapping[str, Part], name: str, column: str) -> Part:
    """The part that a column names; ConfigurationError."""
    part = parts.get(name)
    if part is None:
        known = ", ".join(parts) or "none: the target has no `split`"
        raise ConfigurationError(
            f"column {column!r} takes the part {name!r}, which no pattern of `split` has",
            remedy=f"the parts are: {known}",
        )
    return part
