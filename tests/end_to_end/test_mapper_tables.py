"""Tables of nineteen object mappers: what `init` prints of each fits and runs, unedited."""

from typing import Any

import pytest

from tests.core.test_mapper_shapes import ITEMS, SHAPES
from tests.end_to_end.conftest import Stage, one_emulator
from tests.support.command import replicator
from tests.support.daemon import Worker

OF_EACH_KIND = ["enhanced client (Java)", "Scanamo (Scala)", "Dynamoid (Ruby)", "boto3 (Python)"]
"""Times as texts that are cut and as numbers, documents, sets, booleans that are texts."""


def keys_of(item: int) -> dict[str, Any]:
    return {"pk": {"S": f"key#{item}"}, "sk": {"S": f"part#{item}"}}


@one_emulator
@pytest.mark.parametrize(
    "mappers",
    # what is proposed for each is held by tests/core/test_mapper_shapes.py
    [
        pytest.param(OF_EACH_KIND, id="of each kind"),
        pytest.param([*SHAPES], id="every", marks=pytest.mark.wide),
    ],
)
async def test_what_init_prints_of_every_mappers_table_passes_check_and_runs(
    stage: Stage, mappers: list[str], monkeypatch: pytest.MonkeyPatch
):
    tables = []
    for number, (shape, _) in enumerate(SHAPES[mapper] for mapper in mappers):
        table = await stage.create_table(f"mapper{number}", {"pk": "S", "sk": "S"})
        for start in range(0, ITEMS, 25):
            puts = [
                {"PutRequest": {"Item": {**keys_of(item), **shape(item)}}}
                for item in range(start, min(start + 25, ITEMS))
            ]
            await stage.client.batch_write_item(RequestItems={table: puts})
        tables += ["--table", table]
    monkeypatch.setenv("REPLICATOR_TARGET__DSN", stage.dsn)
    monkeypatch.setenv("REPLICATOR_HTTP__PORT", "0")
    file = stage.directory / "replicator.yaml"

    printed = await replicator("init", *tables, "--endpoint-url", stage.url, config=None)

    assert printed.code == 0, printed.err
    file.write_text(printed.out)
    for command in ("migrate", "check"):
        done = await replicator(command, config=file)
        assert done.code == 0, f"{command}: {done.out}{done.err}"
    words = ["--config", str(file), "run", "--until-caught-up"]
    worker = Worker(words, stage.directory / "run.log")
    assert await worker.ended() == 0, worker.tail()
    verified = await replicator("verify", "--json", config=file)
    assert verified.code == 0, verified.out
    assert verified.document["dead_letters"] == 0
    compared = [table["compared"] for table in verified.document["tables"]]
    assert sum(compared) == ITEMS * len(mappers)
