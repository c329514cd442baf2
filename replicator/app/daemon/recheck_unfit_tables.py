"""Checks the tables again that could not be worked on when a worker started, until fit."""

from collections.abc import Mapping

from replicator.app.aws_client_cache import Clients
from replicator.app.prepare_tables import Prepared, describe_all, fit_ones
from replicator.config.settings import Settings
from replicator.core.check_findings import how_to_go_on
from replicator.core.mapping.compile_mapping import TableMapping
from replicator.core.telemetry_events import (
    Observe,
    TableHalted,
    TableTakenUp,
    TaskFailed,
    TaskRecovered,
)
from replicator.errors import Disposition, ReplicatorError, SinkUnavailable
from replicator.postgres.connection.database import Database
from replicator.postgres.control.stream.gaps_and_halts import GapsAndHalts
from replicator.postgres.control.stream.table_and_shard_store import ShardStore

RECHECK_SECONDS = 5.0
"""Pause between two checks of the tables."""


class UnfitTables:
    """Knows why each table is left out, and logs the reason: once for a halted table, else by
    rate."""

    def __init__(
        self, settings: Settings, clients: Clients, database: Database, observe: Observe
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._database = database
        self._observe = observe
        self._reasons: dict[str, ReplicatorError] = {}
        self._said: dict[str, str] = {}

    @property
    def reasons(self) -> Mapping[str, ReplicatorError]:
        """Why each table is left out that still is."""
        return self._reasons

    @property
    def stopped(self) -> frozenset[str]:
        """Tables that a person must fix; for the others the source may answer a moment later."""
        return frozenset(
            name
            for name, error in self._reasons.items()
            if error.disposition is not Disposition.RETRY
        )

    async def begin(self, prepared: Prepared) -> None:
        """Take note of the tables that a start leaves out, and halt the unfit ones."""
        self._reasons = dict(prepared.left_out)
        await self._tell()

    async def recheck(self) -> list[TableMapping]:
        """The mappings of tables that are fit by now and no longer left out."""
        described = await describe_all(
            self._settings, self._clients, self._database, names=self._reasons
        )
        self._reasons.update(described.left_out)
        fit: list[TableMapping] = []
        for mapping in described.mappings:
            name = mapping.spec.name
            try:
                checked = await fit_ones(self._database, self._settings, Prepared((mapping,), {}))
            except SinkUnavailable:
                raise
            except ReplicatorError as error:  # a migration is due, or a target is another's
                self._reasons[name] = error
            else:
                fit += checked.mappings
                self._reasons.update(checked.left_out)
        for mapping in fit:
            self._is_fit(mapping.spec.name)
        await self._tell()
        return fit

    def _is_fit(self, name: str) -> None:
        del self._reasons[name]
        self._said.pop(name, None)
        self._observe(TaskRecovered(_task(name), name))
        self._observe(TableTakenUp(name))

    async def _tell(self) -> None:
        """Halt unfit tables, also tables that were resumed meanwhile, and log the failures."""
        if not self._reasons:
            return
        tables = await ShardStore(self._database).tables()
        for name, error in self._reasons.items():
            if error.disposition is not Disposition.HALT:
                self._observe(TaskFailed(_task(name), name, error, RECHECK_SECONDS))
                continue
            remedy, reason = how_to_go_on(error, name), str(error)
            resumed = name in tables and not tables[name].halted
            if resumed:
                await GapsAndHalts(self._database).halt(name, reason=reason, remedy=remedy)
            if resumed or self._said.get(name) != reason:
                self._said[name] = reason
                self._observe(TableHalted(name, reason, remedy))


def _task(name: str) -> str:
    return f"take up {name}"
