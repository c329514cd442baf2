"""A shard that finds no room for its page leaves the page at the source until there is some."""

from datetime import timedelta

from replicator.engine.stream.read_and_commit_progress import ReadProgress
from tests.support.builders import record
from tests.support.virtual_time import START

CREATED = START - timedelta(seconds=5)


def test_a_page_that_is_put_back_still_waits_for_its_commit():
    proof = ReadProgress(0.0)
    page = [record(1, "a", at=CREATED, n={"N": "1"})]

    proof.was_read(page, ended=False, now=1.0)
    proof.put_back()
    assert proof.pending is not None
    assert proof.pending.since == 1.0

    proof.was_read(page, ended=False, now=9.0)
    assert proof.pending.since == 1.0
    proof.committed()
    assert proof.pending is None


def test_a_page_that_is_gone_when_it_is_read_again_is_not_pending():
    proof = ReadProgress(0.0)
    proof.was_read([record(1, "a", at=CREATED, n={"N": "1"})], ended=False, now=1.0)
    proof.put_back()

    proof.was_read([], ended=False, now=2.0)

    assert proof.pending is None
