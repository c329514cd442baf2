"""A configuration is read as a whole: what it says, and everything that is wrong with it."""

from pathlib import Path

import pytest

from replicator.config.load_settings import load, load_for_new_tables
from replicator.config.mistakes import WrongConfiguration
from replicator.core.table_spec import TableSpec, TargetSpec
from replicator.errors import ConfigurationError
from tests.support.specs import column_spec, key_column_spec

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/app"
ROLE = "arn:aws:iam::123456789012:role/reader"
MINIMAL = """\
deployment: payments-test
tables:
  orders:
    into: {public.orders: {}}
"""


@pytest.fixture
def configured(tmp_path: Path):
    """Load a text as a file, below an environment."""

    def load_text(text: str, environ: dict[str, str] | None = None):
        path = tmp_path / "replicator.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ or {})

    return load_text


@pytest.fixture
def mistakes_of(configured):
    """What is wrong with a text: line, key and fault of each mistake."""

    def find(text: str, environ: dict[str, str] | None = None) -> list[tuple[str, str]]:
        with pytest.raises(WrongConfiguration) as raised:
            configured(text, environ)
        return [
            (mistake.where.rpartition(":")[2], f"{mistake.path[-1:]} {mistake.fault}")
            for mistake in raised.value.mistakes
        ]

    return find


def message_of(configured, text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as raised:
        configured(text, environ)
    return f"{raised.value}\n{raised.value.remedy}"


def test_the_least_configuration_has_a_default_for_all_but_where_data_goes(configured):
    settings = configured(MINIMAL)

    assert settings.deployment == "payments-test"
    assert settings.target.dsn is None
    assert settings.coordination.table == "replicator-leases"
    assert settings.coordination.lease_seconds == 20
    assert settings.table_specs() == {
        "orders": TableSpec("orders", "orders", (TargetSpec("public.orders"),))
    }


def test_a_table_says_all_that_a_mapping_can(configured):
    settings = configured("""\
deployment: payments-test
defaults: {rest: extra, on_delete: soft}
tables:
  orders:
    table: arn:aws:dynamodb:eu-west-1:123456789012:table/web-orders
    initial_load: stream
    on_gap: continue
    max_dead_letters: 5
    into:
      public.orders:
        when: {sk: {begins_with: "ORDER#"}}
        key:
          order_id: {from: pk}
          line: {from: '"s.k"', type: bigint}
        columns:
          customer: {from: customer.name, type: text, nul: strip, on_invalid: "null"}
          total: numeric(12,2)
          a.b: {type: timestamptz, format: epoch_ms}
        on_delete: ignore
      public.documents:
""")

    assert settings.table_specs()["orders"] == TableSpec(
        "orders",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/web-orders",
        (
            TargetSpec(
                "public.orders",
                when={"sk": {"begins_with": "ORDER#"}},
                key=(key_column_spec("order_id", "pk"), key_column_spec("line", "s.k", "bigint")),
                columns=(
                    column_spec("customer", "customer.name", "text", None, "null", "strip"),
                    column_spec("total", '"total"', "numeric(12,2)"),
                    column_spec("a.b", '"a.b"', "timestamptz", "epoch_ms"),
                ),
                rest="extra",
                on_delete="ignore",
            ),
            TargetSpec("public.documents", on_delete="soft"),
        ),
        initial_load="stream",
        on_gap="continue",
        max_dead_letters=5,
    )


def test_a_target_that_says_null_has_none_of_the_default(configured):
    settings = configured("""\
deployment: payments-test
defaults: {rest: extra}
tables:
  orders: {into: {public.orders: {columns: {a: text}, rest: null}}}
""")

    assert settings.table_specs()["orders"].targets[0].rest is None


def test_a_default_may_be_an_empty_map_or_list(configured):
    settings = configured(
        MINIMAL.replace(
            "{}", "{columns: {a: {type: jsonb, default: {}}, b: {type: 'text[]', default: []}}}"
        )
    )

    [target] = settings.table_specs()["orders"].targets
    found = {column.name: (column.default, column.empty) for column in target.columns or ()}
    assert found == {"a": (None, "{}"), "b": (None, "[]")}


def test_without_defaults_what_no_column_takes_is_dropped(configured):
    settings = configured(MINIMAL.replace("{}", "{columns: {a: text}}"))

    assert settings.table_specs()["orders"].targets[0].rest is None


def test_a_number_of_a_condition_keeps_all_its_digits(configured):
    digits = "0.12345678901234567890123456789012345678"
    settings = configured(MINIMAL.replace("{}", f"{{when: {{price: {{gt: {digits}}}}}}}"))

    condition = settings.table_specs()["orders"].targets[0].when
    assert str(condition["price"]["gt"]) == digits


def test_words_that_older_yaml_turns_into_something_else_stay_words(configured):
    settings = configured(
        MINIMAL.replace("{}", "{when: {state: no}, columns: {on: text, 5: text}}")
    )

    target = settings.table_specs()["orders"].targets[0]
    assert target.when == {"state": "no"}
    assert [column.name for column in target.columns] == ["on", "5"]


def test_a_merged_mapping_is_beneath_what_is_said_beside_it(configured):
    settings = configured("""\
deployment: payments-test
tables:
  orders: {into: {public.orders: &target {columns: {a: text}, on_delete: soft}}}
  users: {into: {public.users: {<<: *target, on_delete: ignore}}}
""")

    target = settings.table_specs()["users"].targets[0]
    assert (target.columns, target.on_delete) == ((column_spec("a", '"a"', "text"),), "ignore")


def test_a_table_is_where_it_says_itself_then_where_its_arn_and_then_where_all_are(configured):
    settings = configured("""\
deployment: payments-test
source: {region: eu-west-1, role_arn: "arn:aws:iam::123456789012:role/reader"}
coordination: {region: eu-north-1, role_arn: null}
tables:
  here: {into: {a: {}}}
  by-arn:
    table: arn:aws:dynamodb:us-east-1:123456789012:table/there
    into: {b: {}}
  elsewhere:
    source: {region: ap-south-1, endpoint_url: "http://127.0.0.1:8000"}
    into: {c: {}}
""")

    role = "arn:aws:iam::123456789012:role/reader"
    assert settings.source_of("here").model_dump(exclude_none=True) == {
        "region": "eu-west-1",
        "role_arn": role,
    }
    assert settings.source_of("by-arn").region == "us-east-1"
    assert settings.source_of("elsewhere").model_dump(exclude_none=True) == {
        "region": "ap-south-1",
        "endpoint_url": "http://127.0.0.1:8000",
        "role_arn": role,
    }
    assert settings.coordination_source().model_dump(exclude_none=True)["region"] == "eu-north-1"
    assert settings.coordination_source().role_arn is None


def test_all_mistakes_are_reported_at_once_with_their_lines(mistakes_of):
    found = mistakes_of("""\
version: 2
deploymnt: x
http: {port: 99999}
target:
  pool_size: many
  pool_size: 3
tables:
  orders:
    into:
      public.orders:
        columns: {a: txt, b: {from: "..", type: text}}
        on_delte: soft
      public.users:
""")

    assert found == [
        ("1", "('version',) must be 1, not 2"),
        ("1", "('deployment',) is missing"),
        ("2", "('deploymnt',) is not a known key"),
        ("3", "('port',) must be at most 65535, not 99999"),
        ("5", "('pool_size',) must be a whole number, not 'many'"),
        ("6", "('pool_size',) is there twice"),
        ("11", "('type',) the type 'txt' is not known"),
        ("11", "('from',) the path '..' cannot be read"),
        ("12", "('on_delte',) is not a known key"),
    ]


@pytest.mark.parametrize(
    ("text", "fault", "remedy"),
    [
        ("deploymnt: x", "deploymnt: is not a known key", "did you mean `deployment`?"),
        ("dsn: x", "dsn: is not a known key", "there is `target.dsn`"),
        ("http: [1]", "http: must be a mapping, not a list", "write `key: value` lines"),
        ("http: {host: 1}", "http.host: must be text, not 1", "put it in quotes"),
        ("log: {level: loud}", "must be debug, info, warning or error, not 'loud'", ""),
        ("poll: {idle_seconds_max: soon}", "must be a number, not 'soon'", ""),
        ("coordination: {lease_seconds: 0.1}", "must be at least 0.5, not 0.1", ""),
        ("target: {iam_auth: perhaps}", "must be true or false, not 'perhaps'", ""),
        ("target: {dsn: a, dsn_file: b}", "target.dsn: is no DSN", "postgresql://user@host"),
        (
            "target: {dsn: 'postgresql://h/d', dsn_file: b}",
            "dsn and dsn_file contradict each other",
            "keep one of them",
        ),
        ("source: {region: 'eu west'}", "source.region: is not of the right form", "eu-west-1"),
        (
            "target: {application_name: réplicator}",
            "target.application_name: is not of the right form",
            "replicator",
        ),
        ("target: {control_schema: ''}", "target.control_schema: the control schema", "name"),
        ("guard: {retention_hours: 3}", "must be at least 24", ""),
    ],
)
def test_a_mistake_names_its_key_what_is_wrong_and_what_to_do(configured, text, fault, remedy):
    message = message_of(configured, MINIMAL + text)

    assert fault in message
    assert remedy in message


@pytest.mark.parametrize(
    ("target", "fault", "remedy"),
    [
        ("{columns: auto}", "needs `rest`", "add `rest: extra`"),
        ("{columns: {a: nmeric}}", "nmeric", "numeric"),
        ("{columns: {a: }}", "columns.a.type: is missing", "add `type: "),
        ("{columns: {a: {type: text, format: epoch_s}}}", "has no `format`", "timestamptz"),
        ("{columns: {a: text, A: text}}", "'a' and 'A'", "rename one"),
        ("{columns: {a: text}, rest: a}", "'a' and 'a'", "rename one"),
        ("{columns: {xmin: text}}", "xmin is one of PostgreSQL's own columns", "another name"),
        (f"{{columns: {{{'x' * 64}: text}}}}", "longer than 63 bytes", "another name"),
        ("{columns: {data: text}, key: {data: text}}", "'data' and 'data'", "rename one"),
        ("{rest: extra}", "rest: has no place", "add `columns: {}`"),
        ("{key: {}}", "key: is empty", "leave the key out"),
        ("{key: {a: {from: b.c}}}", "a key column takes a whole one", "double quotes"),
        ("{when: {a: {begin_with: x}}}", "unknown operator 'begin_with'", "begins_with"),
        ("{when: []}", "where a condition is needed", "begins_with"),
        ("{history: a.b.c}", "no table name", "schema.table"),
        ("{history: public.orders}", "writes public.orders, which", "one source table"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(configured, target, fault, remedy):
    message = message_of(configured, MINIMAL.replace("{}", target))

    assert fault in message
    assert remedy in message


def test_columns_cannot_appear_in_a_table_that_lambda_writes(configured):
    table = "{poller: lambda, into: {public.orders: {columns: auto, rest: extra}}}"

    message = message_of(configured, f"deployment: payments-test\ntables: {{orders: {table}}}\n")

    assert "cannot be `auto` with `poller: lambda`: a function keeps its mapping" in message
    assert "list the columns, or use document mode or `rest`" in message


def test_a_target_has_one_source_table_however_it_is_written(mistakes_of):
    found = mistakes_of("""\
deployment: payments-test
tables:
  orders: {into: {public.orders: {}}}
  invoices: {into: {orders: {}}}
""")

    assert found == [("4", "('orders',) writes public.orders, which tables.orders writes already")]


@pytest.mark.parametrize(
    "others",
    [
        """'a."b.c"': {}""",
        """o: {history: 'a."b.c"'}""",
        """o: {children: {'a."b.c"': {from: l, value: {x: text}}}}""",
    ],
)
def test_two_targets_that_would_share_a_name_are_refused(configured, others: str):
    dotted = f"""\
deployment: payments-test
tables:
  orders: {{into: {{'"a.b".c': {{}}}}}}
  others: {{into: {{{others}}}}}
"""

    message = message_of(configured, dotted)

    assert ":4: tables.others.into." in message
    assert 'writes "a"."b.c", and tables.orders writes "a.b"."c": both are called a.b.c' in message
    assert "rename the schema or the table that has a dot" in message
    assert configured(dotted.replace('"a.b".c', '"a.b".d')).tables


@pytest.mark.parametrize("path", ["ttl", "'\"ttl\"'"])
@pytest.mark.parametrize("treatment", ["hash", "mask", "drop"])
def test_the_time_to_live_that_tells_expiries_cannot_be_hidden(
    configured, path: str, treatment: str
):
    hidden = f"""\
deployment: payments-test
hashing: {{salt_file: salt}}
tables:
  orders:
    expire_attribute: ttl
    personal: {{email: {treatment}, {path}: {treatment}}}
    into: {{public.orders: {{on_expire: soft}}}}
"""

    message = message_of(configured, hidden)

    assert ":6: tables.orders.personal." in message
    assert "hides the `expire_attribute`: no deletion would count as an expiry" in message
    assert "leave the attribute out of `personal`" in message
    assert configured(hidden.replace("expire_attribute: ttl", "expire_attribute: until")).tables


@pytest.mark.parametrize(
    ("orders", "customers"),
    [
        ("table: app", "table: app"),
        ("table: app", "table: app, source: {region: eu-west-1}"),
        (f"table: '{ARN}'", f"table: '{ARN}', source: {{role_arn: '{ROLE}'}}"),
    ],
)
def test_a_table_is_read_by_one_entry(mistakes_of, orders: str, customers: str):
    found = mistakes_of(f"""\
deployment: payments-test
source: {{region: eu-west-1}}
tables:
  orders: {{{orders}, into: {{orders: {{}}}}}}
  customers: {{{customers}, into: {{customers: {{}}}}}}
""")

    [(line, message)] = found
    assert line == "5"
    assert "which tables.orders reads already" in message


def test_tables_of_one_name_may_be_in_two_places(configured):
    settings = configured(f"""\
deployment: payments-test
source: {{region: eu-west-1}}
tables:
  orders: {{table: app, into: {{orders: {{}}}}}}
  others: {{table: app, source: {{region: us-east-1}}, into: {{others: {{}}}}}}
  third: {{table: '{ARN}', into: {{third: {{}}}}}}
""")

    assert len(settings.tables) == 3


def test_tables_that_contradict_each_other_are_found_beside_other_mistakes(mistakes_of):
    found = mistakes_of("""\
deployment: payments-test
htp: {}
tables:
  orders: {into: {public.orders: {}}}
  invoices: {into: {public.orders: {}}}
  broken: {into: 5}
""")

    assert [line for line, _ in found] == ["2", "5", "6"]


def test_a_name_that_no_table_can_have_needs_the_table_s_own(configured, mistakes_of):
    short = MINIMAL.replace("orders:\n", "o:\n")

    assert mistakes_of(short) == [("3", "('o',) cannot be the name of a DynamoDB table")]
    assert configured(short + "    table: orders\n").table_specs()["o"].table == "orders"


def test_an_arn_and_a_region_that_differ_are_refused(mistakes_of):
    found = mistakes_of("""\
deployment: payments-test
tables:
  orders:
    table: arn:aws:dynamodb:us-east-1:123456789012:table/there
    source: {region: eu-west-1}
    into: {public.orders: {}}
""")

    assert found == [("5", "('region',) is eu-west-1, and the table's ARN says us-east-1")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1", "is not YAML"),
        ("a: &a [*a]", "holds too much"),
        ("a: !!python/object:os.system x", "has a YAML tag"),
        ("- a", "must be a mapping"),
        ("just text", "must be a mapping"),
        ("a: \x01", "is not YAML"),
        ("[" * 60 + "]" * 60, "holds too much"),
    ],
)
def test_what_is_no_configuration_at_all_is_one_mistake(configured, text, fault):
    assert fault in message_of(configured, text)


def test_aliases_that_multiply_are_stopped(configured):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    assert "holds too much" in message_of(configured, "\n".join(lines))


def test_a_merge_of_what_is_no_mapping_is_a_mistake_with_its_line(mistakes_of):
    found = mistakes_of("""\
deployment: payments-test
tables:
  orders: {into: {public.orders: &soft {on_delete: soft}}}
  users:
    into:
      public.users:
        <<: soft
      public.others:
        <<:
          - *soft
          - 5
      public.third: {<<: }
""")

    assert found == [(line, "('<<',) merges what is no mapping") for line in ("7", "11", "12")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{pages_max: 4, pages_max: 5}", "('pages_max',) is there twice"),
        ("{<<: 5}", "('<<',) merges what is no mapping"),
    ],
)
def test_a_mistake_of_yaml_in_a_variable_is_told(mistakes_of, text: str, fault: str):
    assert [found for _, found in mistakes_of(MINIMAL, {"REPLICATOR_POLL": text})] == [fault]


def test_a_file_without_a_key_lacks_what_is_required(mistakes_of):
    found = mistakes_of("version: 1")

    assert [fault for _, fault in found] == [
        "('deployment',) is missing",
        "('tables',) is missing",
    ]


@pytest.mark.parametrize("text", ["", "\n", "# a comment alone\n"])
def test_an_empty_file_says_which_command_proposes_one(configured, tmp_path: Path, text: str):
    message = message_of(configured, text)

    file = tmp_path / "replicator.yaml"
    assert f"{file}:1" in message
    assert "is empty" in message
    assert f"`replicator init --table NAME >{file}`" in message


def test_the_file_is_named_by_argument_then_environment_then_habit(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("argument", "variable", "replicator"):
        text = MINIMAL.replace("payments-test", name)
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    environ = {"REPLICATOR_CONFIG": "variable.yaml"}

    assert load(Path("argument.yaml"), environ).deployment == "argument"
    assert load(None, environ).deployment == "variable"
    assert load(None, {}).deployment == "replicator"


def test_a_file_that_is_not_there_cannot_be_read_or_is_no_text_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="there is no configuration at") as missing:
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(ConfigurationError, match=r"latin.yaml:2: is not UTF-8 text"):
        load(tmp_path / "latin.yaml", {})

    assert "--config" in (missing.value.remedy or "")


def test_settings_cannot_be_changed(configured):
    settings = configured(MINIMAL)

    with pytest.raises(ValueError, match="frozen"):
        settings.http.port = 1


def test_a_catch_all_that_cannot_work_is_named_with_its_line(mistakes_of):
    found = mistakes_of("""\
deployment: payments-test
tables:
  orders:
    unmatched: public.others
    into:
      public.orders: {when: {sk: PROFILE}}
""")

    assert found == [
        (
            "4",
            "('unmatched',) `unmatched` names public.others, which is not below `into`",
        )
    ]


def test_columns_parts_and_children_that_do_not_fit_are_all_named_with_their_lines(mistakes_of):
    found = mistakes_of("""\
deployment: payments-test
tables:
  orders:
    personal: {email: hash}
    into:
      public.orders:
        split: {sk: "ORDER#{year}#{number}"}
        key:
          pk: text
          year: {part: yaer}
        columns:
          total: {type: bigint, constant: many}
          status: {type: boolean, transform: lower}
          kind: {part: kind, type: text}
        children:
          public.lines:
            from: lines
            columns:
              quantity: {type: bigint, default: 1.5}
          public.tags:
            from: tags
            value: {tag: text}
            rest: more
      public.notes:
        split: {a: "{x}", b: "{x}"}
        columns: {}
""")

    assert [(line, fault.partition(" ")[0]) for line, fault in found] == [
        ("4", "('personal',)"),
        ("10", "('year',)"),
        ("12", "('total',)"),
        ("13", "('status',)"),
        ("14", "('kind',)"),
        ("19", "('quantity',)"),
        ("20", "('public.tags',)"),
        ("25", "('split',)"),
    ]


def test_a_configuration_without_tables_says_where_new_ones_are(tmp_path: Path):
    file = tmp_path / "place.yaml"
    file.write_text("deployment: shop\nsource: {region: eu-west-1}\n")
    environ = {"REPLICATOR_SOURCE__ENDPOINT_URL": "http://127.0.0.1:8000"}

    settings, deployment = load_for_new_tables(file, environ)
    of_environment, _ = load_for_new_tables(None, environ)

    assert (deployment, settings.source.region) == ("shop", "eu-west-1")
    assert settings.source.endpoint_url == of_environment.source.endpoint_url
    assert of_environment.source.region is None


def test_a_deployment_that_nobody_named_has_no_name_yet(tmp_path: Path):
    file = tmp_path / "place.yaml"
    file.write_text("source: {region: eu-west-1}\n")
    said = {"REPLICATOR_DEPLOYMENT": "unnamed"}

    unnamed = [load_for_new_tables(path, {})[1] for path in (file, None)]
    of_environment = load_for_new_tables(file, said)[1]
    file.write_text("deployment: unnamed\n")

    assert unnamed == [None, None]
    assert of_environment == load_for_new_tables(file, {})[1] == "unnamed"


def test_a_file_that_the_shell_has_emptied_is_named_unless_only_the_environment_names_it(
    tmp_path: Path,
):
    file = tmp_path / "replicator.yaml"
    file.write_text("")

    with pytest.raises(ConfigurationError, match="is empty") as refused:
        load_for_new_tables(file, {})

    assert refused.value.remedy == "print into another file than the one that `--config` reads"
    assert load_for_new_tables(None, {"REPLICATOR_CONFIG": str(file)})[0].source.region is None
    file.write_text("source: {regio: eu-west-1}")
    with pytest.raises(ConfigurationError, match="regio"):
        load_for_new_tables(None, {"REPLICATOR_CONFIG": str(file)})
