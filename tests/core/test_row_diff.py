from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.core.mapping.compile_mapping import compile_target
from replicator.core.snapshot.scan_responses import may_exist
from replicator.core.stream_record import Image
from replicator.core.table_spec import KeyType, SourceKey, TargetSpec
from replicator.core.verify.key_sketch import BITS_MIN, KeyBuckets, KeySketch
from replicator.core.verify.row_diff import (
    Difference,
    FoundRow,
    MayBe,
    MustBe,
    MustNotBe,
    expectation,
    judge,
    shows_extra,
)
from tests.support.builders import target
from tests.support.specs import key_column_spec

KEY = SourceKey((("pk", "S"),))
KEYS: Image = {"pk": {"S": "a"}}
THERE = FoundRow(1, deleted=False)
DELETED = FoundRow(1, deleted=True)


def expected(image: Image | None, **options: Any) -> MustBe | MustNotBe | MayBe:
    return expectation(compile_target(target(**options), KEY), KEYS, image)


def item(**attributes: Any) -> Image:
    return {**KEYS, **attributes}


def test_an_item_must_be_its_row():
    assert expected(item(n={"N": "1"})) == MustBe(("a", "1"))


def test_without_an_item_there_must_be_no_row():
    assert expected(None) == MustNotBe(("a",))


def test_an_item_that_a_filter_leaves_out_must_have_no_row():
    assert expected(item(n={"N": "1"}), when={"n": 2}) == MustNotBe(("a",))


@pytest.mark.parametrize("policy", ["on_delete", "on_expire"])
def test_where_deletions_are_ignored_a_row_without_an_item_is_no_fault(policy: str):
    assert expected(None, **{policy: "ignore"}) == MayBe(("a",))
    assert not shows_extra(compile_target(target(**{policy: "ignore"}), KEY))


def test_nothing_is_said_of_the_row_of_an_item_that_does_not_fit():
    found = expected(item(n={"S": "x"}))

    assert isinstance(found, MayBe)
    assert found.key == ("a",)
    assert found.rejected is not None
    assert judge(found, THERE) is judge(found, None) is None


@pytest.mark.parametrize(("when", "is_rejected"), [(None, True), ({"kind": "elsewhere"}, False)])
def test_an_item_whose_key_does_not_fit_can_have_no_row(when: object, is_rejected: bool):
    key = (key_column_spec("id", "pk", "uuid"),)
    found = expectation(
        compile_target(TargetSpec("public.t", key=key, columns=(), when=when), KEY), KEYS, item()
    )

    assert isinstance(found, MayBe)
    assert found.key is None
    assert (found.rejected is not None) is is_rejected, (
        "an item of another target is no dead letter"
    )


def test_what_is_and_what_must_be_make_the_verdict():
    row, nothing = MustBe(("a", "1")), MustNotBe(("a",))

    assert judge(row, None) == Difference("missing")
    assert judge(row, THERE) is None
    assert judge(row, FoundRow(1, deleted=False, differing=("n",))) == Difference(
        "different", ("n",)
    )
    assert judge(nothing, None) is None
    assert judge(nothing, THERE) == Difference("extra")
    assert judge(nothing, DELETED) is None
    older = FoundRow(1, deleted=False, differing=("n",), older_mapping=True)
    assert judge(row, older) == Difference("different", ("n",), older_mapping=True)


def test_child_rows_without_a_row_are_extra_where_there_must_be_none():
    left = FoundRow(None, deleted=False, differing=("public.lines",))

    assert judge(MustNotBe(("a",)), left) == Difference("extra", ("public.lines",))
    assert judge(MustBe(("a", "1")), left) == Difference("missing")


@given(
    st.integers(0, 500),
    st.integers(0, 40),
    st.integers(0, 10_000),
    st.randoms(use_true_random=True),
)
def test_keys_of_one_side_only_are_in_the_buckets_that_differ(
    both: int, one: int, expected_keys: int, random: Random
):
    alone = [random.getrandbits(64) - 2**63 for _ in range(one)]
    shared = [random.getrandbits(64) - 2**63 for _ in range(both)] * 2
    sketch = KeySketch(expected_keys)
    for key_hash in [*shared, *alone]:
        sketch.add(key_hash)

    buckets = sketch.dirty()

    assert (buckets is None) == (not alone)
    assert buckets is None or all(in_buckets(buckets, key_hash) for key_hash in alone)


def in_buckets(buckets: KeyBuckets, key_hash: int) -> bool:
    number = key_hash & buckets.mask
    return bool(buckets.bitmap[number >> 3] >> (number & 7) & 1)


def test_a_sample_of_keys_has_about_the_share_that_was_asked_for():
    random = Random(3)
    buckets = KeyBuckets.sampled(0.1, random)
    hashes = [random.getrandbits(63) for _ in range(20_000)]

    share = sum(in_buckets(buckets, key_hash) for key_hash in hashes) / len(hashes)

    assert 0.08 < share < 0.12
    everything = KeyBuckets.sampled(1.0, random)
    assert all(in_buckets(everything, key_hash) for key_hash in hashes)


def test_the_memory_of_a_sketch_is_bounded_however_large_the_table():
    assert KeySketch(0).bits == BITS_MIN
    assert KeySketch(10**12).bits == 22


@pytest.mark.parametrize(
    ("kind", "attribute", "column", "cell"),
    [
        ("S", {"S": "ä\n"}, "text", "ä\n"),
        ("S", {"S": "2024-02-29"}, "date", "2024-02-29"),
        ("N", {"N": "-1.5"}, "numeric", "-1.50"),
        ("N", {"N": "100"}, "text", "100"),
        ("N", {"N": "7"}, "bigint", "7"),
        ("B", {"B": "AP8="}, "bytea", b"\x00\xff"),
    ],
)
def test_the_key_of_a_row_leads_back_to_the_key_of_its_item(
    kind: KeyType, attribute: dict[str, str], column: str, cell: str | bytes
):
    key = SourceKey((("pk", kind),))
    spec = TargetSpec("public.t", key=(key_column_spec("id", "pk", column),))

    assert compile_target(spec, key).item_keys((cell,)) == {"pk": attribute}


@pytest.mark.parametrize(
    ("kind", "value", "possible"),
    [
        ("S", "a", True),
        ("S", "", False),
        ("S", "ä" * 1024, True),
        ("S", "ä" * 1025, False),
        ("B", "", False),
        ("B", "AA==", True),
        ("N", "0", True),
        ("N", "1" * 38, True),
        ("N", "1" * 39, False),
        ("N", "1" + "0" * 125, True),
        ("N", "1" + "0" * 126, False),
        ("N", f"0.{'0' * 129}1", True),
        ("N", f"0.{'0' * 130}1", False),
    ],
)
def test_a_key_that_dynamodb_cannot_hold_is_not_asked_for(
    kind: KeyType, value: str, possible: bool
):
    assert may_exist({"pk": {kind: value}}, SourceKey((("pk", kind),))) is possible
