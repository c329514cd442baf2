"""Diagnosis of a table: it is well, or one link of the chain is the first not proved. Pure.

A table is well only while fresh evidence proves every link: it is configured and registered;
nothing stops it; a worker that lives has it, with the registered mapping; that worker polls the
leases and lists the source; every unfinished shard has an owner that reads it; what was read is
committed; every shard that ended has children; nothing older than a minute is unapplied. Nothing
here asks what went wrong: a fault that nobody has thought of takes away the evidence, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Literal

from replicator.core.status.deployment_status import Status, TableStatus
from replicator.core.status.duration_words import in_words
from replicator.core.status.table_progress import TOLD_SECONDS, Standing, TableProgress

Verdict = Literal["well", "behind", "stopped", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("well", "behind", "stopped", "unknown")
ProblemSeverity = Literal["critical", "warning", "note"]

WORKER_SECONDS = 60.0
"""A worker that was not heard of for so long counts as none."""
LOOK_SECONDS = 60.0
"""Workers poll leases and tables every five seconds or oftener."""
LOOK_FAILED_SECONDS = 20.0
"""Bound on a look while looks fail for a known reason: leases of the usual length are over."""
UNOWNED_SECONDS = 60.0
"""A shard finds another owner within the lease's 20 seconds and two looks."""
COMMIT_SECONDS = 10.0
"""Bound on the wait for the commit of what was read."""
REFUSED_SECONDS = 3.0
"""Bound on the wait for a commit after a failed attempt for a known reason."""
END_SECONDS = 90.0
"""A child appears in a listing within a minute."""
END_UNLISTED_SECONDS = 20.0
"""Bound on the wait for a child while listings fail for a known reason."""
SEGMENT_SECONDS = 90.0
"""A segment of a snapshot waits for the source, which the read budget may delay."""
LAG_SECONDS = 60.0
STATUS_SECONDS = 30.0
"""A status that is older proves nothing: PostgreSQL does not answer."""


WORKED_ON_ELSEWHERE = (
    "not in this configuration, and a living worker works on it: another configuration has the "
    "same `deployment`"
)
ONE_DEPLOYMENT_EACH = (
    "put the tables of both into one configuration, or give one of the two another `deployment`; "
    "a worker that runs an older version of this configuration is to be restarted"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem that a person should know of. `table` None: not of one table. `remedy`:

    a command, or advice in words. `since_seconds` None: the beginning is not known.
    """

    severity: ProblemSeverity
    kind: str
    table: str | None
    what: str
    remedy: str
    since_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """The first link of a table's chain that is not proved, and what that makes of the table."""

    verdict: Verdict
    problem: Problem


def broken_link(table: TableStatus, status: Status) -> Broken | None:
    """The first link that is not proved; None: the table is well."""
    for link in (_registered, _not_stopped, _read_by_workers, _worked_on, _moving):
        broken = link(table, status)
        if broken is not None:
            return broken
    return None


def verdict_of(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a deployment: that of the worst table."""
    order: Mapping[Verdict, int] = {"stopped": 3, "behind": 2, "unknown": 1, "well": 0}
    return max(verdicts, key=lambda verdict: order[verdict], default="well")


def strangers(table: TableStatus) -> Iterable[Problem]:
    """Workers that hold another mapping of the table, beside workers with the registered one."""
    return () if table.proof.told_seconds is None else to_restart(table)


def to_restart(table: TableStatus) -> list[Problem]:
    """Each living worker that holds another mapping of the table, and what is to be done."""
    return [
        _stranger(table, worker, revision, "warning") for worker, revision in table.proof.strangers
    ]


def worked_on(table: TableStatus) -> bool:
    """True while a living worker has the table, with whichever mapping."""
    told = table.proof.told_seconds
    return bool(table.proof.strangers) or (told is not None and told <= WORKER_SECONDS)


# The links, in the order of the chain


def _registered(table: TableStatus, _: Status) -> Broken | None:
    name = table.source
    if table.configured == "not registered":
        what = "in the configuration, but not registered yet: nothing of it is replicated"
        return Broken(
            "stopped", Problem("critical", "unregistered", name, what, "replicator migrate")
        )
    if table.configured == "not configured" and worked_on(table):
        problem = Problem("note", "unconfigured", name, WORKED_ON_ELSEWHERE, ONE_DEPLOYMENT_EACH)
        return Broken("unknown", problem)
    if table.configured == "not configured":
        what = "not in the configuration any more: its positions stay until it is forgotten"
        remedy = f"replicator forget --table {quote(name)}"
        return Broken("stopped", Problem("note", "unconfigured", name, what, remedy))
    return None


def _not_stopped(table: TableStatus, _: Status) -> Broken | None:
    if table.state not in ("halted", "gap", "paused"):
        return None
    severity: ProblemSeverity = "note" if table.state == "paused" else "critical"
    what, remedy = table.reason or table.state, table.remedy or "replicator status"
    if len(table.gaps) > 1 and table.state == "gap":
        what += f", and {len(table.gaps) - 1} more: see `replicator gaps list`"
    return Broken(
        "stopped", Problem(severity, table.state, table.source, what, remedy, table.stopped_seconds)
    )


def _read_by_workers(table: TableStatus, status: Status) -> Broken | None:
    if status.read_failure is not None or status.read_seconds_ago > STATUS_SECONDS:
        return _unanswered(status)
    if not table.needs_workers:
        what = "AWS Lambda reads its stream: how far it is, its event source mapping knows alone"
        remedy = "see IteratorAge in CloudWatch, and docs/operations/lambda.md"
        return Broken("unknown", Problem("note", "lambda", table.source, what, remedy))
    return None


def _unanswered(status: Status) -> Broken:
    ago = in_words(status.read_seconds_ago)
    why = _why(status.read_failure)
    what = f"PostgreSQL has not answered for {ago}, and nothing newer is known of any table{why}"
    advice = status.read_remedy or "see that PostgreSQL can be reached"
    remedy = f"{advice}; work goes on by itself when PostgreSQL answers"
    return Broken(
        "unknown", Problem("critical", "target", None, what, remedy, status.read_seconds_ago)
    )


def _worked_on(table: TableStatus, status: Status) -> Broken | None:
    proof, name = table.proof, table.source
    if not any(worker.seen_seconds_ago < WORKER_SECONDS for worker in status.workers):
        return _unseen(table)
    if proof.told_seconds is None or proof.told_seconds > WORKER_SECONDS:
        return _nobody(table, status)
    looked_within = LOOK_SECONDS if proof.look_failure is None else LOOK_FAILED_SECONDS
    if proof.looked_seconds is None or proof.looked_seconds > looked_within:
        if _is_old_word(proof.looked_seconds, looked_within, proof.told_seconds, status):
            return _unheard_workers(table, status)
        since = _for(proof.looked_seconds, "yet")
        what = f"leases and tables were not polled{since}{_why(proof.look_failure)}"
        remedy = proof.look_remedy or "see the workers' log, and `replicator check`"
        return Broken(
            "unknown", Problem("warning", "look", None, what, remedy, proof.looked_seconds)
        )
    if proof.listed_seconds is None or proof.listed_seconds > proof.listed_seconds_max:
        since = _for(proof.listed_seconds, "yet")
        what = f"the shards of its stream were not listed{since}{_why(proof.listing_failure)}"
        remedy = proof.listing_remedy or "replicator check"
        return Broken(
            "unknown", Problem("warning", "listing", name, what, remedy, proof.listed_seconds)
        )
    return None


def _unseen(table: TableStatus) -> Broken:
    """No worker was seen; but a shard is polled by one that cannot write the row."""
    polled = table.proof.polled_seconds
    if polled is None or polled > WORKER_SECONDS:
        what = f"none was seen within the last {WORKER_SECONDS:g} s"
        return Broken("stopped", Problem("critical", "workers", None, what, "replicator run"))
    what = (
        f"its shards are polled, {in_words(polled)} ago at last, by a worker that cannot write its "
        "row in the table `worker` of the control schema: how far it is cannot be told"
    )
    remedy = (
        "see `task failed` in the worker's log, and give the role of target.dsn the rights that "
        "`replicator check` names"
    )
    return Broken("unknown", Problem("warning", "silent", table.source, what, remedy))


def _nobody(table: TableStatus, status: Status) -> Broken:
    """Workers live, and none has shown work on the table with the registered mapping."""
    proof, name = table.proof, table.source
    if proof.strangers:
        worker, revision = proof.strangers[0]
        return Broken("stopped", _stranger(table, worker, revision, "critical"))
    if proof.elsewhere:
        why = _why(proof.look_failure)
        what = f"worker {proof.elsewhere[0]} does not work on it, and no other does{why}"
        remedy = proof.look_remedy or (
            "see that the workers' configuration has it, and `replicator check`, then restart them"
        )
        return Broken("stopped", Problem("critical", "left_out", name, what, remedy))
    if proof.starting:
        return _starting(proof, name)
    if proof.silent:
        what = f"worker {proof.silent[0]} does not say what it does: it is of another version"
        remedy = "run the same version of replicator everywhere"
        return Broken("unknown", Problem("warning", "silent", None, what, remedy))
    return _unheard_workers(table, status)


def _unheard_workers(table: TableStatus, status: Status) -> Broken:
    if status.read_seconds_ago > TOLD_SECONDS:
        return _unanswered(status)
    told = table.proof.told_seconds
    what = f"nothing was heard of its workers{_for(told, 'at all')}"
    remedy = "see that its workers run and reach PostgreSQL, and their log"
    return Broken("unknown", Problem("warning", "silent", table.source, what, remedy, told))


def _starting(proof: TableProgress, name: str) -> Broken:
    worker = proof.starting[0]
    if proof.look_failure is None:
        return Broken("unknown", Problem("note", "starting", name, f"worker {worker} begins", ""))
    what = f"worker {worker} cannot begin{_why(proof.look_failure)}"
    remedy = proof.look_remedy or "see the worker's log, and `replicator check`"
    return Broken("stopped", Problem("critical", "starting", name, what, remedy))


def _stranger(
    table: TableStatus, worker: str, revision: int | None, severity: ProblemSeverity
) -> Problem:
    registered = table.proof.revision
    if revision is None:
        what = f"worker {worker} runs a mapping that is not registered; registered is {registered}"
        remedy = (
            "give it the configuration that `replicator migrate` was run with last and restart it,"
            " or run `replicator migrate` if its own is the newer one"
        )
    else:
        what = f"worker {worker} runs mapping {revision}, registered is {registered}: restart it"
        remedy = f"restart worker {worker} with the configuration that was registered"
    return Problem(severity, "mapping", table.source, what, remedy)


def _moving(table: TableStatus, status: Status) -> Broken | None:
    proof, name = table.proof, table.source
    for standing, bound, kind, verb, remedy in _standings(proof):
        if standing is not None and standing.seconds > bound:
            if _is_old_word(standing.seconds, bound, standing.told_seconds, status):
                return _unheard(table, standing, _shards(standing), status)
            return _stands(name, standing, kind, f"{_shards(standing)} {verb}", remedy)
    if table.lag_seconds is None or not (proof.open_shards or proof.ends):
        what = "no shard of its stream is known yet"
        return Broken("unknown", Problem("note", "listing", name, what, ""))
    if table.lag_seconds > LAG_SECONDS:
        what = f"changes of {in_words(table.lag_seconds)} ago are not applied, or may not be"
        remedy = "see docs/runbook.md#replicatorlaghigh if it does not shrink"
        return Broken("behind", Problem("warning", "lag", name, what, remedy, table.lag_seconds))
    if table.state == "snapshot":
        return _standing_segment(table, status) or _loading(table)
    return None


def _is_old_word(
    seconds: float | None, bound: float, told_seconds: float | None, status: Status
) -> bool:
    """True where an age is beyond the bound only because the evidence is old."""
    word = max(told_seconds or 0.0, status.read_seconds_ago)
    return seconds is not None and word > TOLD_SECONDS and seconds - word <= bound


def _unheard(table: TableStatus, standing: Standing, shards: str, status: Status) -> Broken:
    """The owner has not told lately, or the status is old: neither source nor target is blamed."""
    if status.read_seconds_ago > TOLD_SECONDS:
        return _unanswered(status)
    owner, told = standing.owner, standing.told_seconds
    late = table.lag_seconds is not None and table.lag_seconds > LAG_SECONDS
    seen = next((each.seen_seconds_ago for each in status.workers if each.id == owner), None)
    if seen is not None and seen > TOLD_SECONDS:
        what = f"worker {owner} was last seen {in_words(seen)} ago, and has {shards}"
        remedy = (
            "see whether that worker runs: where it does not, another one takes over, or is to be "
            "started with `replicator run`"
        )
    else:
        what = f"worker {owner} has not said for {in_words(told)} how far it is with {shards}"
        remedy = "see the worker's log, and that it reaches PostgreSQL"
    problem = Problem("warning", "silent", table.source, what, remedy, told)
    return Broken("behind" if late else "unknown", problem)


def _stands(name: str, standing: Standing, kind: str, what: str, remedy: str) -> Broken:
    what = f"{what} {in_words(standing.seconds)}{_why(standing.failure)}"
    advice = standing.remedy or remedy
    return Broken("behind", Problem("warning", kind, name, what, advice, standing.seconds))


def _standing_segment(table: TableStatus, status: Status) -> Broken | None:
    """The segment of the snapshot under way that does not move, and why."""
    proof, name = table.proof, table.source
    segment = proof.uncommitted_segment
    if segment is not None and segment.seconds > _commit_bound(segment):
        if _is_old_word(segment.seconds, _commit_bound(segment), segment.told_seconds, status):
            return _unheard(table, segment, f"{segment.shard_id} of the snapshot", status)
        what = f"{segment.shard_id} of the snapshot is read and cannot be committed, for"
        return _stands(
            name, segment, "uncommitted", what, "see docs/runbook.md#replicatornoprogress"
        )
    segment = proof.unread_segment
    if segment is not None and segment.seconds > SEGMENT_SECONDS:
        if _is_old_word(segment.seconds, SEGMENT_SECONDS, segment.told_seconds, status):
            return _unheard(table, segment, f"{segment.shard_id} of the snapshot", status)
        what = f"{segment.shard_id} of the snapshot got no answer of the source for"
        return _stands(name, segment, "unread", what, "replicator check")
    return None


def _commit_bound(standing: Standing) -> float:
    return COMMIT_SECONDS if standing.failure is None else REFUSED_SECONDS


def _standings(proof: TableProgress) -> Iterable[tuple[Standing | None, float, str, str, str]]:
    runbook = "see docs/runbook.md#replicatornoprogress"
    ended = "ended, with none known that follows, for"
    listed = proof.ends is None or proof.ends.failure is None
    yield proof.ends, END_SECONDS if listed else END_UNLISTED_SECONDS, "ends", ended, runbook
    run = "start more workers with `replicator run`, or see the workers' log"
    yield proof.unowned, UNOWNED_SECONDS, "unowned", "may be read and nobody does, for", run
    check = "replicator check"
    yield proof.unread, proof.read_seconds_max, "unread", "got no answer of the source for", check
    held = "read and cannot be committed, for"
    bound = COMMIT_SECONDS if proof.uncommitted is None else _commit_bound(proof.uncommitted)
    yield proof.uncommitted, bound, "uncommitted", held, runbook


def _loading(table: TableStatus) -> Broken:
    snapshot = table.snapshot
    if snapshot is None or snapshot.state == "asked":
        what = "a snapshot is due and has not begun"
    elif snapshot.state == "refused":
        what, remedy = (
            table.reason or "the deletion of stale rows waits for a person",
            table.remedy or "",
        )
        return Broken("stopped", Problem("critical", "snapshot", table.source, what, remedy))
    else:
        of = "" if snapshot.items_estimated is None else f" of about {snapshot.items_estimated:,}"
        left = snapshot.seconds_left
        soon = "" if left is None else f", about {in_words(left)} left"
        share = f"{int(snapshot.done_share * 100)} %"
        what = f"the snapshot has read {snapshot.items:,}{of} items, {share}{soon}"
        if snapshot.detail is not None:
            what += f": {snapshot.detail}"
    return Broken("behind", Problem("note", "snapshot", table.source, what, ""))


def _shards(standing: Standing) -> str:
    more = f" and {standing.count - 1} more shards" if standing.count > 1 else ""
    return f"shard {standing.shard_id}{more}"


def _for(seconds: float | None, never: str) -> str:
    return f" {never}" if seconds is None else f" for {in_words(seconds)}"


def _why(failure: str | None) -> str:
    return "" if failure is None else f": {failure}"
