"""Documents that are no configuration cost neither the stack nor a minute."""

from pathlib import Path

import pytest

from replicator.config.mistakes import WrongConfiguration
from replicator.config.yaml_lines import VALUES_MAX, Document
from tests.support.command import replicator

TABLES = "".join(f"  t{number}: {{key: {{a: text}}}}\n" for number in range(60_000))
DOCUMENTS = {
    "nested in brackets": "a: " + "[" * 10_000,
    "nested in mappings": "{a: " * 10_000,
    "nested and closed": "a: " + "[" * 10_000 + "]" * 10_000,
    "a surrogate in a value": 'version: 1\ndeployment: "\\ud800"\n',
    "a surrogate in a key": 'version: 1\n"\\ud800": 1\n',
    "too many tables": "tables:\n" + TABLES,
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
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
