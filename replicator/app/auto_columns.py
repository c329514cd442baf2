"""`columns: auto` at work: what batches meet becomes columns, and workers begin anew with them."""

import asyncio
from collections.abc import Sequence

from replicator.config.connections import migrate_connection
from replicator.config.settings import Settings
from replicator.core.mapping.auto_columns import AutoColumn, NoColumn, wanted, with_auto_columns
from replicator.core.mapping.compile import TableMapping, compile_table
from replicator.core.observations import BatchApplied, Observation
from replicator.engine.tasks import stopped_within
from replicator.errors import ReplicatorError
from replicator.monitoring.logs import logger
from replicator.postgres.connection.database import Database
from replicator.postgres.control.positions import Positions
from replicator.postgres.schema.auto_columns import add_columns
from replicator.postgres.schema.migrate import opened

LOOK_SECONDS = 2.0
"""Between two looks: attributes that appear together are added together."""
RETRY_SECONDS = 30.0


class AutoColumns:
    """Collects what could be columns, adds them, and tells when the mapping is another one."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._met: dict[str, dict[str, dict[str, str]]] = {}
        self._told: set[NoColumn] = set()
        self._log = logger(deployment=settings.deployment)

    def observe(self, observation: Observation) -> None:
        """Take note of what a batch has met."""
        if isinstance(observation, BatchApplied):
            for target, attributes in observation.candidates.items():
                met = self._met.setdefault(observation.table, {}).setdefault(target, {})
                met.update(attributes)

    async def follow(
        self, mappings: Sequence[TableMapping], anew: asyncio.Event, over: asyncio.Event
    ) -> None:
        """Add columns until a mapping of ours is not the registered one; then say so and end.

        Whoever added them: all workers begin anew with the mapping that has them.
        """
        own = _auto(mappings)
        seconds = LOOK_SECONDS
        while own and not await stopped_within(over, seconds):
            try:
                if await self._moved_on(own):
                    anew.set()
                    over.set()
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

    async def _moved_on(self, own: Sequence[TableMapping]) -> bool:
        for mapping in own:
            await self._add(mapping)
        tables = await Positions(self._database).tables()
        return any(
            (facts := tables.get(mapping.spec.name)) is not None
            and facts.mapping_fingerprint != mapping.fingerprint
            for mapping in own
        )

    async def _add(self, mapping: TableMapping) -> None:
        met = self._met.pop(mapping.spec.name, {})
        new: list[AutoColumn] = []
        for target in mapping.targets:
            columns, refused = wanted(target, met.get(target.name, {}))
            new += columns
            self._tell(mapping.spec.name, refused)
        if not new:
            return
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
        except ReplicatorError:
            self._met.setdefault(mapping.spec.name, met)  # met again with the next change else
            raise
        for column in added:
            self._log.info(
                "column added", table=mapping.spec.name, target=column.target, column=column.name
            )

    def _tell(self, table: str, refused: Sequence[NoColumn]) -> None:
        """Each once: values that stay in the rest do so again and again."""
        for each in refused:
            if each not in self._told:
                self._told.add(each)
                self._log.warning(
                    "no column for an attribute",
                    table=table,
                    target=each.target,
                    attribute=each.attribute,
                    reason=each.reason,
                )


def _auto(mappings: Sequence[TableMapping]) -> list[TableMapping]:
    return [mapping for mapping in mappings if any(target.spec.auto for target in mapping.targets)]


def _compiled(mapping: TableMapping, known: Sequence[AutoColumn]) -> TableMapping:
    spec = with_auto_columns(mapping.spec, known)
    return compile_table(spec, mapping.source_key, table_arn=mapping.table_arn)
