"""Gaps of tables: listed, accepted, and healed by a snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass

from replicator.app.administration.open_control_schema import (
    control_database,
    registered_tables,
    require_known,
    require_registered,
)
from replicator.config.settings import Settings
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import GapFacts, TableFacts
from replicator.errors import ConfigurationError
from replicator.postgres.control.snapshot.snapshots import Snapshots
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts


@dataclass(frozen=True, slots=True)
class OpenGaps:
    """Gaps that are not accepted, and the mode of every registered table."""

    gaps: tuple[GapFacts, ...]
    orderings: Mapping[str, OrderingMode]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Gaps that were accepted, and the table's facts afterwards."""

    accepted: tuple[GapFacts, ...]
    after: TableFacts


async def open_gaps(settings: Settings, table: str | None) -> OpenGaps:
    """The open gaps of one table, or of every registered table, oldest first."""
    async with control_database(settings) as database:
        known = await registered_tables(database)
        if table is not None:
            require_known(table, settings, known)
        found = await GapsAndHalts(database).gaps()
    orderings = {name: facts.ordering for name, facts in known.items()}
    chosen = (gap for gap in found if table in (None, gap.source) and gap.source in orderings)
    return OpenGaps(tuple(chosen), orderings)


async def accept_gaps(
    settings: Settings, table: str, gap_id: int | None, *, who: str, why: str
) -> Acceptance:
    """Accept one gap of a table, or all that are open; ConfigurationError for an unknown one."""
    async with control_database(settings) as database:
        before = require_registered(table, settings, await registered_tables(database))
        chosen = tuple(gap for gap in before.gaps if gap_id in (None, gap.id))
        if gap_id is not None and not chosen:
            message = f"table {table!r} has no open gap {gap_id}"
            there = ", ".join(str(gap.id) for gap in before.gaps) or "none"
            raise ConfigurationError(message, remedy=f"its open gaps: {there}")
        for gap in chosen:  # each by its number: one that appears meanwhile was not seen
            await GapsAndHalts(database).accept_gaps(table, who=who, why=why, gap_id=gap.id)
        after = (await registered_tables(database))[table]
    return Acceptance(chosen, after)


async def heal_gaps(
    settings: Settings, table: str, *, who: str, why: str | None
) -> tuple[int, tuple[GapFacts, ...]]:
    """Ask for a snapshot from incremental exports; returns the number and the gaps to heal.

    ConfigurationError when no bucket is configured, or the table has no open gap.
    """
    if settings.export.bucket is None:
        message = "there is no bucket that exports could be written to"
        raise ConfigurationError(message, remedy="set export.bucket")
    async with control_database(settings) as database:
        facts = require_registered(table, settings, await registered_tables(database))
        if not facts.gaps:
            message = f"table {table!r} has no open gap"
            raise ConfigurationError(message, remedy=await _remedy(Snapshots(database), table))
        number = await Snapshots(database).ask(table, "gap", who=who, why=why, origin="changes")
    return number, facts.gaps


async def _remedy(snapshots: Snapshots, table: str) -> str:
    """The remedy of an error that a table has no open gap.

    The remedy names the snapshot under way, if there is one: the gaps that a snapshot heals are
    accepted meanwhile.
    """
    under_way = [
        each for each in (await snapshots.facts([table])).get(table, ()) if each.unfinished
    ]
    if not under_way:
        return "`replicator gaps list` shows the open gaps of all tables"
    return f"snapshot {under_way[0].id} is under way: `replicator status` shows how far it is"
