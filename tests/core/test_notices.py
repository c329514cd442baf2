"""Which problems are worth telling somebody, and the words of a notice."""

from datetime import UTC, datetime

from replicator.core.status.deployment_status import GapStatus
from replicator.core.status.notices import Due, Notice, body, notices
from tests.monitoring.facts import status, table

THEN = datetime(2026, 1, 1, tzinfo=UTC)
GAP = GapStatus(4, "certain", "shardId-9", "it was trimmed", THEN, "replicator gaps accept")
GAPPED = table("carts", state="gap", gaps=(GAP,), reason="a gap", remedy="replicator gaps accept")
HALTED = table("events", state="halted", reason="no column placed", remedy="replicator migrate")


def told(*tables: object, dead_letters_max: int = 10) -> list[tuple[str, str]]:
    found = notices(status(*tables), dead_letters_max=dead_letters_max)  # type: ignore[arg-type]
    return [(notice.table, notice.kind) for notice in found]


def test_gaps_and_halted_tables_are_told_and_well_late_and_paused_ones_are_not():
    late = table("late", lag_seconds=4000.0)
    paused = table("paused", state="paused", reason="by hand", remedy="replicator resume")

    assert told(GAPPED, HALTED, table("well"), late, paused) == [
        ("events", "halted"),
        ("carts", "gap"),
    ]


def test_dead_letters_are_told_beyond_the_bound_over_all_targets_of_a_table():
    letters = table("orders", dead_letters={"public.a": 6, "public.b": 5})

    assert told(letters, dead_letters_max=11) == []
    assert told(letters, dead_letters_max=10) == [("orders", "dead_letters")]


def test_a_notice_names_what_to_do_and_is_the_same_each_time_it_is_sent():
    notice = Notice("carts", "gap", "critical", "a gap", "replicator gaps accept")

    sent = body("shop", Due(notice, "opened", 3, THEN))

    assert sent == {
        "schema_version": 1,
        "id": "shop/carts/gap/3/opened",
        "deployment": "shop",
        "event": "opened",
        "table": "carts",
        "kind": "gap",
        "severity": "critical",
        "what": "a gap",
        "remedy": "replicator gaps accept",
        "since": "2026-01-01T00:00:00Z",
    }
