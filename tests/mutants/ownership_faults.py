"""Faults in who owns what: heartbeats, doubts, and what is written of leases."""

from tests.mutants.mutant import Mutant

FLEET = "tests/scale/test_lease_owners.py"
KEEPER = "tests/engine/test_lease_keeper.py"
SCHEDULES = "tests/engine/test_schedules.py"
DOUBTS = "tests/core/test_lease_owners.py"
LEASES = "tests/core/test_lease_plan.py"
LOOKUP = "tests/engine/test_lease_owner_lookup.py"

HOLDING = "replicator/engine/worker/lease_keeper.py"
OWNERSHIP = "replicator/core/leases/lease_owners.py"
LOOKS = "replicator/engine/worker/lease_owner_lookup.py"

SHARES = "tests/core/test_fair_shares.py"
LINES = "tests/core/test_shard_lineage.py"
FENCED = "tests/contract/test_fence.py"

DESCRIBES = "tests/scale/test_describes.py"
LISTINGS = "tests/scale/test_listings.py"
TURNS = "replicator/postgres/control/stream/describe_stream_turns.py"
PACE = "replicator/sources/dynamodb/describe_stream_pace.py"
PURPOSES = "replicator/core/stream/describe_stream_quota.py"

BALANCE = "replicator/core/leases/fair_shares.py"
PLAN = "replicator/core/leases/lease_plan.py"

OWNERSHIP_MUTANTS = [
    Mutant(
        "a heartbeat vouches for leases of shards that are claimed by others",
        OWNERSHIP,
        """        if lease.key in believed:
            continue
""",
        "",
        SCHEDULES,
    ),
    Mutant(
        "the balance ignores the load",
        BALANCE,
        "return {key: IDLE + loads.get(key, 0.0) for key in keys}",
        "return dict.fromkeys(keys, IDLE)",
        SHARES,
    ),
    Mutant(
        "noise moves shards",
        BALANCE,
        "Fairness(share, UPSET * share * records, REST * share * records)",
        "Fairness(share, 0.0, 0.0)",
        SHARES,
    ),
    Mutant(
        "a worker asks for all that is missing at once",
        BALANCE,
        "enough = missing if missing <= 2 * fairness.upset else missing / 2",
        "enough = missing",
        LEASES,
    ),
    Mutant(
        "an owner gives more than it keeps",
        BALANCE,
        "found = giver.heaviest_below(min(spare * _LESS, fits))",
        "found = giver.heaviest_below(fits)",
        SHARES,
    ),
    Mutant(
        "hot shards stay together",
        BALANCE,
        "and len(giver.heavy) > 1",
        "and False",
        SHARES,
    ),
    Mutant(
        "a lease that was just taken is judged by a beat of before",
        OWNERSHIP,
        "if beat is not None and (seen is None or seen.at < now):",
        "if beat is not None:",
        DOUBTS,
    ),
    Mutant(
        "a lease that is handed over is whoever's has the least",
        PLAN,
        "and lease.owner is None and lease.wanted_by in owned",
        "and False",
        LEASES,
    ),
    Mutant(
        "loads count beside a worker that counts leases",
        OWNERSHIP,
        "all(sign.load is not None for sign in signs if sign.worker_id in living)",
        "True",
        "tests/scale/test_load.py",
    ),
    Mutant(
        "a child begins without its parents' load",
        "replicator/core/stream/shard_lineage.py",
        "return sum(parent.load or 0.0 for parent in _parents(shard, shards))",
        "return 0.0",
        LINES,
    ),
    Mutant(
        "a child is claimed without its parents' load",
        "replicator/postgres/control/stream/shard_claims.py",
        "load = coalesce(s.load, p.load, 0)",
        "load = coalesce(s.load, 0)",
        FENCED,
    ),
    Mutant(
        "a worker beats that does not reach the lease table",
        HOLDING,
        "        if self.reached and (fresh or not self.held):\n",
        "        if True:\n",
        KEEPER,
    ),
    Mutant(
        "a worker that slept believes in its leases",
        HOLDING,
        "        if self.seconds_left() <= 0:\n            self.drop(held.key)",
        "        if False:\n            self.drop(held.key)",
        KEEPER,
    ),
    Mutant(
        "the same leases are written again and again",
        HOLDING,
        "key=lambda held: held.renewed_at)[: int(self._writes)]",
        "key=lambda held: held.key)[: int(self._writes)]",
        KEEPER,
    ),
    Mutant(
        "leases are renewed too seldom for an older version",
        OWNERSHIP,
        "sign.beat is None and sign.seen_seconds < OLDER_SECONDS",
        "False and sign.seen_seconds < OLDER_SECONDS",
        FLEET,
    ),
    Mutant(
        "an owner whose beat stands is dead though it writes its leases",
        OWNERSHIP,
        "BeatSighting(seen.beat, now) if worker in alive else seen",
        "seen",
        FLEET,
    ),
    Mutant(
        "who beats seldom is robbed in a schedule of single calls",
        OWNERSHIP,
        "    return {\n        worker: BeatSighting(seen.beat, now) if",
        "    return {\n        worker: BeatSighting(seen.beat, seen.at) if",
        SCHEDULES,
    ),
    Mutant(
        "an owner that was not looked at is dead",
        LOOKS,
        "unseen = max(0.0, now - since - self._lease_seconds / 2)",
        "unseen = min(0.0, now - since)",
        LOOKUP,
    ),
    Mutant(
        "a lease whose claim says ours is nobody's business",
        OWNERSHIP,
        "else owner is None or owner == worker_id or owner not in beating",
        "else owner is None or owner not in beating",
        DOUBTS,
    ),
    Mutant(
        "a lease whose claim says another's is ours all the same",
        OWNERSHIP,
        "            owner not in (None, worker_id)\n",
        "            False\n",
        DOUBTS,
    ),
    Mutant(
        "what all believe to be ours waits for our share",
        "replicator/core/leases/lease_plan.py",
        "        or lease.key in believed\n",
        "",
        LEASES,
    ),
    Mutant(
        "who was fenced claims again without a look at its lease",
        "replicator/engine/worker/worker.py",
        "if began and not await self.holding.confirm(held.key):",
        "if False:",
        "tests/engine/test_schedules.py",
    ),
    Mutant(
        "a stream whose shards all ended is listed again and again",
        "replicator/postgres/control/stream/table_and_shard_store.py",
        "                          limit 1) as one\n",
        "                          limit 0) as one\n",
        "tests/postgres/test_open_shards.py",
    ),
    Mutant(
        "a call of DescribeStream counts until its answer alone",
        PACE,
        "call.until = asyncio.get_running_loop().time() + self._slower * SECOND",
        "call.until = asyncio.get_running_loop().time()",
        DESCRIBES,
    ),
    Mutant(
        "turns of other workers count for a second alone",
        PURPOSES,
        "OTHERS_SECONDS = 1.1",
        "OTHERS_SECONDS = 1.0",
        DESCRIBES,
    ),
    Mutant(
        "a worker counts its own calls twice",
        TURNS,
        "where taken <> all($6::timestamptz[])",
        "where $6::timestamptz[] is not null",
        "tests/postgres/test_describe_stream_turns.py",
    ),
    Mutant(
        "streams are listed every half minute, however many they are",
        "replicator/core/stream/listing_interval.py",
        "return max(at_least, sum(calls) / LISTING_CALLS_A_SECOND)",
        "return max(at_least, 0.0 * sum(calls))",
        LISTINGS,
    ),
    Mutant(
        "a listing is old after two minutes, however many streams there are",
        "replicator/core/stream/listing_interval.py",
        "return max(LISTING_SECONDS, LISTING_ROUNDS * every_seconds)",
        "return max(LISTING_SECONDS, 0.0 * every_seconds)",
        LISTINGS,
    ),
    Mutant(
        "a worker that beats no more believes in its leases by its writes",
        HOLDING,
        "since = min(since, self._beat_told_at)",
        "since = max(since, self._beat_told_at)",
        KEEPER,
    ),
    Mutant(
        "a worker whose calls of the lease table hang reads on",
        "replicator/engine/worker/worker.py",
        """            Job("give up", None, lambda: self._give_up(stopping)),\n""",
        "",
        FLEET,
    ),
    Mutant(
        "a listing of what is on record takes all that AWS allows",
        PURPOSES,
        "LISTING = Purpose(SHARED_CALLS_A_SECOND, rank=2, gives_way=True)",
        "LISTING = Purpose(CALLS_A_SECOND, rank=2, gives_way=True)",
        DESCRIBES,
    ),
    Mutant(
        "who lists for the first time waits behind who lists again",
        PURPOSES,
        "FIRST_LISTING = Purpose(CALLS_A_SECOND, rank=0)",
        "FIRST_LISTING = Purpose(CALLS_A_SECOND, rank=3)",
        DESCRIBES,
    ),
    Mutant(
        "a listing that gives way takes a turn that is not free",
        TURNS,
        " where not $5\n",
        " where $5 is not null\n",
        "tests/postgres/test_describe_stream_turns.py",
    ),
    Mutant(
        "a listing that waits for its turns is silent",
        "replicator/engine/worker/worker.py",
        "await self._control.listings.keep(table.name)",
        "pass",
        DESCRIBES,
    ),
    Mutant(
        "what ended or began changes nothing about which shards may be read",
        "replicator/engine/worker/table_runtime_state.py",
        "if before is None or _lineage_of(before) != _lineage_of(shard):",
        "if before is None:",
        "tests/engine/test_ready_units.py",
    ),
    Mutant(
        "a shard whose row has changed is polled as it was",
        "replicator/postgres/control/stream/table_and_shard_store.py",
        "if known is None or known[0] != row else known",
        "if known is None else known",
        "tests/postgres/test_open_shards.py",
    ),
    Mutant(
        "leases that heartbeats vouch for count for nobody",
        PLAN,
        "if owner != worker_id and key not in held and key in wanted:",
        "if False:",
        "tests/scale/test_fleet.py",
    ),
    Mutant(
        "a free lease that is another worker's at every look is nobody's",
        BALANCE,
        "if totals[worker_id] < (1 + UPSET) * share:",
        "if False:",
        LEASES,
    ),
    Mutant(
        "free leases are left to workers that do not reach the lease table",
        LOOKS,
        "taking=living - (self._beats.keys() - alive),",
        "taking=living,",
        "tests/scale/test_fleet.py"
        "::test_what_is_given_back_is_read_soon_although_a_worker_cannot_take_it",
    ),
    Mutant(
        "a worker that was silent takes leases before it beats",
        "replicator/engine/worker/worker.py",
        "if plan.take and await self._is_heard():",
        "if plan.take:",
        f"{FLEET}::test_workers_that_come_back_take_nothing_from_each_other",
    ),
    Mutant(
        "a worker takes a lease while it is giving it back",
        "replicator/engine/worker/worker.py",
        "wanted=dict.fromkeys(key for key in units if key not in self.holding.released),",
        "wanted=units,",
        f"{FLEET}::test_who_gives_a_lease_back_does_not_take_it_before_that_is_written",
    ),
    Mutant(
        "who asks for a busy lease is not seen as its checkpoint is saved",
        HOLDING,
        "            if lease.wanted_by is not None:",
        "            if not save and lease.wanted_by is not None:",
        f"{KEEPER}::test_an_owner_sees_who_asks_in_whatever_it_writes",
    ),
    Mutant(
        "what could not be given back is kept for as long as the worker lives",
        HOLDING,
        "due = self._perhaps_ours - {*wanted, *self.held, *self._releasing}",
        "due = set[str]()",
        f"{FLEET}::test_what_a_worker_cannot_give_back_and_may_not_read_is_given_back_later",
    ),
    Mutant(
        "the first refusal of the lease table ends a look",
        "replicator/engine/worker/worker.py",
        "REFUSALS_A_LOOK_MAX = 16",
        "REFUSALS_A_LOOK_MAX = 0",
        f"{FLEET}::test_workers_begin_and_take_over_although_half_of_that_is_refused",
    ),
    Mutant(
        "all who ask reach for the same one of equal heavy leases",
        BALANCE,
        "return [min(same, key=lambda key: _spread(key, worker_id))]",
        "return [max(same)]",
        "tests/scale/test_load.py"
        "::test_of_fewer_than_two_shards_for_each_worker_all_have_theirs_soon",
    ),
    Mutant(
        "leases are added in an order of chance",
        "replicator/engine/worker/worker.py",
        "due = [key for key in units if key in missing]",
        "due = [*missing]",
        "tests/scale/test_reproducible.py",
    ),
]
