"""The environment is above the file, and a variable that does nothing is a mistake."""

from pathlib import Path

import pytest

from replicator.config.load_settings import load
from replicator.errors import ConfigurationError

FILE = """\
deployment: payments-test
http: {host: 0.0.0.0, port: 9090}
tables: {orders: {into: {public.orders: {columns: {a: text}}}}}
"""


@pytest.fixture
def configured(tmp_path: Path):
    """Load one file below an environment."""
    path = tmp_path / "replicator.yaml"
    path.write_text(FILE, encoding="utf-8")
    return lambda **environ: load(path, environ)


def message_of(configured, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        configured(**environ)
    return f"{raised.value}\n{raised.value.remedy}"


def test_a_variable_wins_over_the_file_and_leaves_what_is_beside_it(configured):
    settings = configured(REPLICATOR_HTTP__PORT="8081", REPLICATOR_DEPLOYMENT="other")

    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 8081)  # noqa: S104
    assert settings.deployment == "other"


def test_text_is_taken_as_it_is_and_everything_else_as_yaml(configured):
    settings = configured(
        REPLICATOR_TARGET__APPLICATION_NAME="1234",
        REPLICATOR_TARGET__IAM_AUTH="true",
        REPLICATOR_COORDINATION__LEASE_SECONDS="0.5",
        REPLICATOR_LOG__LEVEL="DEBUG",
        REPLICATOR_DEFAULTS__REST="extra",
        REPLICATOR_DEFAULTS__WHEN='{"state": {"in": ["a", 1]}}',
        REPLICATOR_TARGET__DSN_FILE="/run/secrets/dsn",
    )

    assert settings.target.application_name == "1234"
    assert settings.target.iam_auth is True
    assert settings.coordination.lease_seconds == 0.5
    assert settings.log.level == "debug"
    assert settings.target.dsn_file == Path("/run/secrets/dsn")
    target = settings.table_specs()["orders"].targets[0]
    assert (target.rest, target.when) == ("extra", {"state": {"in": ["a", 1]}})


def test_a_whole_group_can_be_said_and_its_single_keys_win(configured):
    settings = configured(REPLICATOR_HTTP__PORT="1", REPLICATOR_HTTP="{port: 2, host: there}")

    assert (settings.http.host, settings.http.port) == ("there", 1)


def test_a_group_that_is_said_in_part_leaves_the_rest_of_the_file(configured):
    settings = configured(REPLICATOR_HTTP="{port: 2}")

    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 2)  # noqa: S104


def test_an_empty_variable_means_null(configured):
    settings = configured(REPLICATOR_TARGET__DSN="", REPLICATOR_HTTP="")

    assert settings.target.dsn is None
    assert settings.http.port == 8080


def test_what_kubernetes_injects_and_what_is_ours_is_ignored(configured):
    settings = configured(
        REPLICATOR_PORT="tcp://10.0.0.1:8080",
        REPLICATOR_PORT_8080_TCP_ADDR="10.0.0.1",
        REPLICATOR_SERVICE_HOST="10.0.0.1",
        REPLICATOR_SERVICE_PORT_HTTP="8080",
        REPLICATOR_CONFIG="elsewhere.yaml",
        REPLICATOR_TEST_POSTGRES_DSN="x",
        REPLICATOR_MINISTACK="x",
        REPLICATORS="x",
    )

    assert settings.http.port == 9090


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("REPLICATOR_TARGT__DSN", "did you mean REPLICATOR_TARGET__DSN?"),
        ("REPLICATOR_TARGET__DNS", "did you mean REPLICATOR_TARGET__DSN?"),
        ("REPLICATOR_TARGET_DSN", "did you mean REPLICATOR_TARGET__DSN?"),
        ("REPLICATOR_target__dsn", "REPLICATOR_"),
        ("REPLICATOR_DEPLOYMNET", "did you mean REPLICATOR_DEPLOYMENT?"),
        ("REPLICATOR_CONFIGURATION", "did you mean REPLICATOR_CONFIG?"),
        ("REPLICATOR_CONFG", "did you mean REPLICATOR_CONFIG?"),
        ("REPLICATOR_TABLES__ORDERS__TABLE", "tables are configured in the file alone"),
        ("REPLICATOR_TABLES", "tables are configured in the file alone"),
        ("REPLICATOR_METRICS_SERVICE_HOST", "enableServiceLinks: false"),
        ("REPLICATOR_METRICS_PORT", "enableServiceLinks: false"),
        ("REPLICATOR_METRICS_PORT_8080_TCP", "enableServiceLinks: false"),
        ("REPLICATOR_HTTP_PORT", "did you mean REPLICATOR_HTTP__PORT?"),
        ("REPLICATOR_XYZZY", "docs/configuration.md"),
    ],
)
def test_a_variable_that_is_no_key_is_a_mistake(configured, name, remedy):
    message = message_of(configured, **{name: "x"})

    assert f"environment {name}: is not a known variable" in message
    assert remedy in message


def test_a_wrong_value_is_reported_with_its_variable(configured):
    message = message_of(configured, REPLICATOR_HTTP__PORT="many", REPLICATOR_LOG__FORMAT="xml")

    assert "environment REPLICATOR_HTTP__PORT: http.port: must be a whole number" in message
    assert "environment REPLICATOR_LOG__FORMAT: log.format: must be json or console" in message


def test_a_value_that_is_no_yaml_is_reported_with_its_variable(configured):
    message = message_of(configured, REPLICATOR_DEFAULTS__WHEN="{a: [")

    assert "environment REPLICATOR_DEFAULTS__WHEN" in message
    assert "is not YAML" in message
