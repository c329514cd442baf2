"""Every module or room that a text names is there: a moved one would send its reader nowhere."""

import re
from pathlib import Path

import pytest

from tests.house.ways import PACKAGE

ROOT = PACKAGE.parent
ROOMS = sorted(each.name for each in PACKAGE.iterdir() if (each / "__init__.py").exists())
NAMED = re.compile(rf"`((?:{'|'.join(ROOMS)})/[a-z_/]+?)(?:\.py|/)?`")
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
