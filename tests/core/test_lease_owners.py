"""Which leases must be read, and by what an owner lives."""

from replicator.core.leases.lease_owners import (
    BeatSighting,
    WorkerSign,
    beating,
    beats_seen,
    doubtful,
    has_older_version,
    signs_of_life,
    stirred,
)
from replicator.core.leases.lease_plan import Lease, Sighting

LEASE_SECONDS = 20.0


def sign(worker: str, beat: int | None, *, seen_seconds: float = 0.0) -> WorkerSign:
    return WorkerSign(worker, beat, seen_seconds)


def test_a_beat_that_moves_is_seen_and_one_that_stands_grows_old():
    first = beats_seen({}, [sign("a", 1), sign("b", 1)], now=0.0)

    later = beats_seen(first, [sign("a", 2), sign("b", 1)], now=30.0)

    assert beating(later, now=30.0, lease_seconds=LEASE_SECONDS) == {"a"}


def test_time_in_which_nobody_looked_says_nothing():
    first = beats_seen({}, [sign("a", 1)], now=0.0)

    later = beats_seen(first, [sign("a", 1)], now=300.0, unseen_seconds=290.0)

    assert beating(later, now=300.0, lease_seconds=LEASE_SECONDS) == {"a"}


def test_only_what_nobody_vouches_for_is_doubtful():
    owners = {
        "other's": "other",
        "ours": "me",
        "just taken": None,
        "dead": "dead",
        "nobody's": None,
        "claimed by us": "me",
        "stolen": "other",
    }

    doubts = doubtful(
        owners, held={"ours", "just taken", "stolen"}, worker_id="me", beating={"me", "other"}
    )

    assert doubts == {"dead", "nobody's", "claimed by us", "stolen"}


def test_an_owner_that_moves_any_lease_lives_though_its_beat_stands():
    beats = {"a": BeatSighting(1, 0.0), "b": BeatSighting(1, 0.0)}
    before = {"one": Sighting("a", 5, 10.0), "two": Sighting("b", 5, 10.0)}
    after = {"one": Sighting("a", 6, 25.0), "two": Sighting("b", 5, 10.0)}
    rows = [Lease("one", "a", 6, ""), Lease("other of a", "a", 1, ""), Lease("two", "b", 5, "")]

    signs = signs_of_life(rows, after, stirred(beats, before, after, now=25.0), now=30.0)

    assert {key: seen.at for key, seen in signs.items()} == {
        "one": 25.0,
        "other of a": 25.0,
        "two": 0.0,
    }


def test_a_lease_that_was_just_taken_is_fresh_though_its_owners_beat_has_not_moved_yet():
    """It was cut off, and reaches the servers again."""
    beats = {"back": BeatSighting(1, 0.0)}
    rows = [Lease("new", "back", 6, ""), Lease("old", "back", 5, "")]
    seen = {"new": Sighting("back", 6, 25.0), "old": Sighting("back", 5, 20.0)}

    signs = signs_of_life(rows, seen, beats, now=25.0)

    assert {key: sighting.at for key, sighting in signs.items()} == {"new": 25.0, "old": 0.0}


def test_an_owner_that_has_not_claimed_the_shard_is_not_vouched_for_by_its_beat():
    """It may have taken the lease and lost it without a word; all others go by the claim."""
    beats = {"other": BeatSighting(7, 40.0)}
    rows = [Lease("claimed by us", "other", 5, ""), Lease("its own", "other", 5, "")]
    seen = {row.key: Sighting("other", 5, 10.0) for row in rows}

    signs = signs_of_life(rows, seen, beats, now=41.0, believed={"claimed by us"})

    assert {key: sighting.at for key, sighting in signs.items()} == {
        "claimed by us": 10.0,
        "its own": 40.0,
    }


def test_the_leases_of_an_owner_without_a_beat_live_by_their_own_counters():
    rows = [Lease("one", "older", 5, "")]
    seen = {"one": Sighting("older", 5, 10.0)}

    assert signs_of_life(rows, seen, {}, now=15.0) == seen


def test_every_lease_is_renewed_while_an_older_version_may_live():
    assert has_older_version([sign("a", 1), sign("older", None, seen_seconds=60)])
    assert not has_older_version([sign("a", 1), sign("older", None, seen_seconds=3600)])
