"""Refuses to write targets about which `check` has an error. Needs no SDK of AWS."""

from collections.abc import Sequence

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.errors import ConfigurationError
from replicator.postgres.connection.database import Database
from replicator.postgres.schema.database_survey import Survey, survey
from replicator.postgres.schema.server_fitness import require_fit_server


async def require_fit(database: Database, mappings: Sequence[TableMapping]) -> None:
    """ConfigurationError where `check` has an error about a target of the given tables;
    SinkUnavailable."""
    async with database.transaction("reading the target") as connection:
        found = await survey(connection, database.control_schema, database.deployment, mappings)
    require_fit_server(found.catalog)
    refuse_unfit(found)


def refuse_unfit(found: Survey) -> None:
    """Refuse tables that must not be written, from a survey that was made already."""
    for finding in found.unfit.values():
        raise ConfigurationError(f"{finding.where}: {finding.message}", remedy=finding.remedy)
