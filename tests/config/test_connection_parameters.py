"""How the one who migrates connects, where another one runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from replicator.config.connection_parameters import migrate_connection
from replicator.config.load_settings import load
from replicator.postgres.connection.connect import ConnectionSettings

RUNNER = "postgresql://replicator@db.example.com/app"
OWNER = "postgresql://owner@db.example.com/app"
OWNER_WITH_PASSWORD = "postgresql://owner:secret@db.example.com/app"


def migrator(directory: Path, **target: Any) -> ConnectionSettings:
    file = directory / "replicator.yaml"
    document = {
        "version": 1,
        "deployment": "test",
        "target": {"dsn": RUNNER, **target},
        "tables": {"orders": {"into": {"public.orders": {}}}},
    }
    file.write_text(yaml.safe_dump(document))
    return migrate_connection(load(file, {}).target)


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param({"migrate_dsn": OWNER_WITH_PASSWORD}, id="a DSN with a password"),
        pytest.param({"migrate_dsn": f"{OWNER}?password=x"}, id="a password after it"),
        pytest.param({"migrate_dsn": "postgresql://o:x@h1,[::1]/app"}, id="several hosts"),
        pytest.param({"migrate_dsn_file": "/run/secrets/dsn"}, id="a file, which is a secret"),
    ],
)
@pytest.mark.parametrize("runner", [{"iam_auth": True}, {"password_file": "/run/secrets/password"}])
def test_the_owner_s_own_password_is_not_replaced_by_what_the_runner_uses(
    owner: dict[str, Any], runner: dict[str, Any], tmp_path: Path
):
    connection = migrator(tmp_path, **owner, **runner)

    assert connection.iam_token is None
    assert connection.password_file is None


def test_an_owner_without_a_password_of_its_own_takes_a_token_too(tmp_path: Path):
    assert migrator(tmp_path, migrate_dsn=OWNER, iam_auth=True).iam_token is not None
