"""The parts of composite strings, as values that columns are made of. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replicator.core.attributes import label
from replicator.core.paths import Path, compile_descent, parse_path
from replicator.core.patterns import Pattern, parse_pattern
from replicator.core.records import AttributeValue
from replicator.core.unfit import Unfit
from replicator.errors import ConfigurationError, Rejected

Extract = Callable[[AttributeValue | None], AttributeValue | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A part by its name: where its string is, and how it is cut out of it."""

    name: str
    path: Path
    pattern: Pattern

    @property
    def attribute(self) -> str:
        """The top-level attribute that holds the string."""
        return str(self.path[0])

    def extract(self, column: str) -> Extract:
        """From the attribute's value to the part, a string again; Rejected."""
        descend, name, split = compile_descent(self.path), self.name, self.pattern.split
        place = label(".".join(map(str, self.path)))

        def cut(value: AttributeValue | None) -> AttributeValue | None:
            found = descend(value)
            if found is None or "NULL" in found:
                return None
            text = found.get("S")
            if type(text) is not str:
                reason = "is not a string, its pattern cannot split it"
                raise Rejected(reason, attribute=place, column=column)
            try:
                return {"S": split(text)[name]}
            except Unfit as unfit:
                raise Rejected(unfit.reason, attribute=place, column=column) from unfit

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
