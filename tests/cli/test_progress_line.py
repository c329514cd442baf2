"""Progress fits the terminal that it is drawn on, whatever a table is called."""

import io
import re

import pytest
from rich.console import Console

from replicator.cli.terminal.progress_line import progress_lines


def drawn(width: int, name: str, words: str) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with progress_lines(console) as lines:
        lines.show(name, done=1, total=4, words=words)
    assert isinstance(console.file, io.StringIO)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    return text.replace("\r", "\n").splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", ["orders", "a-name-" * 36, "[bold]not markup[/bold]"])
def test_a_line_is_never_wider_than_the_terminal(width: int, name: str):
    written = drawn(width, name, "1,234,567 of about 5,000,000 items, about 15 min left")

    assert any("1,234,567" in line and name[0] in line for line in written)
    assert max(map(len, written)) <= width


def test_it_counts_what_a_person_counts():
    assert any("1 of about 4 items" in line for line in drawn(80, "orders", "1 of about 4 items"))
