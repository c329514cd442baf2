"""The model of snapshots, where files of exports are loaded in place of pages of a scan.

An export is asked for after the COMMIT of `guard`, at any time, and holds the table as it was then;
a heal has exports of the changes of windows of time, of which the first begins before what is lost
and the last ends behind the guard. A time is a number of changes in the stream. `flaw` names one
rule that is left out, as in the model that this one extends.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Literal

from tests.engine.snapshot_model import (
    BAD,
    Key,
    Mode,
    Postgres,
    Segment,
    Steps,
    Transaction,
    Version,
    World,
)

EXPORT_FLAWS = (
    "export of before the guard",
    "exports of an older guard are kept",
    "swept before the files are laid out",
)
"""Rules of a load of the whole table, left out one at a time."""

HEAL_FLAWS = (
    "older window over a newer one",
    "phases at once",
    "swept after a heal",
    "windows begin behind the cut",
    "windows begin at no cut",
    "windows end before the guard",
    "deletions not written",
    "a heal writes over the stream",
    "a heal that is cancelled closes its gap",
    "a heal takes the place of a load of the whole table",
)
"""Rules of a heal, left out one at a time."""

Origin = Literal["scan", "export", "changes"]
Line = tuple[Key, int | None]


@dataclass(slots=True)
class File(Segment):
    """A file of an export; `keys` are those of its lines."""

    lines: list[Line] = field(default_factory=list)
    phase: int = 0


@dataclass(slots=True)
class Records(Postgres):
    """All that is committed, with what is on record of exports and gaps."""

    origin: Origin = "scan"
    asked_at: int | None = None
    """The time of the export, or of the end of the last window."""
    loaded: bool = False
    """The whole table was loaded once."""
    cuts: list[int] = field(default_factory=list)
    """Where the gaps begin that are not healed."""


class ExportedWorld(World):
    """Snapshots of the given origin; of "changes" the first is a scan, as nothing can be healed."""

    pg: Records

    def __init__(
        self,
        random: Random,
        *,
        origin: Origin,
        flaw: str | None = None,
        home: Mode = "fence",
        fails_over: bool = False,
    ) -> None:
        self._origin: Origin = origin
        self.heals = 0
        super().__init__(random, flaw=flaw, home=home, fails_over=fails_over)
        self._at_first = dict(self.source)

    def _new_postgres(self, home: Mode) -> Postgres:
        return Records(mode=home)

    def _step(self, changes: bool, *, faults: bool = True) -> bool:
        if faults and self._random.random() < 0.01:
            self._cancel()
        return super()._step(changes, faults=faults)

    def _cancel(self) -> None:
        """A person ends a heal: what it was to heal is as lost as before."""
        pg = self.pg
        if pg.snapshot and pg.origin == "changes" and not self._held:
            pg.wanted = self._flaw != "a heal that is cancelled closes its gap"
            super()._leave()

    def _lose(self, lost: range) -> None:
        self.pg.cuts.append(lost.start)
        super()._lose(lost)

    def _enter(self) -> None:
        pg = self.pg
        kept = self._flaw == "exports of an older guard are kept" and pg.snapshot > 0
        super()._enter()
        heals = pg.loaded or self._flaw == "a heal takes the place of a load of the whole table"
        pg.origin = self._origin
        if pg.origin == "changes" and not (heals and pg.cuts):
            pg.origin = "scan"
        if pg.origin != "scan":
            pg.segments = []
        pg.asked_at = pg.asked_at if kept else None

    def _leave(self) -> None:
        super()._leave()
        self.pg.loaded |= self.pg.origin != "changes"
        self.heals += self.pg.origin == "changes"
        self.pg.cuts.clear()

    # Exports

    def _scan(self) -> None:
        pg = self.pg
        if pg.snapshot == 0 or pg.origin == "scan" or pg.segments:
            super()._scan()
        else:
            self._lay_out()

    def _lay_out(self) -> None:
        """The exports are complete: their files can be loaded."""
        pg = self.pg
        if pg.asked_at is None:
            pg.asked_at = self._asked_at()
        if pg.origin == "export":
            items = list(self._state(pg.asked_at).items())
            half = len(items) // 2
            files: list[tuple[int, list[Line]]] = [(0, [*items[:half]]), (0, [*items[half:]])]
        else:
            files = [(phase, self._lines(*window)) for phase, window in enumerate(self._windows())]
        pg.segments = [
            File([key for key, _ in lines], lines=lines, phase=phase, done=not lines)
            for phase, lines in files
        ]

    def _asked_at(self) -> int:
        now = len(self.stream)
        if self._flaw in ("export of before the guard", "windows end before the guard"):
            return max(0, now - self._random.randint(1, 3))
        return now

    def _state(self, time: int) -> dict[Key, int]:
        """The items of the table at a time."""
        found = dict(self._at_first)
        for key, value in self.stream[:time]:
            found.pop(key, None)
            if value is not None:
                found[key] = value
        return found

    def _windows(self) -> list[tuple[int, int]]:
        """Windows from before the first cut to the end, and others that begin at the cuts."""
        pg, chance = self.pg, self._random
        assert pg.asked_at is not None
        early = chance.randint(0, 2)
        if self._flaw == "windows begin behind the cut":
            early = -1
        begin, end = max(0, min(pg.cuts) - early), pg.asked_at
        inside = range(begin + 1, end)
        between = chance.sample(inside, min(len(inside), chance.randint(0, 2)))
        bounds = [begin, *sorted(between), end]
        found = [*pairwise(bounds)]
        if self._flaw != "windows begin at no cut":
            found += [
                (cut, next(bound for bound in bounds if bound > cut))
                for cut in pg.cuts
                if cut < end
            ]
        return sorted(found, key=lambda window: (window[1], window[0]), reverse=True)

    def _lines(self, begin: int, end: int) -> list[Line]:
        """The last change of each item in a window; none where it was put and deleted there."""
        old, new = self._state(begin), self._state(end)
        changed = dict.fromkeys(key for key, _ in self.stream[begin:end])
        return [(key, new.get(key)) for key in changed if key in old or key in new]

    def _open_segments(self) -> list[int]:
        """Those of the first phase that is not done."""
        found = super()._open_segments()
        files = [(number, segment) for number, segment in enumerate(self.pg.segments)]
        phases = {number: each.phase for number, each in files if isinstance(each, File)}
        if self._flaw == "phases at once" or not phases:
            return found
        first = min((phases[number] for number in found), default=0)
        return [number for number in found if phases[number] == first]

    def _items_of(self, segment: Segment, items_max: int) -> list[Line]:
        if isinstance(segment, File):
            return segment.lines[segment.at : segment.at + items_max]
        return super()._items_of(segment, items_max)

    def _is_scanned(self) -> bool:
        flaw = "swept before the files are laid out"
        laid_out = self.pg.origin == "scan" or bool(self.pg.segments) or self._flaw == flaw
        return laid_out and super()._is_scanned()

    def _start_sweep(self) -> None:
        if self.pg.origin == "changes" and self._flaw != "swept after a heal":
            self.pg.swept = True
        else:
            super()._start_sweep()

    def _load_line(self, tx: Transaction, key: Key, value: int | None, snapshot: int) -> Steps:
        if self.pg.origin != "changes":
            yield from super()._load_line(tx, key, value, snapshot)
            return
        yield from self._lock(tx, ("version", key))
        known = self.pg.versions.get(key)
        seen = known is not None and known.snapshot == snapshot
        if seen and known is not None:
            by_stream = known.sequence > 0
            if self._flaw not in (
                "a heal writes over the stream" if by_stream else "",
                "older window over a newer one" if not by_stream else "",
            ):
                return
        if value is None and self._flaw == "deletions not written":
            return
        if value != BAD:
            tx.rows[key] = value
        tx.versions[key] = Version(known.sequence if known else 0, snapshot)
        yield
