"""A line of progress that fits any terminal: names are cut, and nothing is wrapped."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

NAME_WIDTH_MAX = 16


class ProgressLines:
    """One line for each name, with a bar and what a person counts."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lines: dict[str, TaskID] = {}

    def show(self, name: str, *, done: float, total: float, words: str) -> None:
        """Draw how much is done; `words` has the numbers."""
        if name not in self._lines:
            self._lines[name] = self._progress.add_task(name, words="")
        self._progress.update(
            self._lines[name], completed=done, total=max(total, done, 1), words=words, refresh=True
        )


@contextmanager
def progress_lines(console: Console) -> Iterator[ProgressLines]:
    """Lines that are redrawn in place while the block runs, and stay at the end."""
    name = Column(max_width=NAME_WIDTH_MAX, no_wrap=True, overflow="ellipsis")
    words = Column(no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
        TextColumn("{task.fields[words]}", markup=False, table_column=words),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        yield ProgressLines(progress)
