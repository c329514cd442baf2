"""A shard that finds no room for its page leaves the page at the source until there is some."""

from datetime import timedelta

from replicator.engine.stream.read_and_commit_progress import ReadAndCommitProgress
from tests.support.builders import record
from tests.support.virtual_time import START

CREATED = START - timedelta(seconds=5)


def test_a_page_that_is_put_back_still_waits_for_its_commit():
    read_progress = ReadAndCommitProgress(0.0)
    page = [record(1, "a", at=CREATED, n={"N": "1"})]

    read_progress.was_read(page, ended=False, now=1.0)
    read_progress.put_back()
    assert read_progress.pending is not None
    assert read_progress.pending.since == 1.0

    read_progress.was_read(page, ended=False, now=9.0)
    assert read_progress.pending.since == 1.0
    read_progress.committed()
    assert read_progress.pending is None


def test_a_page_that_is_gone_when_it_is_read_again_is_not_pending():
    read_progress = ReadAndCommitProgress(0.0)
    read_progress.was_read([record(1, "a", at=CREATED, n={"N": "1"})], ended=False, now=1.0)
    read_progress.put_back()

    read_progress.was_read([], ended=False, now=2.0)

    assert read_progress.pending is None
