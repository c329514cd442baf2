"""What is published about the configuration is what the settings say."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from replicator.config import reference_page
from replicator.config.load_settings import load
from replicator.config.settings_keys import keys_outside_tables

ROOT = Path(__file__).parents[2]
EXAMPLE = Path(reference_page.__file__).with_name("example.yaml")

PROMISED = """\
version: 1
deployment: payments-prod
source:
  region: eu-west-1
  endpoint_url: null
  role_arn: null
coordination:
  table: replicator-leases
  lease_seconds: 20
target:
  dsn: postgresql://replicator@localhost:5432/app
  migrate_dsn: null
  iam_auth: false
  pooler: none
  control_schema: replicator
  pool_size: 4
http: {host: 127.0.0.1, port: 8080}
log: {level: info, format: json}
poll: {idle_seconds_max: 1.0}
snapshot: {read_units_per_second: 500}
defaults: {rest: extra}
tables:
  orders:
    initial_load: snapshot
    on_gap: stop
    max_dead_letters: 1000
    into:
      public.orders:
        when: {sk: {begins_with: "ORDER#"}}
        key:
          order_id: {from: pk}
          line: {from: sk}
        columns:
          customer: {from: customer.name, type: text}
          total: numeric(12,2)
          placed: {from: placedAt, type: timestamptz, format: epoch_ms}
          tags: text[]
        rest: extra
        on_delete: delete
        on_expire: delete
        on_error: dead_letter
        history: public.orders_history
"""
"""All that the contract shows."""


def published() -> dict[str, object]:
    return json.loads((ROOT / reference_page.SCHEMA_PATH).read_text(encoding="utf-8"))


def test_the_published_schema_is_that_of_the_settings():
    assert (ROOT / reference_page.SCHEMA_PATH).read_text(
        encoding="utf-8"
    ) == reference_page.schema_text()


def test_the_guide_is_that_of_the_settings():
    assert (ROOT / reference_page.GUIDE_PATH).read_text(encoding="utf-8") == reference_page.guide()


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(published())


@pytest.mark.parametrize("text", [PROMISED, EXAMPLE.read_text(encoding="utf-8")])
def test_schema_and_settings_accept_what_is_documented(text: str, tmp_path: Path):
    path = tmp_path / "replicator.yaml"
    path.write_text(text, encoding="utf-8")

    jsonschema.validate(yaml.safe_load(text), published())
    settings = load(path, {})

    assert settings.table_specs()["orders"].targets[0].target == "public.orders"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("deployment:", "deploymnt:"),
        ("region:", "regoin:"),
        ("port:", "prt:"),
        ("initial_load: snapshot", "initial_load: all"),
        ("on_delete:", "on_delte:"),
        ("type: text", "typ: text"),
        ("from: pk", "form: pk"),
        ("lease_seconds: 20", "lease_seconds: soon"),
        ("  orders:\n", "  my orders:\n"),
    ],
)
def test_the_schema_rejects_a_typo(right: str, wrong: str):
    assert right in PROMISED

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(PROMISED.replace(right, wrong)), published())


@pytest.mark.parametrize("text", ["http:", "defaults:", "tables: {a: {into: {b: }}}"])
def test_the_schema_lets_a_group_be_empty(text: str):
    configuration = yaml.safe_load(PROMISED) | yaml.safe_load(text)

    jsonschema.validate(configuration, published())


def test_every_key_is_described():
    silent = [path for path, field in keys_outside_tables() if not field.description]

    assert silent == []
    assert "|  |\n" not in reference_page.guide()
