"""The verbs of a test: make tables, plan faults, move the clock, read the journal."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Literal

from tests.support.scripted_streams.faults import (
    Aim,
    Cut,
    Delay,
    EmptyPage,
    Fault,
    Faults,
    Hold,
    Refuse,
    SlowBody,
    WrongChecksum,
)
from tests.support.scripted_streams.journal import Entry, Journal
from tests.support.scripted_streams.model import AfterTrimmed, TrimmedShards, World
from tests.support.scripted_streams.shards import Tree
from tests.support.scripted_streams.tables import Table

TABLE_VERBS = frozenset(
    {
        *("put", "update", "delete", "expire", "append", "records", "all_items", "load_items"),
        *("shard_id", "shard_ids", "open_shards", "owner", "split", "roll_over", "close"),
        *("listing", "end_with", "trim", "forget", "drop", "recreate"),
        *("start_stream", "disable_stream", "enable_stream", "arn", "stream_arn"),
    }
)
VERBS = frozenset(
    {
        *("fail", "cut", "slow", "delay", "wrong_checksum", "empty_pages", "hold", "release"),
        *("heal", "pending_faults", "advance", "now", "after_trimmed", "expire_iterators"),
        *("calls", "count", "clear_journal"),
    }
)


class ScriptedStreams:
    """A running server, seen by a test in the same process.

    Verbs that plan faults take `operation` ("*" for any) and, to aim: `table`, `shard` (its
    number), `continued` (True: only further pages of a listing or scan), `containing` (a part of
    the request's body); and how often: `times` (None: until `heal`), `skip` calls spared first,
    `probability` with its `seed`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, hours_behind: float = 0) -> None:
        self.world = World(clock=clock)
        self.world.move(-hours_behind * 3600, trimmed_shards="stay")
        self.faults = Faults()
        self.journal = Journal()
        self.endpoint_url = ""
        self.on_release: Callable[[], None] = lambda: None
        self.on_close: Callable[[], Awaitable[None]] | None = None

    async def close(self) -> None:
        """Stop serving."""
        if self.on_close is not None:
            await self.on_close()

    async def __aenter__(self) -> "ScriptedStreams":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def table(
        self,
        name: str,
        *,
        key: Mapping[str, str] | None = None,
        shards: Tree = 1,
        view: str | None = "NEW_AND_OLD_IMAGES",
        counter: int = 1,
    ) -> Table:
        """Make a table with an enabled stream (`view` None: without); see shards.parents for trees.

        `counter` is the upper part of the roots' starting sequence numbers.
        """
        key = key or {"pk": "S"}
        return self.world.add_table(name, key=key, view=view, shards=shards, counter=counter)

    # faults

    def fail(self, operation: str, error: str = "InternalServerError", **aim: Any) -> None:
        """Answer with an error; "ServiceUnavailable" is a 503 that is not JSON."""
        self._plan(operation, Refuse(error), **aim)

    def cut(
        self, operation: str, where: Literal["request", "answer", "body"] = "answer", **aim: Any
    ) -> None:
        """Break the connection: "request" before the work is done, else after it."""
        self._plan(operation, Cut(where), **aim)

    def slow(self, operation: str, seconds: float, *, pieces: int = 4, **aim: Any) -> None:
        """Send the body in pieces with a pause before each."""
        self._plan(operation, SlowBody(seconds, pieces), **aim)

    def delay(self, operation: str, seconds: float, **aim: Any) -> None:
        self._plan(operation, Delay(seconds), **aim)

    def wrong_checksum(self, operation: str, **aim: Any) -> None:
        self._plan(operation, WrongChecksum(), **aim)

    def empty_pages(self, times: int | None = 1, **aim: Any) -> None:
        """GetRecords answers pages without records before it goes on at the same place."""
        self._plan("GetRecords", EmptyPage(), times=times, **aim)

    def hold(self, operation: str, **aim: Any) -> None:
        """Let calls wait until `release`."""
        self._plan(operation, Hold(), **aim)

    def release(self) -> None:
        """Let everything go on that is held now."""
        self.on_release()

    def heal(self, operation: str | None = None) -> None:
        """Forget the faults planned for an operation, or all; what is held goes on."""
        self.faults.clear(operation)
        self.release()

    def pending_faults(self) -> int:
        """How many plans have not been used up."""
        return self.faults.pending()

    # time

    def now(self) -> float:
        return self.world.now()

    def advance(self, *, trimmed_shards: TrimmedShards = "vanish", **duration: float) -> None:
        """Move the clock (hours=25, minutes=-10): records, shards and iterators grow old.

        Closed shards that are past the retention vanish, or stay listed and answer `not_found` or
        `trimmed`, or just `stay`, empty.
        """
        self.world.move(timedelta(**duration).total_seconds(), trimmed_shards=trimmed_shards)

    def after_trimmed(self, behaviour: AfterTrimmed) -> None:
        """AFTER a trimmed record: refuse with TrimmedDataAccessException or skip silently."""
        self.world.after_trimmed = behaviour

    def expire_iterators(self) -> None:
        self.world.expire_iterators()

    # journal

    def calls(self, operation: str | None = None, **which: Any) -> list[Entry]:
        """The calls received, oldest first; which: table, shard, since (an entry's number)."""
        return list(self.journal.entries(operation, **which))

    def count(self, operation: str | None = None, *, outcome: str | None = None) -> int:
        """How many calls there were, since the start or the last clear_journal."""
        return self.journal.count(operation, outcome=outcome)

    def clear_journal(self) -> None:
        self.journal.clear()

    # over HTTP

    def perform(self, request: Mapping[str, Any]) -> Any:
        """Do `{"verb", "table", "positional", "arguments"}` and return what JSON can hold."""
        verb, name = str(request["verb"]), request.get("table")
        positional = request.get("positional") or []
        given = dict(request.get("arguments") or {})
        if verb == "table" or (name is not None and "shards" in given):
            given["shards"] = _tree(given.get("shards", 1))
        if verb == "table":
            self.table(*positional, **given)
            return None
        target: object = self if name is None else self.world.tables[name]
        if verb not in (VERBS if name is None else TABLE_VERBS):
            raise ValueError(f"unknown verb: {verb}")
        found = getattr(target, verb)
        result = found(*positional, **given) if callable(found) else found
        return [asdict(entry) for entry in result] if verb == "calls" else result

    def _plan(
        self,
        operation: str,
        fault: Fault,
        *,
        table: str | None = None,
        shard: int | None = None,
        continued: bool | None = None,
        containing: str | None = None,
        probability: float = 1.0,
        **often: Any,
    ) -> None:
        often.setdefault("times", 1 if probability == 1.0 else None)
        aim = Aim(operation, table, shard, continued, containing)
        self.faults.add(aim, fault, probability=probability, **often)


def _tree(given: Any) -> Tree:
    """A tree after JSON made its keys text."""
    return given if isinstance(given, int) else {int(shard): its for shard, its in given.items()}
