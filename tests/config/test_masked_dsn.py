"""No password is ever shown: not by settings, not by mistakes."""

from pathlib import Path

import pytest

from replicator.config.load_settings import load
from replicator.config.masked_dsn import mask_dsn
from replicator.errors import ConfigurationError

SECRET = "hunter2"
TABLES = "deployment: d\ntables: {orders: {into: {public.orders: {}}}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "replicator.yaml"


@pytest.mark.parametrize(
    ("dsn", "masked"),
    [
        ("postgresql://me:hunter2@host:5432/app", "postgresql://me:***@host:5432/app"),
        ("postgresql://me@host/app", "postgresql://me@host/app"),
        ("postgres://:hunter2@host/app", "postgres://:***@host/app"),
        ("postgresql://me:hun@hunter2@host/app", "postgresql://me:***@host/app"),
        ("postgresql://me:hun/hunter2?@host/app", "postgresql://me:***@host/app"),
        ("postgresql://me:hun#hunter2@host/app", "postgresql://me:***@host/app"),
        ("postgresql://host/app?user=me&password=hunter2&a=b",
         "postgresql://host/app?user=me&password=***&a=b"),
        ("postgresql://host/app?sslpassword=hunter2", "postgresql://host/app?sslpassword=***"),
        ("host=h password=hunter2 user=me", "host=h password=*** user=me"),
        ("host=h password = 'hun hunter2' user=me", "host=h password = *** user=me"),
        ("postgresql://me:hunter2@h1:1,h2:2/app", "postgresql://me:***@h1:1,h2:2/app"),
    ],
)  # fmt: skip
def test_a_dsn_is_shown_without_its_password(dsn, masked):
    assert mask_dsn(dsn) == masked


def test_settings_are_shown_without_passwords_and_still_have_them(file: Path):
    dsn = f"postgresql://me:{SECRET}@host/app"
    file.write_text(TABLES + f"target: {{dsn: '{dsn}', migrate_dsn: '{dsn}'}}\n", encoding="utf-8")

    settings = load(file, {})

    assert settings.target.dsn is not None
    assert settings.target.dsn.reveal() == dsn
    for shown in (str(settings), repr(settings), str(settings.target.dsn), f"{settings.target}"):
        assert SECRET not in shown
    assert SECRET not in str(settings.model_dump())
    assert SECRET not in settings.model_dump_json()
    assert "me:***@host" in settings.model_dump_json()


@pytest.mark.parametrize(
    "target",
    [
        f"target: {{dsn: '{SECRET}'}}",
        f"target: {{dsn: 'mysql://me:{SECRET}@host'}}",
        f"target: {{dsn: ['{SECRET}']}}",
        f"target: {{password: '{SECRET}'}}",
        f"target: {{password_secret: '{SECRET}'}}",
        f"target: 'postgresql://me:{SECRET}@host'",
        f"dsn: 'postgresql://me:{SECRET}@host'",
        f"http: {{port: 'postgresql://me:{SECRET}@host'}}",
        f'target: {{dsn: "postgresql://me:{SECRET}@host',
        f"target: {{dsn: postgresql://me:{SECRET}@host, dsn: 'postgresql://me:{SECRET}@host'}}",
    ],
)
def test_a_mistake_shows_no_password(file: Path, target: str):
    file.write_text(TABLES + target, encoding="utf-8")

    with pytest.raises(ConfigurationError) as raised:
        load(file, {})

    assert SECRET not in f"{raised.value} {raised.value.remedy} {raised.value!r}"


@pytest.mark.parametrize("name", ["TARGET__DSN", "TARGET", "TARGT__DSN", "TARGET__POOL_SIZE"])
def test_a_wrong_variable_shows_no_password(file: Path, name: str):
    file.write_text(TABLES, encoding="utf-8")

    with pytest.raises(ConfigurationError) as raised:
        load(file, {f"REPLICATOR_{name}": f"x://me:{SECRET}@host"})

    assert SECRET not in f"{raised.value} {raised.value.remedy}"
