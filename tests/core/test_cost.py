"""What a record costs the worker, as a ratio to work that no change of ours can touch.

CPU of both is counted in one process, in turns, and the least of each is compared: a busy machine
makes both slower. The bounds are generous; what doubles a cost goes beyond them.
"""

import gc
import json
from collections.abc import Callable, Iterator
from time import process_time

import pytest

from replicator.core.planning.plan_batch import plan_batch
from replicator.core.planning.write_plan import WritePlan
from replicator.core.stream.decoding.dynamodb_records import decode_page
from replicator.postgres.write.statement_parameters import join_texts, transposed
from tests.benchmarks.forms import DOCUMENT, TYPED, WITH_REST, Form
from tests.benchmarks.load import base_orders, make_load
from tests.benchmarks.stages import READ_AT, mapping_of

RECORDS = 2000
TURNS = 7


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    load = make_load("mixed", RECORDS, base_orders(RECORDS))
    return [b'{"NextShardIterator":"x","Records":' + page + b"}" for page in load.pages()[0]]


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What else this process holds is not to be looked at in between."""
    gc.disable()
    yield
    gc.enable()


def ratio(work: Callable[[], object], reference: Callable[[], object]) -> float:
    """CPU of the work to that of the reference."""
    turns = [(seconds(work), seconds(reference)) for _ in range(TURNS)]
    ours, others = zip(*turns, strict=True)
    return min(ours) / min(others)


def seconds(work: Callable[[], object]) -> float:
    """CPU of this process."""
    started = process_time()
    work()
    return process_time() - started


def parse_and_write(bodies: list[bytes]) -> None:
    """The reference: the same pages by the standard library."""
    for body in bodies:
        json.dumps(json.loads(body))


def plans_of(bodies: list[bytes], form: Form) -> list[WritePlan]:
    mapping = mapping_of(form)
    return [plan_batch(decode_page(body).records, mapping, read_at=READ_AT) for body in bodies]


@pytest.mark.parametrize(
    ("form", "bound"),
    [(TYPED, 0.4), (DOCUMENT, 0.65), (WITH_REST, 0.55)],
    ids=["typed", "json", "rest"],
)
def test_decoding_and_planning_cost_what_they_did(bodies: list[bytes], form: Form, bound: float):
    mapping = mapping_of(form)

    def work() -> None:
        for body in bodies:
            plan_batch(decode_page(body).records, mapping, read_at=READ_AT)

    found = ratio(work, lambda: parse_and_write(bodies))

    assert found < bound


def test_handing_rows_over_costs_what_it_did(bodies: list[bytes]):
    rows = [plan.writes[0].upserted.rows for plan in plans_of(bodies, TYPED)]
    kinds = mapping_of(TYPED).targets[0].transports

    def work() -> None:
        for batch in rows:
            assert join_texts(transposed(batch), kinds) is not None

    found = ratio(work, lambda: parse_and_write(bodies))

    assert found < 0.02
