"""Texts that people read, and the words in them that nobody can search for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.house.ways import PACKAGE

ROOT = PACKAGE.parent

UNSEARCHABLE = {
    r"anew": "again",
    r"mend(s|ed|ing)?": "fix, fixes, fixed",
    r"looked|look(s|ing)? again|looks at|looking at|looks? into": "read, polled, checked, see",
    r"swept": "stale rows are deleted",
    r"let(s|ting)? (it|them|a table|the table) go( on)?": "resume, release, discard",
    r"sets? aside|setting aside": "dead-letter, dead-lettered",
    r"turn(s|ed)? away": "superseded",
    r"troubles?": "problem",
    r"switched": "reconfigured",
    r"parts? of (a|the|its|one) (snapshot|load)": "segment",
    r"(?<!dead )(?<!dead-)(?<!dead_)(?<!dead\n        )letters?(?! as \()": "dead letter",
}
"""Expressions and the words to say in their place."""
PATTERN = re.compile("|".join(rf"\b(?:{words})\b" for words in UNSEARCHABLE), re.IGNORECASE)

LEGITIMATE = (
    re.compile(r"\btest_\w+"),  # names of tests
    re.compile(r"#[\w-]+"),  # anchors
    re.compile(r"`\w+`"),  # fields
    re.compile(r"\bswitched o(ff|n)\b"),
    re.compile(r"\bletter-spacing\b"),
    re.compile(  # of an alphabet
        r"DynamoDB's letters|Letters of any script"
        r"|(labels of|use|capital|lower-case|first) letters?\b"
    ),
)
"""Uses that are no prose."""
IDENTIFIER = re.compile(r"\w+")
READ = {".html", ".json", ".md", ".tf", ".yaml", ".yml"}
"""Suffixes of files that are read by people, beside the package's own modules."""
SQL = re.compile(r"\b(select|insert|update|delete|with)\b")
SQL_COMMENT = re.compile(r"--[^\n]*")


class Text(NamedTuple):
    """A text that people read: its place, and its words."""

    path: Path
    line: int
    text: str

    def found(self) -> list[str]:
        """The unsearchable words in it, each with its place."""
        text = self.text
        for pattern in LEGITIMATE:
            text = pattern.sub("", text)
        place = f"{self.path.relative_to(ROOT)}:{self.line}"
        return [f"{place} {match[0]}" for match in PATTERN.finditer(text)]


def strings() -> Iterator[Text]:
    """Every text of the package: messages, help, docstrings, and the comments of statements.

    A string that is a single word is a name: a field of JSON, a column, a state.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                if IDENTIFIER.fullmatch(text):
                    continue
                if "\n--" in text and SQL.search(text):
                    text = "\n".join(SQL_COMMENT.findall(text))
                yield Text(path, node.lineno, text)


def pages() -> Iterator[Text]:
    """Every line of the documentation, the status page and of everything that is deployed."""
    read = (
        path
        for place in (ROOT / "docs", ROOT / "deploy", PACKAGE)
        for path in place.rglob("*")
        if path.suffix in READ
    )
    for path in sorted([ROOT / "README.md", *read]):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            yield Text(path, number, line)
