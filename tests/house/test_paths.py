"""Every module or room that a text names is there: a moved one would send its reader nowhere."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.ways import PACKAGE

ROOT = PACKAGE.parent
ROOMS = sorted(each.name for each in PACKAGE.iterdir() if (each / "__init__.py").exists())
NAMED = re.compile(rf"`((?:{'|'.join(ROOMS)})/[a-z_/]+?)(?:\.py|/)?`")
PATH = re.compile(r"`([a-z_]+(?:/[a-z_]+)+?)(?:\.py|/)?`")
WORD = re.compile(r"`([a-z]+(?:_[a-z]+)*)`")
OF_OTHERS = {"customer_name", "force_generic_plan", "pg_get_keywords", "synchronous_commit"}
"""Names in docstrings that are PostgreSQL's, or an example's."""
PLACES = (PACKAGE, ROOT)
ENDS = ("", ".py")
MODULES = sorted(PACKAGE.rglob("*.py"))
TEXTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "replicator/**/*.py", "migrations/**/*.py")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # which tells of what was
)


@pytest.mark.parametrize("text", TEXTS, ids=str)
def test_modules_that_a_text_names_are_there(text: Path):
    named = NAMED.findall((ROOT / text).read_text(encoding="utf-8"))

    missing = [
        path
        for path in named
        if not (PACKAGE / path).is_dir() and not (PACKAGE / f"{path}.py").is_file()
    ]
    assert missing == []


def docstrings(module: ast.Module) -> Iterator[tuple[tuple[int, int], str]]:
    """Place and text of every string that is a statement: docstrings, those of attributes too."""
    for node in ast.walk(module):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as text) as it):
                yield (it.lineno, it.col_offset), text


def names_of(path: Path) -> Iterator[str]:
    """Names and words of strings in a module's code, without the docstrings."""
    texts = {place for place, _ in docstrings(ast.parse(path.read_text()))}
    with path.open("rb") as lines:
        for token in tokenize.tokenize(lines.readline):
            if token.type == tokenize.NAME:
                yield token.string
            elif token.type == tokenize.STRING and token.start not in texts:
                yield from re.findall(r"\w+", token.string)


def test_docstrings_name_modules_and_other_things_that_are_there():
    known = {path.stem for path in PACKAGE.rglob("*")} | OF_OTHERS
    known |= {name for path in MODULES for name in names_of(path)}
    for sql in (ROOT / "migrations").rglob("*.sql"):
        known.update(re.findall(r"\w+", sql.read_text()))

    missing = []
    for path in MODULES:
        for _, text in docstrings(ast.parse(path.read_text())):
            missing += [(path.name, word) for word in WORD.findall(text) if word not in known]
            missing += [
                (path.name, named)
                for named in PATH.findall(text)
                if not any((place / f"{named}{end}").exists() for place in PLACES for end in ENDS)
            ]
    assert missing == []
