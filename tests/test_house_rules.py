"""The few rules of the house that no other tool checks."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "replicator").rglob("*.py"))
VAGUE_NAMES = {"utils", "common", "helpers", "base", "types"}

# written apart, so that this file does not find itself
FOREIGN = (
    *("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "deb." + "debian.org"),
    *("/wo" + "rk/", "/ro" + "ot/", "/fa" + "rm/"),
)


def tracked_files() -> list[Path]:
    """What git tracks or would add; outside a checkout everything of the package and its tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        return [*PACKAGE, *sorted((ROOT / "tests").rglob("*.py"))]
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_a_module_says_in_its_first_line_what_it_is():
    promises = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in PACKAGE}
    silent = [
        named(path)
        for path, promise in promises.items()
        if not promise.partition("\n")[0].endswith((".", "?"))
    ]

    assert silent == []


def test_no_module_is_a_drawer():
    parts = {named(path): path.relative_to(ROOT).with_suffix("").parts for path in PACKAGE}
    drawers = [name for name, its in parts.items() if VAGUE_NAMES & set(its)]

    assert drawers == []


def test_no_file_knows_a_registry_or_the_machine_it_was_written_on():
    pattern = re.compile("|".join(map(re.escape, FOREIGN)))
    found = [
        f"{named(path)}: {match.group()}"
        for path in tracked_files()
        if (match := pattern.search(path.read_text(errors="replace")))
    ]

    assert found == []


def test_every_revision_of_the_control_schema_follows_the_one_before():
    """Two that were made beside each other would both be the newest, and no database migrates."""
    files = sorted((ROOT / "migrations/versions").glob("*.py"))
    texts = [path.read_text() for path in files]
    numbers = [path.name.partition("_")[0] for path in files]
    own = [re.search(r'^revision = "(\d+)_', text, re.M) for text in texts]
    before = [re.search(r'^down_revision = "(\d+)_', text, re.M) for text in texts]

    assert numbers == [f"{number:04}" for number in range(1, len(files) + 1)]
    assert [found and found[1] for found in own] == numbers
    assert [found and found[1] for found in before] == [None, *numbers[:-1]]
