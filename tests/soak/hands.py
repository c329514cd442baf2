"""What people do with the tables meanwhile: commands, typed while faults strike."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import product
from random import Random
from typing import Any

from tests.faults.replica import Replica
from tests.soak.comparing import settled
from tests.soak.kinds import Kind, Typed
from tests.support.daemon import Finished, Worker
from tests.support.waiting import eventually

VERBS = ("pause", "snapshot", "cancel", "repair", "replay")
UNEQUAL = ("missing", "extra", "different", "in_flight")
AWAY = 4
"""Exit code of a command that could not tell: a fault took its session or a server away."""
LIMIT = "alter table public.typed add constraint limited check ({check})"
NO_LIMIT = "alter table public.typed drop constraint if exists limited"


class Hands:
    """Plays every verb on every table once in random order, then again in another one."""

    def __init__(self, it: Replica, kinds: Sequence[Kind], seed: int) -> None:
        self._it = it
        self._kinds = kinds
        self._chance = Random(seed)
        self._cards: list[tuple[str, Kind | None]] = []
        self._gate = asyncio.Lock()
        self.done: Counter[str] = Counter()

    async def begin(self) -> None:
        """What is there before anything is written at random."""
        for typed in (kind for kind in self._kinds if isinstance(kind, Typed)):
            await self._limit(typed)

    async def until(self, stopping: asyncio.Event) -> None:
        """Do one thing after another, until told to stop."""
        while not stopping.is_set():
            async with self._gate:
                await self._act()
            await self._it.load.grows(self._chance.uniform(75, 300))

    @asynccontextmanager
    async def idle(self) -> AsyncIterator[None]:
        """Nothing of it is done for as long as the block runs."""
        async with self._gate:
            yield

    async def prove(self, workers: Sequence[Worker]) -> None:
        """Each table is as it must be, before and after what is untrue or refused is mended.

        Nothing strikes or is written meanwhile.
        """
        await settled(self._it, self._kinds, workers)
        await self._mend()
        await settled(self._it, self._kinds, workers)
        await self._damage_and_mend()
        for typed in (kind for kind in self._kinds if isinstance(kind, Typed)):
            taken = typed.raise_limit()
            await self._limit(typed)
            await self._retry(typed, taken=taken)
        await settled(self._it, self._kinds, workers)

    async def fix(self, workers: Sequence[Worker]) -> None:
        """The mapping of each typed table takes more, and what it refused is replayed.

        No worker runs any more.
        """
        for typed in (kind for kind in self._kinds if isinstance(kind, Typed)):
            entry = self._it.deployment.settings["tables"][typed.name]
            entry |= typed.entry(fixed=True)
            await self._it.execute(typed.FIX)
            await self._it.deployment.migrate()
            await self._retry(typed, taken=typed.fix())
        await settled(self._it, self._kinds, workers)

    async def _act(self) -> None:
        if not self._cards:
            self._cards = [("pause", None), *product(VERBS, self._kinds)]
            self._chance.shuffle(self._cards)
        verb, kind = self._cards.pop()
        if verb == "pause" or kind is None:
            await self._pause("orders" if kind is None else kind.name)
        elif verb == "snapshot":
            await self._load(kind)
        elif verb == "cancel":
            await self._load(kind)
            await self._until_done("snapshot", "--cancel", "--table", kind.name)
        elif verb == "repair":
            await self._repair(kind)
        else:
            await self._until_done(*_replay(kind), may=(0, 1))
        self.done[verb] += 1

    async def _mend(self) -> None:
        """Repair what is left untrue, once every load of a table has ended."""

        async def mended() -> bool:
            return await self._verify("--repair", *self._kinds) == {}

        await eventually(mended, what="all is repaired")
        for kind in self._kinds:
            kind.damaged.clear()

    async def _damage_and_mend(self) -> None:
        """Make rows of every table untrue, and repair them at once."""
        for kind in self._kinds:
            await self._damage(kind)
        before = await self._verify(None, *self._kinds)
        assert before is not None, "nothing keeps verify from telling"
        for kind in self._kinds:
            found = [before[target] for target in kind.targets if target in before]
            keys = {each["key"]["pk"]["S"] for result in found for each in result["examples"]}
            assert keys == kind.damaged, found
        left = await self._verify("--repair", *self._kinds)
        assert left == {}, left
        for kind in self._kinds:
            kind.damaged.clear()

    async def _retry(self, kind: Kind, *, taken: int) -> None:
        """Try what is open again: so many are taken now, and the others refused as before."""
        done = await self._it.deployment.command(*_replay(kind), "--json")
        tried = Counter(each["outcome"] for each in json.loads(done.stdout)["dead_letters"])
        refused = len(kind.letters())
        assert tried == +Counter({"replayed": taken, "refused": refused}), (done.text, refused)
        assert done.code == (1 if refused else 0), done.text

    async def _limit(self, typed: Typed) -> None:
        """PostgreSQL checks numbers as `Typed.check` says."""
        await self._it.execute(NO_LIMIT)
        await self._it.execute(LIMIT.format(check=typed.check))

    async def _pause(self, name: str) -> None:
        await self._until_done("pause", "--table", name)
        await self._it.load.grows(self._chance.uniform(75, 450))
        await self._until_done("resume", "--table", name)

    async def _load(self, kind: Kind) -> None:
        """Ask for a load whose pages are old when they come."""
        await self._damage(kind)
        seconds = self._chance.uniform(0.05, 0.4)
        self._it.streams.slow("Scan", seconds, table=kind.name, times=3)
        await self._until_done("snapshot", "--detach", "--table", kind.name)
        await self._it.load.grows(self._chance.uniform(0, 300))

    async def _repair(self, kind: Kind) -> None:
        await self._damage(kind)
        seconds = self._chance.uniform(0.05, 0.4)
        self._it.streams.slow("BatchGetItem", seconds, table=kind.name, times=3)
        await self._verify("--repair", kind)

    async def _damage(self, kind: Kind) -> None:
        for statement in kind.damage():
            await self._it.execute(statement)

    async def _verify(self, option: str | None, *kinds: Kind) -> dict[str, Any] | None:
        """What is unequal by target, after a repair; None where it could not be told or done now.

        It ends with 2 where the table is stopped or being loaded.
        """
        words = [word for kind in kinds for word in ("--table", kind.name)]
        words += [] if option is None else [option]
        done = await self._it.deployment.command("verify", "--json", *words)
        assert done.code in (0, 1, 2, AWAY), done.text
        if done.code not in (0, 1):
            return None
        tables = json.loads(done.stdout)["tables"]
        return {each["target"]: each for each in tables if any(each[name] for name in UNEQUAL)}

    async def _until_done(self, *words: str, may: Sequence[int] = (0,)) -> Finished:
        """Type it again for as long as a fault keeps it from being done."""
        while (done := await self._it.deployment.command(*words)).code == AWAY:
            self.done["typed again"] += 1
        assert done.code in may, done.text
        return done


def _replay(kind: Kind) -> tuple[str, ...]:
    return ("dead-letters", "replay", "--table", kind.name)
