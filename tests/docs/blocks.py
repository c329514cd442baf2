"""The fenced blocks of a Markdown file, with their headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$"
    r"|^#+ (?P<heading>[^\n]+)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `info` is what stands behind the fence, such as `json row`."""

    heading: str
    info: str
    text: str


def pages() -> list[Path]:
    """Every page that is written by hand or generated."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "migrations/README.md"])


def blocks(page: Path) -> Iterator[Block]:
    """The blocks in the order of the page."""
    heading = ""
    for match in _FENCE.finditer(page.read_text(encoding="utf-8")):
        if match["heading"] is not None:
            heading = match["heading"]
        else:
            yield Block(heading, match["info"].strip(), dedent(match["text"]))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub(lambda match: match[0] if match["heading"] else "", page.read_text("utf-8"))
