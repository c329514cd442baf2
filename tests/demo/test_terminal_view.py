"""The picture fits the terminal it is drawn on, and keeps its place."""

import io
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from replicator.demo.daemon_process import Place
from replicator.demo.terminal_view import BothSides, Lines, Picture, view_for

PLACE = Place(
    Path("/tmp/replicator-abcdefgh"),  # noqa: S108 (nothing is written there)
    "http://127.0.0.1:50001",
    "postgresql://postgres@127.0.0.1:50002/postgres",
    8080,
)
LATEST = {
    "order_id": "A-0001",
    "customer": "Chiara D'Amico",
    "status": "delivered",
    "total": Decimal("1234.1234567890123456789"),
    "tags": ["a very long tag, longer than any terminal is wide " * 3, "[red]"],
}


def reading(*, elapsed: float, latest: int = 0) -> BothSides:
    return BothSides(
        elapsed_seconds=elapsed,
        write_seconds=20,
        written=1234,
        applied=1230,
        items=500,
        rows=499,
        lag_seconds=0.25,
        latest=(LATEST,) * latest,
    )


def terminal(width: int, height: int) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )


def drawn(console: Console, picture: Picture, now: BothSides) -> list[str]:
    lines = console.render_lines(picture._draw(now))
    return ["".join(segment.text for segment in line) for line in lines]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (80, 20)])
def test_the_picture_fits(width: int, height: int):
    console = terminal(width, height)
    picture = Picture(console, PLACE)

    lines = drawn(console, picture, reading(elapsed=3, latest=picture.latest))

    text = "\n".join(lines)
    assert len(lines) < height
    for said in ("1234 written", "1230 applied", "500 items", "499 rows", "0.2 s", PLACE.pages):
        assert said in text


def test_the_picture_keeps_its_height():
    console = terminal(80, 24)
    picture = Picture(console, PLACE)

    first = drawn(console, picture, reading(elapsed=0))
    later = drawn(console, picture, reading(elapsed=30, latest=picture.latest))

    assert picture.latest
    assert len(first) == len(later)


def test_without_a_terminal_a_line_is_printed_every_few_seconds():
    out = io.StringIO()
    lines = view_for(Console(file=out, width=80), PLACE)
    before = out.getvalue()

    with lines.opened():
        for tenth in range(40):
            lines.show(reading(elapsed=tenth / 10))

    assert isinstance(lines, Lines)
    assert PLACE.pages in before
    assert out.getvalue().removeprefix(before).splitlines() == [
        "   0 s: 1234 changes written, 1230 applied, 500 items, 499 rows, lag 0.2 s",
        "   3 s: 1234 changes written, 1230 applied, 500 items, 499 rows, lag 0.2 s",
    ]
