"""The order of an item's changes of one time, by the images that they lie between. Pure.

Theory of operation
-------------------
Every change is a step from one state of the item to the next: from its old to its new image, where
0 is the state of an item that does not exist. What happened took every step once, one after the
other: a trail through the states, which is found as an Eulerian trail of a directed graph is
(Hierholzer's algorithm), in time that grows with the number of steps.

Three cases:
  * One state is left once more than it is entered: the trail begins there. All trails there are
    end in one state, so the row is decided whatever lies between.
  * Every state is left as often as it is entered: the steps are a circle, and any state of it may
    have been the first and the last. The state before the steps decides, where it is known;
    otherwise an insertion begins, and nothing is sure.
  * There is no trail: a step is missing. The steps make several walks; those that begin with an
    insertion come first, and those that end with a removal last, and nothing is sure.

Broken without it: the rule for two changes says of delete, put and update that the update is later
than the put, and the deletion, as a removal, later than the update: the row is deleted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Transition = tuple[int, int]
"""The states that a change leads from and to."""
ABSENT = 0
"""The state of an item that does not exist."""


@dataclass(frozen=True, slots=True)
class Trail:
    """The places of steps, in the order in which the steps were taken.

    `end`: the state after the last step, None where not sure. `undecided`: the number of changes to
    which nothing decided the order.
    """

    places: Sequence[int]
    end: int | None
    undecided: int = 0


def trail_of(steps: Sequence[Transition], *, before: int | None, repeated: bool) -> Trail:
    """The trail of different steps, given in the order of arrival.

    `before`: the state before the first of them, None where it is not known. `repeated`: some of
    the steps came more than once. Such a step was taken once and came twice, unless the trail
    returns to a state: then nothing tells.
    """
    surplus = _surplus(steps)
    begins = [state for state, more in surplus.items() for _ in range(more)]
    circle = not begins
    begin = _begin_of_circle(steps, before) if circle else begins[0]
    places = _hierholzer(steps, begin) if len(begins) <= 1 else []
    if len(places) < len(steps):
        walks = _walks(steps)
        return Trail([place for walk in walks for place in walk], None, len(walks) - 1)
    moves = sum(old != new for old, new in steps)
    returns = len(surplus) <= moves
    if returns and (repeated or (circle and before != begin)):
        return Trail(places, None, 1)
    return Trail(places, steps[places[-1]][1])


def _surplus(steps: Sequence[Transition]) -> Counter[int]:
    """Surplus of departures over arrivals, for each state."""
    surplus: Counter[int] = Counter()
    for old, new in steps:
        surplus[old] += 1
        surplus[new] -= 1
    return surplus


def _begin_of_circle(steps: Sequence[Transition], before: int | None) -> int:
    states = {old for old, _ in steps}
    if before is not None and before in states:
        return before
    return ABSENT if ABSENT in states else steps[0][0]


def _leaving(steps: Sequence[Transition]) -> dict[int, list[int]]:
    """The places of the steps from each state, the first to arrive at the end."""
    leaving: dict[int, list[int]] = {}
    for place in reversed(range(len(steps))):
        leaving.setdefault(steps[place][0], []).append(place)
    return leaving


def _hierholzer(steps: Sequence[Transition], begin: int) -> list[int]:
    """The trail of the steps from that state; of a graph in pieces, the piece with that state."""
    leaving = _leaving(steps)
    open_steps: list[int] = []
    backwards: list[int] = []
    state = begin
    while True:
        if left := leaving.get(state):
            open_steps.append(left.pop())
            state = steps[open_steps[-1]][1]
        elif open_steps:
            backwards.append(open_steps.pop())
            state = steps[backwards[-1]][0]
        else:
            return backwards[::-1]


def _walks(steps: Sequence[Transition]) -> list[list[int]]:
    """Walks that have every step between them, in the order that is the likeliest."""
    leaving, surplus = _leaving(steps), _surplus(steps)
    walks: list[list[int]] = []

    def walk_from(state: int) -> None:
        walk: list[int] = []
        while left := leaving.get(state):
            walk.append(left.pop())
            state = steps[walk[-1]][1]
        if walk:
            walks.append(walk)

    for state, _ in steps:
        if surplus[state] > 0:
            surplus[state] -= 1
            walk_from(state)
    for state, _ in sorted(steps, key=lambda step: step[0] != ABSENT):
        walk_from(state)
    return sorted(walks, key=lambda walk: (rank(steps[walk[0]][0], steps[walk[-1]][1]), walk[0]))


def rank(old: int, new: int) -> int:
    """The likely place among changes of one time: an insertion is first, and a removal last."""
    if old == ABSENT:
        return 0
    return 2 if new == ABSENT else 1
