"""Prints the notes of a release: the section of CHANGELOG.md that bears its version."""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """The text below `## <version>`; ValueError when there is none."""
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if heading.split()[0].strip("[]") == version:
            return text.strip() + "\n"
    known = ", ".join(section.split(maxsplit=1)[0].strip("[]") for section in sections)
    message = f"CHANGELOG.md has no section {version}; it has {known}"
    raise ValueError(message)


if __name__ == "__main__":
    try:
        sys.stdout.write(notes(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1]))
    except (IndexError, ValueError) as error:
        sys.exit(f"notes.py VERSION: {error}")
