"""The first hour with a single-table design: from nothing to the answers of an analyst."""

import pytest
import yaml

from tests.end_to_end.conftest import Stage
from tests.support.analyst import ITEMS, put_all, questions_are_answered
from tests.support.command import replicator
from tests.support.daemon import Worker


async def test_a_single_table_design_of_5000_items_answers_an_analyst_s_questions(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    table = await stage.create_table("shop", {"PK": "S", "SK": "S"})
    await put_all(stage.client, table)
    place = stage.directory / "place.yaml"
    source = {"region": "us-east-1", "endpoint_url": stage.url}
    place.write_text(yaml.safe_dump({"deployment": "shop-test", "source": source}))
    monkeypatch.setenv("REPLICATOR_TARGET__DSN", stage.dsn)
    monkeypatch.setenv("REPLICATOR_HTTP__PORT", "0")

    printed = await replicator("init", "--table", table, config=place)

    assert printed.code == 0, printed.err
    document = yaml.safe_load(printed.out)
    assert document["deployment"] == "shop-test"
    assert document["source"] == source
    assert f"items were sampled of about {ITEMS} (as of up to six hours ago)" in printed.out
    targets = document["tables"][table]["into"]
    kinds = ("customers", "orders", "events", "alerts", "settings")
    assert {f"public.{kind}" for kind in kinds} < targets.keys()
    keys = [list(target["key"]) for target in targets.values() if target]
    assert all(names == ["pk", "sk"] for names in keys)
    file = stage.directory / "replicator.yaml"
    file.write_text(printed.out)
    migrated = await replicator("migrate", config=file)
    assert migrated.code == 0, migrated.err
    words = ["--config", str(file), "run", "--until-caught-up"]
    worker = Worker(words, stage.directory / "run.log")
    assert await worker.ended() == 0, worker.tail()

    await questions_are_answered(stage.dsn)
