"""Collects the mistakes of a configuration into one error."""

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.errors import ConfigurationError

KeyPath = tuple[str | int, ...]
"""A key: the names on the way, and positions in lists."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """`where` is a file and line, or a variable; `fault` what is wrong with the key."""

    where: str
    path: KeyPath
    fault: str
    remedy: str | None

    def __str__(self) -> str:
        key = dotted(self.path)
        return f"{self.where}: {key}: {self.fault}" if key else f"{self.where}: {self.fault}"


class WrongConfiguration(ConfigurationError):
    """A wrong configuration; `mistakes` has all mistakes, the text too."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        match self.mistakes:
            case (mistake,):
                super().__init__(str(mistake), remedy=mistake.remedy)
            case _:
                super().__init__("\n".join(_lines(self.mistakes)))


def dotted(path: KeyPath) -> str:
    """The key as written; names with dots stand in quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = f'"{step}"' if "." in step or not step else step
            text += f".{name}" if text else name
    return text


def _lines(mistakes: Sequence[Mistake]) -> list[str]:
    lines = [f"the configuration has {len(mistakes)} mistakes"]
    for mistake in mistakes:
        lines.append(f"  {mistake}")
        if mistake.remedy:
            lines.append(f"    {mistake.remedy}")
    return lines
