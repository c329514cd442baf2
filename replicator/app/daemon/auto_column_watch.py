"""`columns: auto` at work: attributes become columns, and workers restart with the new mapping."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from replicator.config.connection_parameters import migrate_connection
from replicator.config.settings import Settings
from replicator.core.mapping.auto_columns import (
    PAUSE_SECONDS_MIN,
    AutoColumn,
    NoColumn,
    Pace,
    wanted,
    with_auto_columns,
)
from replicator.core.mapping.compile_mapping import TableMapping, compile_table
from replicator.core.telemetry_events import BatchApplied, TelemetryEvent
from replicator.engine.backoff import stopped_within
from replicator.errors import ReplicatorError
from replicator.monitoring.log_output import logger
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.table_and_shard_store import ShardStore
from replicator.postgres.schema.add_auto_columns import add_columns, known_columns
from replicator.postgres.schema.migrate import opened

LOOK_SECONDS = PAUSE_SECONDS_MIN
"""Between two looks: attributes that appear together are added together."""
RETRY_SECONDS = 30.0
NAMES_MAX = 1000
"""Attributes that are remembered of one target, since items choose the names: those that wait, and
those that the log has told."""
NAME_LENGTH_MAX = 100
"""Remembered of one name: a name of PostgreSQL is shorter, one of DynamoDB may have 64 KB."""
NAMES_SHOWN = 5
"""Names of attributes that one line of the log shows."""


class AutoColumns:
    """Collects attributes that could be columns, adds the columns, and tells when the mapping is
    another one."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._met: dict[str, dict[str, dict[str, str]]] = {}
        self._paces: dict[str, Pace] = {}
        self._told: dict[tuple[str, str], set[NoColumn]] = {}
        self._log = logger(deployment=settings.deployment)

    def observe(self, event: TelemetryEvent) -> None:
        """Take note of what a batch has met."""
        if isinstance(event, BatchApplied):
            for target, attributes in event.candidates.items():
                self._note(event.table, target, attributes)

    async def follow(
        self,
        mappings: Callable[[], Sequence[TableMapping]],
        replace: Callable[[TableMapping], Awaitable[None]],
        over: asyncio.Event,
    ) -> None:
        """Add columns as batches meet them, and hand over every mapping that has more columns than
        that of the worker, whichever worker has added the columns.
        """
        seconds = LOOK_SECONDS
        while not await stopped_within(over, seconds):
            try:
                for mapping in await self._moved_on(_auto(mappings())):
                    await replace(mapping)
                seconds = LOOK_SECONDS
            except ReplicatorError as error:
                self._log.warning("columns were not added", reason=str(error))
                seconds = RETRY_SECONDS

    async def settle(self, mappings: Sequence[TableMapping]) -> None:
        """Add what was met last, for the next run."""
        try:
            for mapping in _auto(mappings):
                await self._add(mapping)
        except ReplicatorError as error:
            self._log.warning("columns were not added", reason=str(error))

    async def _moved_on(self, own: Sequence[TableMapping]) -> list[TableMapping]:
        """The registered mappings of the tables that have more columns now."""
        if not own:
            return []
        for mapping in own:
            await self._add_in_time(mapping)
        tables = await ShardStore(self._database).tables()
        moved: list[TableMapping] = []
        for mapping in own:
            facts = tables.get(mapping.spec.name)
            if facts is not None and facts.mapping_fingerprint != mapping.fingerprint:
                whole = _compiled(mapping, await self._known(mapping))
                if whole.fingerprint == facts.mapping_fingerprint:  # else somebody has migrated
                    moved.append(whole)
        return moved

    async def _known(self, mapping: TableMapping) -> list[AutoColumn]:
        database = self._database
        async with database.connection("reading the columns that appeared") as connection:
            return await known_columns(
                connection, database.control_schema, database.deployment, mapping.spec.name
            )

    async def _add_in_time(self, mapping: TableMapping) -> None:
        """Add what was met, unless the last addition was a moment ago."""
        name, now = mapping.spec.name, asyncio.get_running_loop().time
        pace = self._paces.get(name, Pace())
        if pace.may_add(now()) and await self._add(mapping):
            self._paces[name] = pace.after_addition(now())

    async def _add(self, mapping: TableMapping) -> bool:
        """Add what was met; True where that was something."""
        met = self._met.pop(mapping.spec.name, {})
        new: list[AutoColumn] = []
        for target in mapping.targets:
            columns, refused = wanted(target, met.get(target.name, {}))
            new += columns
            self._tell(mapping.spec.name, target.name, refused)
        if not new:
            return False
        try:
            async with opened(migrate_connection(self._settings.target)) as connection:
                added = await add_columns(
                    connection,
                    self._settings.target.control_schema,
                    self._settings.deployment,
                    mapping,
                    new=new,
                    compiled=lambda known: _compiled(mapping, known),
                )
        except BaseException:  # also where this is cancelled, because the run ends
            for target_name, attributes in met.items():
                self._note(mapping.spec.name, target_name, attributes)
            raise
        for target in mapping.targets:
            if names := [column.name for column in added if column.target == target.name]:
                self._log.info(
                    "columns added",
                    table=mapping.spec.name,
                    target=target.name,
                    count=len(names),
                    columns=names[:NAMES_SHOWN],
                )
        return bool(added)

    def _note(self, table: str, target: str, attributes: Mapping[str, str]) -> None:
        """Remember attributes for the next look; one too many is met again at the next write."""
        met = self._met.setdefault(table, {}).setdefault(target, {})
        for attribute, tag in attributes.items():
            name = attribute[:NAME_LENGTH_MAX]
            if name in met or len(met) < NAMES_MAX:
                met[name] = tag

    def _tell(self, table: str, target: str, refused: Sequence[NoColumn]) -> None:
        """Each attribute once, and all of a look in one line: the values stay in the rest."""
        told = self._told.setdefault((table, target), set())
        new = [each for each in refused if each not in told][: NAMES_MAX - len(told)]
        if not new:
            return
        told.update(new)
        self._log.warning(
            "no columns for attributes",
            table=table,
            target=target,
            count=len(new),
            attributes=[each.attribute for each in new[:NAMES_SHOWN]],
            reasons=list(dict.fromkeys(each.reason for each in new))[:NAMES_SHOWN],
            last=len(told) == NAMES_MAX,
        )


def _auto(mappings: Sequence[TableMapping]) -> list[TableMapping]:
    return [mapping for mapping in mappings if any(target.spec.auto for target in mapping.targets)]


def _compiled(mapping: TableMapping, known: Sequence[AutoColumn]) -> TableMapping:
    spec = with_auto_columns(mapping.spec, known)
    return compile_table(spec, mapping.source_key, table_arn=mapping.table_arn)
