"""A model of the row guard: Lambda, the daemon and a scan write one table; modes switch meanwhile.

Each writer takes the steps that its transaction takes: look at the mode, lock the keys' versions,
write the rows, commit. Steps of different writers interleave. A part of the design may be left out
(`without`), to see what it is for.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Key = str
Value = int | None
"""What an item is after a change; None: gone. Odd values do not fit the target."""
Mode = Literal["fence", "guard", "lambda"]
Version = tuple[int, int | None]
"""Sequence number, and the snapshot that has seen the key."""

KEYS = "ab"


@dataclass
class Change:
    number: int
    key: Key
    value: Value

    @property
    def fits(self) -> bool:
        return self.value is None or self.value % 2 == 0


@dataclass
class World:
    chance: random.Random
    without: str
    mode: Mode = "lambda"
    epoch: int = 0
    snapshot: int | None = None
    rows: dict[Key, int] = field(default_factory=dict)
    versions: dict[Key, Version] = field(default_factory=dict)
    letters: dict[int, str] = field(default_factory=dict)
    locks: dict[Key, object] = field(default_factory=dict)
    sharing: int = 0
    shard_locked: bool = False
    changes: list[Change] = field(default_factory=list)
    position: int = 0
    scanned: list[Key] = field(default_factory=list)

    def has(self, part: str) -> bool:
        return part != self.without

    # what the source does

    def write(self) -> None:
        key = self.chance.choice(KEYS)
        value = None if self.chance.random() < 0.3 else self.chance.randrange(8)
        self.changes.append(Change(len(self.changes) + 1, key, value))

    def item(self, key: Key) -> Value:
        """What a scan reads now."""
        found = [change.value for change in self.changes if change.key == key]
        return found[-1] if found else None

    # transactions, as steps

    def guarded(self, changes: list[Change], *, scan: bool = False) -> Iterator[bool]:
        """Versions, rows, commit. Yields True when a step was taken, False while it waits."""
        me = object()
        accepted: list[Change] = []
        newest = {change.key: change for change in changes if change.fits}
        rejected = {change.key: change for change in changes if not change.fits}
        seen_before: dict[Key, bool] = {key: key in self.rows for key in newest}
        for key in sorted({*newest, *rejected}):
            while self.has("locked versions") and self.locks.get(key, me) is not me:
                yield False
            if self.has("locked versions"):
                self.locks[key] = me
            if key in newest and self.newer(newest[key], scan=scan):
                accepted.append(newest[key])
            if key in rejected:
                self.mark(rejected[key], scan=scan)
            yield True
        for change in accepted:
            self.version(change, scan=scan)
        yield True
        for change in accepted:
            there = seen_before[change.key] if not self.has("fresh rows") else True
            self.put(change, visible=there)
        for change in rejected.values():
            overtaken = self.versions.get(change.key, (0, None))[0] > change.number
            self.letters.setdefault(change.number, "superseded" if overtaken else "open")
        self.locks = {key: owner for key, owner in self.locks.items() if owner is not me}
        yield True

    def newer(self, change: Change, *, scan: bool) -> bool:
        number, seen = self.versions.get(change.key, (0, None))
        if scan:
            return not self.has("seen by the snapshot") or seen != self.snapshot or number == 0
        return number < change.number

    def version(self, change: Change, *, scan: bool) -> None:
        number = self.versions.get(change.key, (0, None))[0] if scan else change.number
        if change.value is None and not self.has("tombstones"):
            self.versions.pop(change.key, None)
        else:
            self.versions[change.key] = (number, self.snapshot)

    def mark(self, change: Change, *, scan: bool) -> None:
        number, seen = self.versions.get(change.key, (0, None))
        if not self.has("rejected leave versions"):
            number = max(number, change.number)
        self.versions[change.key] = (number, self.snapshot if scan else seen)

    def put(self, change: Change, *, visible: bool) -> None:
        if change.value is not None:
            self.rows[change.key] = change.value
        elif visible:
            self.rows.pop(change.key, None)

    # who writes

    def lambda_batch(self, changes: list[Change]) -> Iterator[bool]:
        if self.mode != "lambda":
            return
        if self.has("shared mode"):
            self.sharing += 1
        yield True
        yield from self.guarded(changes)
        if self.has("shared mode"):
            self.sharing -= 1

    def daemon_batch(self) -> Iterator[bool]:
        """Claim and one batch: the fence holds position and epoch to the commit."""
        if self.mode == "lambda":
            return
        mode, epoch, start = self.mode, self.epoch, self.position
        batch = self.changes[start : start + self.chance.randint(1, 3)]
        yield True
        while self.shard_locked:
            yield False
        if (self.epoch, self.position) != (epoch, start):
            return
        self.shard_locked = True
        if mode == "guard":
            yield from self.guarded(batch)
        else:
            newest = {change.key: change for change in batch if change.fits}
            yield True
            for change in newest.values():
                self.put(change, visible=True)
        self.position += len(batch)
        self.shard_locked = False

    def scan(self) -> Iterator[bool]:
        """Enter `guard` if the daemon writes, then read and write page after page."""
        while self.sharing or self.shard_locked:
            yield False
        mine = self.snapshot = (self.snapshot or 0) + 1
        if self.mode == "fence" and self.has("guard before the scan"):
            self.leave("guard")
        self.epoch += 1
        for key in self.chance.sample(KEYS, len(KEYS)):
            page = Change(0, key, self.item(key))
            yield True
            if self.snapshot != mine:  # its segment is another's
                return
            if page.value is not None:
                self.sharing += 1
                yield from self.guarded([page], scan=True)
                self.sharing -= 1

    def prune(self) -> None:
        """What the fence alone guards needs no versions."""
        if self.mode == "fence":
            self.versions.clear()

    def hand_over(self, to: Mode) -> Iterator[bool]:
        """The UPDATE waits for whoever shares the row, then raises the epoch."""
        while self.sharing or self.shard_locked:  # to raise its epoch
            yield False
        if to == "fence" and self.mode == "lambda":
            to, self.position = "guard", 0
        if to != self.mode:
            self.leave(to)
        self.epoch += 1
        yield True

    def leave(self, to: Mode) -> None:
        """Under the fence rows are written without versions: those of before say nothing then."""
        if self.mode == "fence" and self.has("versions begin anew"):
            self.versions.clear()
        self.mode = to


def run(seed: int, without: str = "") -> bool:
    """One schedule; whether it ends with rows equal to the item's newest changes that fit."""
    chance = random.Random(seed)
    world = World(chance, without, mode=chance.choice(["fence", "lambda"]))
    running: list[Iterator[bool]] = []
    batches: list[list[Change]] = []
    for _ in range(160):
        world_step(world, running, batches)
    finish(running)
    settle(world)
    expected: dict[Key, int] = {}
    for change in world.changes:
        if change.value is None:
            expected.pop(change.key, None)
        elif change.fits:
            expected[change.key] = change.value
    return world.rows == expected


def run_slow(seed: int, without: str = "") -> bool:
    """A Lambda transaction is slow, and the table is the daemon's before it goes on."""
    chance = random.Random(seed)
    world = World(chance, without, mode="lambda", changes=[Change(1, "a", 2)])
    slow = world.lambda_batch(list(world.changes))

    def daemon() -> Iterator[bool]:
        world.changes.append(Change(2, "a", 4))
        yield from world.hand_over("fence")
        while world.position < len(world.changes):
            yield from world.daemon_batch()
        yield from world.hand_over("fence")  # it has caught up
        world.prune()
        yield True

    running = [slow, daemon()]
    while running:
        step = chance.choice(running)
        if next(step, None) is None:
            running.remove(step)
    return world.rows == {"a": 4}


def world_step(world: World, running: list[Iterator[bool]], batches: list[list[Change]]) -> None:
    chance = world.chance
    actions: list[Callable[[], Iterator[bool]]] = [
        lambda: world.lambda_batch(deliver(world, batches)),
        world.daemon_batch,
        world.scan,
        lambda: world.hand_over(chance.choice(["fence", "fence", "lambda", "lambda"])),
    ]
    kind = chance.random()
    if kind < 0.12:
        world.write()
    elif kind < 0.14:
        world.prune()
    elif kind < 0.4 and len(running) < 4:
        running.append(chance.choices(actions, weights=(5, 3, 1, 1))[0]())
    elif running:
        step = chance.choice(running)
        if next(step, None) is None:
            running.remove(step)


def deliver(world: World, batches: list[list[Change]]) -> list[Change]:
    """The next part of the stream, or a part that was delivered before."""
    chance = world.chance
    if batches and chance.random() < 0.5:
        return chance.choice(batches)
    start = max(0, len(world.changes) - chance.randint(1, 6))
    batch = world.changes[start : start + 3]
    batches.append(batch)
    return batch


def finish(running: list[Iterator[bool]]) -> None:
    """Let everything that was begun end."""
    while running:
        for step in list(running):
            if next(step, None) is None:
                running.remove(step)


def settle(world: World) -> None:
    """Every record is applied at least once by whoever polls now, in any order for Lambda."""
    if world.mode == "lambda":
        order = world.chance.sample(world.changes, len(world.changes))
        for change in order:
            finish([world.lambda_batch([change])])
    else:
        while world.position < len(world.changes):
            finish([world.daemon_batch()])
