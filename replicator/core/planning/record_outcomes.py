"""Outcomes of a record in a batch, ranked: of several targets the highest counts. Pure."""

from collections.abc import Mapping
from enum import IntEnum

from replicator.core.telemetry_events import Outcome


class Rank(IntEnum):
    """Outcome of a record; the highest of several targets counts."""

    FILTERED = 0
    SUPERSEDED = 1
    APPLIED = 2
    DEAD = 3


OUTCOMES: Mapping[int, Outcome] = {
    Rank.FILTERED: "filtered",
    Rank.SUPERSEDED: "superseded",
    Rank.APPLIED: "applied",
    Rank.DEAD: "dead_letter",
}
