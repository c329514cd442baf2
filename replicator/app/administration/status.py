"""The status of a deployment, read from PostgreSQL alone."""

from replicator.app.administration.open_control_schema import control_database
from replicator.config.settings import Settings
from replicator.core.status.assemble_status import overview
from replicator.core.status.deployment_problems import with_configured
from replicator.core.status.deployment_status import Status
from replicator.postgres.control.status_reads import read_knowledge


async def read_status(settings: Settings) -> Status:
    """The status, with the tables that are configured and not registered yet."""
    async with control_database(settings) as database:
        knowledge, now = await read_knowledge(database)
    return with_configured(overview(knowledge, now=now), settings.tables)
