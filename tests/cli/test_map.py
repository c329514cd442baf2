"""`replicator map` shows what items become, with nothing but a configuration."""

import io
import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from replicator.cli import main

MAPPED = """\
deployment: d
tables:
  orders:
    into:
      public.orders:
        when: {sk: {begins_with: "ORDER#"}}
        key: {order_id: {from: pk}, line: {from: sk}}
        columns: {total: "numeric(12,2)", placed: {type: timestamptz, format: epoch_ms}}
        rest: extra
"""
DOCUMENTS = "deployment: d\ntables: {orders: {into: {public.documents: }}}\n"
ITEM = {"pk": {"S": "a"}, "sk": {"S": "ORDER#1"}, "total": {"N": "12.50"}}
ROW = {"order_id": "a", "line": "ORDER#1", "total": 12.5, "placed": None, "extra": {}}


class Input(io.TextIOWrapper):
    def __init__(self, text: str) -> None:
        super().__init__(io.BytesIO(text.encode("utf-8", "surrogatepass")))


@pytest.fixture
def replicator(tmp_path: Path, monkeypatch, capsys):
    """Run `replicator map --table orders`: exit code, lines of stdout, stderr."""

    def run(configuration: str, text: str, *arguments: str) -> tuple[int, list[str], str]:
        (tmp_path / "replicator.yaml").write_text(configuration, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["replicator", "map", "--table", "orders", *arguments])
        monkeypatch.setattr(sys, "stdin", Input(text))
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out.splitlines(), shown.err

    return run


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ITEM),
        json.dumps([ITEM], indent=2),
        json.dumps({"Items": [ITEM], "Count": 1, "ScannedCount": 1}),
        json.dumps({"Item": ITEM}, indent=4),
    ],
)
def test_items_are_read_in_every_shape_that_people_have(replicator, text: str):
    code, lines, _ = replicator(MAPPED, text)

    assert code == 0
    assert [json.loads(line) for line in lines] == [{"target": "public.orders", "row": ROW}]


def test_items_may_follow_each_other_in_any_shape(replicator):
    text = f"{json.dumps(ITEM)}\n\n{json.dumps([ITEM, ITEM])} {json.dumps({'Items': [ITEM]})}"

    code, lines, _ = replicator(MAPPED, text)

    assert (code, len(lines)) == (0, 4)


def test_no_items_are_no_rows(replicator):
    assert replicator(MAPPED, " \n") == (0, [], "")


def test_an_item_with_an_attribute_called_item_is_an_item(replicator):
    text = json.dumps({"pk": {"S": "a"}, "Item": {"M": {}}, "Items": {"L": []}})

    _, lines, _ = replicator(DOCUMENTS, text, "--keys", "pk:S")

    assert json.loads(lines[0])["row"] == {"pk": "a", "data": {"Item": {}, "Items": []}}


def test_an_item_that_does_not_belong_to_a_target_is_filtered(replicator):
    code, lines, _ = replicator(MAPPED, json.dumps(ITEM | {"sk": {"S": "USER#1"}}))

    assert (code, json.loads(lines[0])) == (0, {"target": "public.orders", "filtered": True})


def test_what_does_not_convert_is_rejected_with_attribute_and_column(replicator):
    code, lines, _ = replicator(
        MAPPED, json.dumps(ITEM | {"total": {"N": "1.005"}}) + json.dumps(ITEM)
    )

    rejected, mapped = (json.loads(line) for line in lines)
    assert code == 1
    assert rejected.keys() == {"target", "rejected"}
    assert "attribute 'total', column 'total'" in rejected["rejected"]
    assert mapped["row"] == ROW


@pytest.mark.parametrize(
    "item",
    [
        {"pk": {"S": "a"}},
        ITEM | {"total": "12"},
        ITEM | {"total": {"N": 12}},
        ITEM | {"total": {"S": "\ud83d"}},
        ITEM | {"other": {"S": "\ud83d"}},
        ITEM | {"other": {"S": "a\0b"}},
    ],
)
def test_what_no_table_could_hold_is_rejected_and_never_a_traceback(replicator, item):
    code, lines, errors = replicator(MAPPED, json.dumps(item))

    assert code == 1
    assert "rejected" in json.loads(lines[0])
    assert errors == ""


def test_every_type_of_value_is_shown_as_the_row_holds_it(replicator):
    digits = "1234567890123456789012345678.9012345678"
    item = {
        "pk": {"B": "AAEC"},
        "sk": {"N": "007"},
        "n": {"N": digits},
        "tiny": {"N": "1E-130"},
        "b": {"B": "/+8="},
        "yes": {"BOOL": True},
        "at": {"N": "1700000000123"},
        "words": {"SS": ['quo"te', "back\\slash", "comma,{}", ""]},
        "numbers": {"NS": ["2", digits]},
        "bytes": {"BS": ["AAE=", ""]},
        "list": {"L": [{"S": "a"}, {"NULL": True}]},
        "nothing": {"NULL": True},
        "deep": {"M": {"n": {"N": digits}}},
    }
    configuration = """\
deployment: d
tables:
  orders:
    into:
      public.orders:
        key: {id: {from: pk, type: bytea}, line: {from: sk, type: bigint}}
        columns:
          n: numeric
          tiny: numeric
          b: bytea
          "yes": boolean
          at: {type: timestamptz, format: epoch_ms}
          words: text[]
          numbers: numeric[]
          bytes: bytea[]
          list: text[]
          nothing: uuid
          deep: jsonb
"""

    code, lines, _ = replicator(configuration, json.dumps(item))

    row = json.loads(lines[0], parse_float=Decimal)["row"]
    at = row.pop("at")
    assert code == 0
    assert at.startswith("2023-11-14")
    assert row == {
        "id": "AAEC",
        "line": 7,
        "n": Decimal(digits),
        "tiny": Decimal("1E-130"),
        "b": "/+8=",
        "yes": True,
        "words": ["", "back\\slash", "comma,{}", 'quo"te'],
        "numbers": [2, Decimal(digits)],
        "bytes": ["", "AAE="],
        "list": ["a", None],
        "nothing": None,
        "deep": {"n": Decimal(digits)},
    }


def test_as_json_it_is_one_document(replicator):
    code, lines, _ = replicator(MAPPED, json.dumps([ITEM, ITEM | {"sk": {"S": "-"}}]), "--json")

    assert code == 0
    assert json.loads("\n".join(lines)) == {
        "schema_version": 1,
        "table": "orders",
        "items": [
            {"targets": [{"target": "public.orders", "row": ROW}]},
            {"targets": [{"target": "public.orders", "filtered": True}]},
        ],
    }


def test_the_key_is_asked_for_where_the_configuration_does_not_say_it(replicator):
    code, lines, errors = replicator(DOCUMENTS, json.dumps(ITEM))

    assert (code, lines) == (2, [])
    assert "does not say what the key of table orders is" in errors
    assert "--keys pk:S,sk:N" in errors


def test_the_key_can_be_given(replicator):
    item = json.dumps({"a:b": {"S": "x"}, "n": {"N": "1.50"}, "rest": {"N": "2"}})

    code, lines, _ = replicator(DOCUMENTS, item, "--keys", "a:b:S, n:n")

    assert code == 0
    assert json.loads(lines[0])["row"] == {"a:b": "x", "n": 1.5, "data": {"rest": 2}}


@pytest.mark.parametrize("keys", ["pk", "pk:T", "pk:S,pk:S", "a:S,b:S,c:S", "", ":S"])
def test_a_key_that_cannot_be_one_is_refused(replicator, keys: str):
    code, lines, errors = replicator(DOCUMENTS, json.dumps(ITEM), "--keys", keys)

    assert (code, lines) == (2, [])
    assert "such as --keys pk:S,sk:N" in errors


def test_the_type_of_a_key_attribute_is_that_of_the_items_where_no_column_tells(replicator):
    configuration = MAPPED.replace('when: {sk: {begins_with: "ORDER#"}}', "")
    item = json.dumps(ITEM | {"pk": {"N": "10"}, "sk": {"B": "AAE="}})

    code, lines, _ = replicator(configuration, item)

    row = json.loads(lines[0])["row"]
    assert code == 0
    assert (row["order_id"], row["line"]) == (10, "AAE=")


def test_a_key_that_is_not_of_the_declared_type_rejects_its_item(replicator):
    configuration = MAPPED.replace("{from: pk}", "{from: pk, type: bigint}")

    code, lines, _ = replicator(configuration, json.dumps(ITEM))

    assert code == 1
    assert "attribute 'pk', column 'order_id'" in json.loads(lines[0])["rejected"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"pk": ', "not JSON where a value begins in line 1"),
        (json.dumps(ITEM) + "\n\nhello", "not JSON where a value begins in line 3"),
        ("[" * 100_000, "not JSON"),
        ("3", "item 1 is not in DynamoDB's JSON"),
        ('{"pk": "a", "sk": "b"}', "item 1 is not in DynamoDB's JSON"),
    ],
)
def test_what_are_no_items_is_wrong_usage(replicator, text: str, message: str):
    code, lines, errors = replicator(MAPPED, text)

    assert (code, lines) == (2, [])
    assert message in errors
    assert "aws dynamodb scan" in errors


def test_child_rows_hidden_values_and_items_that_nobody_takes_are_shown(replicator):
    configuration = """
version: 1
deployment: test
tables:
  orders:
    personal: {email: mask}
    unmatched: dead_letter
    into:
      public.orders:
        when: {kind: order}
        key: {pk: text}
        columns: {email: text}
        children:
          public.tags: {from: tags, value: {tag: text}}
"""
    order = {
        "pk": {"S": "a"},
        "kind": {"S": "order"},
        "email": {"S": "ada@example.org"},
        "tags": {"L": [{"S": "new"}]},
    }
    note = {"pk": {"S": "b"}, "kind": {"S": "note"}}

    code, lines, _ = replicator(configuration, json.dumps(order) + json.dumps(note))

    shown, filtered, rejected = map(json.loads, lines)
    assert code == 1
    assert shown["row"] == {"pk": "a", "email": "***"}
    assert shown["children"] == {"public.tags": [{"pk": "a", "position": 0, "tag": "new"}]}
    assert filtered["filtered"] is True
    assert (rejected["target"], "belongs to no target" in rejected["rejected"]) == (
        "(unmatched)",
        True,
    )
