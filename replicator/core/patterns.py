"""Composite strings such as `ORDER#2024#17`, split into named parts by a declared pattern. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from replicator.core.unfit import Unfit
from replicator.errors import ConfigurationError

_PART = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REMEDY = "write it like ORDER#{year}#{number}: names in braces, and text between any two of them"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text with parts in it; `literals` stand before, between and behind the `parts`."""

    parts: tuple[str, ...]
    literals: tuple[str, ...]

    def split(self, text: str) -> dict[str, str]:
        """The parts of a text; Unfit where the pattern does not describe it.

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
        """The text that has these parts."""
        first, *others = self.literals
        pairs = zip(self.parts, others, strict=True)
        return first + "".join(parts[name] + literal for name, literal in pairs)

    def _end(self, text: str, position: int, literal: str, *, last: bool) -> int:
        if not last:
            return text.find(literal, position)
        return len(text) - len(literal) if text.endswith(literal) else -1


def parse_pattern(text: str) -> Pattern:
    """The pattern as it is written; ConfigurationError where texts could be split in two ways."""
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
