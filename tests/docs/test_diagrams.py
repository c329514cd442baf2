"""The docs show their diagrams as pictures of the texts beside them, which any browser draws."""

from pathlib import Path

import pytest

from tests.docs.diagrams import PICTURES, digest, drawn_from

DIAGRAMS = sorted(PICTURES.glob("*.mmd"))


def test_there_is_a_diagram():
    assert DIAGRAMS


@pytest.mark.parametrize("source", DIAGRAMS, ids=lambda path: path.stem)
def test_a_picture_is_drawn_from_the_text_as_it_is(source: Path):
    picture = source.with_suffix(".svg").read_text()

    assert drawn_from(picture) == digest(source.read_text()), (
        "draw it again: `python -m tests.docs.diagrams` says how"
    )


@pytest.mark.parametrize("source", DIAGRAMS, ids=lambda path: path.stem)
def test_a_picture_loads_nothing(source: Path):
    picture = source.with_suffix(".svg").read_text()
    addresses = picture.replace("http://www.w3.org/", "")

    assert "http" not in addresses
    assert "<script" not in picture


def test_the_site_begins_with_the_picture_of_the_readme():
    readme = (PICTURES.parents[1] / "README.md").read_text()

    assert f"```mermaid\n{(PICTURES / 'flow.mmd').read_text()}```" in readme
    assert "(pictures/flow.svg)" in (PICTURES.parent / "README.md").read_text()


def test_pages_of_the_site_hold_no_diagram_that_only_a_script_would_draw():
    pages = [page for page in PICTURES.parent.rglob("*.md") if "```mermaid" in page.read_text()]

    assert pages == []
