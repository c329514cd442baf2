"""Documents that are no configuration cost neither the stack nor a minute."""

from pathlib import Path

import pytest

from replicator.config.mistakes import WrongConfiguration
from replicator.config.yaml_lines import VALUES_MAX, Document
from tests.support.command import replicator
from tests.support.wide import wide_but

TABLES = "".join(f"  t{number}: {{key: {{a: text}}}}\n" for number in range(60_000))
DOCUMENTS = {
    "nested in brackets": "a: " + "[" * 10_000,
    "nested in mappings": "{a: " * 10_000,
    "nested and closed": "a: " + "[" * 10_000 + "]" * 10_000,
    "a surrogate in a value": 'version: 1\ndeployment: "\\ud800"\n',
    "a surrogate in a key": 'version: 1\n"\\ud800": 1\n',
    "too many tables": "tables:\n" + TABLES,
    "merged into itself": "deployment: &a {<<: [*a, *a]}",
    "merges that double": "".join(
        [
            "a0: &a0 {x: 1}\n",
            *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 31)),
        ]
    ),
    "merges of much that is nothing": "".join(
        [
            "e: &e {}\n",
            f"l: &l [{', '.join(['*e'] * 5_000)}]\n",
            *(f"m{n}: {{<<: *l}}\n" for n in range(5_000)),
        ]
    ),
    "a mistake in each line": "".join(f"a{n}: 1\n" for n in range(3_000)),
    "a key that is there each time": "a: 1\n" * 45_000,
}


LARGEST = ("too many tables", "a key that is there each time")


@pytest.mark.parametrize(
    "document", wide_but(*(name for name in DOCUMENTS if name not in LARGEST), of=DOCUMENTS)
)
async def test_a_document_that_is_no_configuration_is_refused_with_its_line(
    document: str, tmp_path: Path
):
    config = tmp_path / "replicator.yaml"
    config.write_text(document)

    ended = await replicator("plan", config=config)

    assert ended.code == 2
    assert f"{config.name}:" in ended.err


def test_no_more_of_a_document_is_read_than_a_configuration_can_hold():
    nodes_of_a_table = 6

    with pytest.raises(WrongConfiguration) as refused:
        Document("c.yaml", "tables:\n" + TABLES)

    [mistake] = refused.value.mistakes
    line = int(mistake.where.removeprefix("c.yaml:"))
    assert line <= VALUES_MAX // nodes_of_a_table + 3


@pytest.mark.parametrize("count", [10_000, pytest.param(45_000, marks=pytest.mark.wide)])
def test_the_line_of_every_key_is_found_however_many_there_are(count: int):
    keys = range(count)
    document = Document("c.yaml", "".join(f"a{n}: 1\n" for n in keys))

    assert [document.where((f"a{n}", "below")) for n in keys] == [f"c.yaml:{n + 1}" for n in keys]
