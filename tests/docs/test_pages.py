"""What the pages name exists: commands and options, tests, links, configurations, packages."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from replicator.cli import app
from replicator.config.load_settings import load
from tests.docs.blocks import ROOT, Block, blocks, pages, prose
from tests.monitoring.pictures import names

WRITTEN = [page for page in pages() if page.name != "configuration.md"]
MISSING_COMMANDS: set[str] = set()
"""What docs/limits.md says is not there yet; whoever adds one takes it off both."""
_COMMAND = re.compile(r"^(?:.*\| )?replicator ([^|#\n]+)", re.MULTILINE)
_SPAN = re.compile(r"`replicator ([a-z][^`]*)`")
_TARGET = re.compile(r"(?:^|`)(?:\w+=\S+ )?make ([a-z][a-z-]*)", re.MULTILINE)
_TEST = re.compile(r"`(test_\w+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def commands() -> dict[str, Any]:
    """Every command by its words."""

    def walk(command: Any, path: tuple[str, ...]) -> dict[str, Any]:
        inner = getattr(command, "commands", {})
        found = {} if inner else {" ".join(path): command}
        for name, child in inner.items():
            found |= walk(child, (*path, name))
        return found

    return walk(typer.main.get_command(app), ())


def spoken(page: Path) -> list[str]:
    """Every command line of a page, without the program's name."""
    lines = [
        line.strip()
        for block in blocks(page)
        if block.info == "sh"
        for line in _COMMAND.findall(block.text)
    ]
    return lines + [span.strip() for span in _SPAN.findall(prose(page))]


@cache
def names_of_tests() -> set[str]:
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
    return {name for text in texts for name in re.findall(r"def (test_\w+)", text)}


def words_of(line: str) -> tuple[str, list[str]]:
    """The command's name, and the options that are given to it."""
    words = line.split()
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    path = [word for word in words[:2] if re.fullmatch(r"[a-z-]+", word) and word[0] != "-"]
    known = commands()
    name = " ".join(path) if " ".join(path) in known or len(path) < 2 else path[0]
    if name not in known and any(known_name.startswith(f"{path[0]} ") for known_name in known):
        name = " ".join(path)
    return name, options


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_a_command_that_is_named_exists_with_its_options(page: Path):
    known = commands()
    groups = {name.partition(" ")[0] for name in known if " " in name}
    wrong = []
    for line in spoken(page):
        name, options = words_of(line)
        if page.name == "limits.md" and name in MISSING_COMMANDS:
            continue
        if name in groups:
            continue
        if name not in known:
            wrong.append(line)
            continue
        parameters = {option for given in known[name].params for option in given.opts}
        wrong += [f"{line}: {option}" for option in options if option not in parameters]

    assert not wrong


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_check_plan_migrate_and_run_stand_in_one_order_everywhere(page: Path):
    order = ("check", "plan", "migrate", "run")
    wrong = []
    for block in blocks(page):
        lines = _COMMAND.findall(block.text) if block.info == "sh" else []
        places = [order.index(line.split()[0]) for line in lines if line.split()[0] in order]
        if places != sorted(places):
            wrong.append(block.text)

    assert wrong == []


def test_what_is_said_to_be_missing_is_missing():
    assert not MISSING_COMMANDS & commands().keys()


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_a_target_of_make_that_is_named_exists(page: Path):
    spoken_of = "".join(block.text for block in blocks(page) if block.info == "sh") + prose(page)
    makefile = (ROOT / "Makefile").read_text("utf-8")

    assert set(_TARGET.findall(spoken_of)) <= set(
        re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    )


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_a_test_that_is_named_exists(page: Path):
    assert set(_TEST.findall(page.read_text("utf-8"))) <= names_of_tests()


@pytest.mark.parametrize("page", pages(), ids=named)
def test_a_link_leads_somewhere(page: Path):
    broken = []
    for target, anchor in _LINK.findall(prose(page)):
        path = (page.parent / target) if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(f"{target}#{anchor}")

    assert not broken


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made for Markdown everywhere."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def configurations() -> list[Block]:
    found = [block for page in pages() for block in blocks(page) if block.info == "yaml"]
    return [block for block in found if block.text.startswith("version:")]


@pytest.mark.parametrize("block", configurations(), ids=lambda block: block.heading)
def test_a_configuration_can_be_copied(block: Block, tmp_path: Path):
    path = tmp_path / "replicator.yaml"
    path.write_text(block.text, encoding="utf-8")

    assert load(path, {}).tables


def test_there_are_configurations_to_copy():
    assert len(configurations()) >= 3


def test_every_scenario_is_listed_once():
    text = (ROOT / "docs/reliability.md").read_text("utf-8")

    assert [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == [
        *range(1, 101)
    ]


def test_every_dependency_has_its_reason():
    page = (ROOT / "docs/adr/0001-runtime-dependencies.md").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.split(r"[^\w-]", line)[0] for line in project["dependencies"]]

    assert [name for name in names if name not in page] == []


def test_every_picture_of_the_status_page_is_shown_and_no_other_is_there():
    page = (ROOT / "docs/operations/status-page.md").read_text("utf-8")
    drawn = sorted(path.stem for path in (ROOT / "docs/pictures").glob("*.png"))

    assert sorted(re.findall(r"pictures/([\w-]+)\.png", page)) == sorted(names()) == drawn


@pytest.mark.parametrize("page", ["README.md", "docs/alternatives.md"])
def test_what_is_said_of_another_way_has_its_source_and_a_date(page: str):
    text = (ROOT / page).read_text("utf-8")
    table = re.search(r"(?:^\|.*what it (?:loses|gives up).*\n)((?:^\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    [_, *rows] = table[1].splitlines()

    without = [
        row
        for row in rows
        if not re.search(r"\]\(https://.*20\d\d-\d\d|20\d\d-\d\d\]\(https:", row)
    ]
    assert rows
    assert without == []


def test_every_page_is_in_the_menu_of_the_site():
    menu = (ROOT / "mkdocs.yml").read_text("utf-8").partition("nav:")[2]
    named_there = set(re.findall(r"- (\S+\.md)$", menu, re.MULTILINE))
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}

    assert {page for page in there if not page.startswith("adr/0")} == named_there


def test_every_decision_has_a_number_of_its_own_and_stands_in_the_index():
    files = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    numbers = [int(name[:4]) for name in files]
    index = (ROOT / "docs/adr/README.md").read_text("utf-8")

    assert numbers == list(range(1, len(files) + 1))
    assert re.findall(r"^(\d+)\. \[.*\]\((0.*\.md)\)$", index, re.MULTILINE) == [
        (str(number), name) for number, name in zip(numbers, files, strict=True)
    ]
