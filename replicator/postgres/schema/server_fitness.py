"""Fitness of a server and a database for exact values: reasons against it, with remedies. Pure."""

from replicator.core.check_findings import Finding
from replicator.errors import ConfigurationError
from replicator.postgres.schema.catalog import Catalog

OLDEST_SERVER = 14


def server_fitness(catalog: Catalog) -> list[Finding]:
    """Errors about the server's version and the database's encoding; empty when both do."""
    found = []
    version = catalog.server_version // 10000
    if version < OLDEST_SERVER:
        message = (
            f"the server is PostgreSQL {version}; {OLDEST_SERVER} is the oldest that is tested"
        )
        found.append(Finding("error", "target", message, "upgrade the server"))
    if catalog.encoding != "UTF8":
        found.append(
            Finding(
                "error",
                "target",
                f"the database {catalog.database!r} has the encoding {catalog.encoding}, which "
                "cannot hold every text of DynamoDB",
                "connect to a database that was made with `encoding 'UTF8' template template0`",
            )
        )
    return found


def require_fit_server(catalog: Catalog) -> None:
    """ConfigurationError for a server that must not be written to."""
    for finding in server_fitness(catalog):
        raise ConfigurationError(finding.message, remedy=finding.remedy)
