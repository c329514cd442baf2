"""Dead letters of a deployment: the matching ones, the groups by reason, and a single one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from replicator.app.administration.open_control_schema import (
    control_database,
    registered_tables,
    require_known,
)
from replicator.config.settings import Settings
from replicator.errors import ConfigurationError
from replicator.postgres.control.dead_letter_reads import (
    DeadLetters,
    Evidence,
    Letter,
    LetterFilter,
    LetterGroup,
)


async def matching_letters(
    settings: Settings, wanted: LetterFilter, letters_max: int
) -> tuple[list[Letter], int]:
    """Dead letters that match, oldest first, and how many match in all."""
    async with _dead_letters(settings, wanted.source) as letters:
        return await letters.list(wanted, letters_max=letters_max)


async def grouped_letters(
    settings: Settings, wanted: LetterFilter, groups_max: int
) -> tuple[list[LetterGroup], int]:
    """Matching dead letters by reason, the most frequent first, and how many reasons match."""
    async with _dead_letters(settings, wanted.source) as letters:
        return await letters.groups(wanted, groups_max=groups_max)


async def one_letter(settings: Settings, number: int) -> tuple[Letter, Evidence]:
    """A dead letter with the images; ConfigurationError when the deployment has none of the id."""
    async with control_database(settings) as database:
        found = await DeadLetters(database).show(number)
    if found is None:
        message = f"deployment {settings.deployment!r} has no dead letter {number}"
        raise ConfigurationError(message, remedy="run `replicator dead-letters list --state all`")
    return found


@asynccontextmanager
async def _dead_letters(settings: Settings, table: str | None) -> AsyncIterator[DeadLetters]:
    async with control_database(settings) as database:
        if table is not None:
            require_known(table, settings, await registered_tables(database))
        yield DeadLetters(database)
