"""No item that a stranger can write takes a worker's time or memory, whatever the mapping is."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest

from replicator.core.mapping.child_tables import ROWS_SIZE_MAX
from replicator.core.mapping.compile_mapping import compile_table
from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import decode_event, decode_page
from replicator.core.table_spec import TableSpec, TargetSpec
from replicator.errors import UnknownRecord
from tests.core.adversarial_items import KEY, record_of, written
from tests.support.bounds import USUAL_SECONDS
from tests.support.specs import child_spec, column_spec
from tests.support.warm_start import ROOT

ITEM = 400_000
"""Bytes of the largest item that DynamoDB keeps."""
HUGE = "1e131071"


def planned(target: TargetSpec, value: object, key: str = "k") -> WritePlan:
    mapping = compile_table(TableSpec("t", "t", (target,)), KEY)
    return plan_batch([record_of(key, written(value))], mapping, read_at=1.0)


@pytest.mark.parametrize("one_in", [6, pytest.param(1, marks=pytest.mark.wide)])
def test_no_item_takes_more_than_linear_time_or_memory_under_any_mapping(one_in: int):
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.adversarial_items", str(one_in)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=USUAL_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    tried = done.stdout.splitlines()
    assert {"numeric[] number", "jsonb json", "child rows by name", "paths", "when"} <= {*tried}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (column_spec("v", "v", "jsonb", transform=("json",)), {"S": f"[1,{HUGE}]"}),
        (column_spec("v", "v", "numeric[]", transform=("number",)), {"L": [{"S": HUGE}]}),
        (column_spec("v", "v", "numeric[]"), {"NS": [HUGE]}),
        (column_spec("v", "v", "text[]"), {"L": [{"N": HUGE}]}),
    ],
    ids=["json", "list of strings", "set", "list of numbers"],
)
def test_a_number_of_many_whose_exponent_stands_for_thousands_of_zeros_is_set_aside(column, value):
    plan = planned(TargetSpec("public.t", columns=(column,)), value)

    [letter] = plan.dead_letters
    assert "more than 400 zeros" in letter.reason


def test_a_number_alone_in_a_column_may_have_all_digits_of_numeric():
    column = column_spec("v", "v", "numeric", transform=("number",))

    plan = planned(TargetSpec("public.t", columns=(column,)), {"S": HUGE})

    assert plan.writes[0].upserted.rows == [("k", "1" + "0" * 131_071)]


def test_numbers_of_dynamodb_and_of_doubles_are_kept_in_lists_and_documents():
    column = column_spec("v", "v", "numeric[]", transform=("number",))
    numbers = ["9.9e125", "1e-130", "5e-324", "1.7976931348623157e308"]

    plan = planned(
        TargetSpec("public.t", columns=(column,)), {"L": [{"S": each} for each in numbers]}
    )

    assert plan.dead_letters == ()
    assert plan.outcomes


def test_an_item_that_becomes_child_rows_beyond_all_measure_is_set_aside():
    child = child_spec("public.c", "v", value=column_spec("w", "w", "jsonb"))
    target = TargetSpec("public.t", columns=(), children=(child,))
    elements = {"L": [{"NULL": True}] * (ITEM // 2)}

    [letter] = planned(target, elements, key="k" * 2000).dead_letters
    assert "becomes rows of more than 32 MB" in letter.reason

    fits = planned(target, elements)
    assert fits.dead_letters == ()
    [[rows]] = fits.writes[0].upserted.children
    assert len(rows) == ITEM // 2
    assert sum(map(len, map(str, rows))) < ROWS_SIZE_MAX


@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_a_record_that_is_nested_as_no_item_is_one_error(levels):
    value = '{"L":[' * levels + "]}" * levels
    change = f'{{"Keys":{{"pk":{{"S":"k"}}}},"SequenceNumber":"1","NewImage":{{"v":{value}}}}}'
    records = f'[{{"eventName":"MODIFY","dynamodb":{change}}}]'

    with pytest.raises(UnknownRecord, match="nested"):
        decode_page(f'{{"Records":{records}}}'.encode())
    with pytest.raises(UnknownRecord, match="nested"):
        decode_event(records.encode())


@pytest.mark.parametrize("hidden", [(), (("v", "hash"),), (("v[0]", "mask"),)])
@pytest.mark.parametrize("when", [None, {"v": {"exists": True}}])
def test_an_image_that_is_nested_too_deeply_for_one_step_is_set_aside_or_applied(hidden, when):
    mapping = compile_table(
        TableSpec(
            "t",
            "t",
            (TargetSpec("public.t", when=when, history="public.h"),),
            personal=hidden,
            salt=b"s" * 32,
        ),
        KEY,
    )
    for levels in range(300, 480, 20):
        value = '{"L":[' * levels + '{"S":"x"}' + "]}" * levels
        record = record_of("k", value)
        plan = deeper(150, partial(plan_batch, [record], mapping, read_at=1.0))
        assert sum(plan.outcomes.values()) == 1


def deeper(calls: int, work: Callable[[], WritePlan]) -> WritePlan:
    """A batch is planned further down the stack than its page was decoded."""
    return work() if calls == 0 else deeper(calls - 1, work)
