"""Before rows are written outside of a worker: no target of the tables changes values."""

from collections.abc import Iterable, Sequence

from replicator.core.findings import Finding
from replicator.core.mapping import TableMapping
from replicator.errors import ConfigurationError
from replicator.postgres.catalog import read_catalog
from replicator.postgres.database import Database
from replicator.postgres.exactness import inexact


async def require_exact(database: Database, mappings: Sequence[TableMapping]) -> None:
    """ConfigurationError where a column has a type that PostgreSQL rounds to; SinkUnavailable."""
    names = [name for mapping in mappings for target in mapping.targets for name in target.tables]
    async with database.connection("reading the catalog") as connection:
        catalog = await read_catalog(connection, names)
    refuse_inexact(inexact(mappings, catalog).values())


def refuse_inexact(found: Iterable[Finding]) -> None:
    """The same, where the catalog was read already."""
    for finding in found:
        raise ConfigurationError(f"{finding.where}: {finding.message}", remedy=finding.remedy)
