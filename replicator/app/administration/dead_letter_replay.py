"""Open dead letters replayed with the mapping of today, or discarded."""

from replicator.app.administration.open_control_schema import (
    control_database,
    registered_tables,
    require_known,
)
from replicator.app.compile_mappings import require_mappings
from replicator.app.refuse_unfit_targets import require_fit
from replicator.config.settings import Settings
from replicator.errors import ConfigurationError
from replicator.postgres.connection.database import Database
from replicator.postgres.control.dead_letter_reads import DeadLetters, Letter, LetterFilter
from replicator.postgres.write.dead_letter_replay import Replay, Tried

LETTERS_MAX = 10_000
"""Dead letters of one call."""


async def replay_letters(
    settings: Settings, wanted: LetterFilter, *, who: str, why: str | None
) -> tuple[list[Tried], int]:
    """Outcomes of the dead letters that were tried, and how many more match.

    ConfigurationError for an id that is not open, and for a table that is no longer configured.
    """
    async with control_database(settings) as database:
        letters, more = await _chosen(settings, database, wanted)
        by_source: dict[str, list[int]] = {}
        for letter in letters:
            by_source.setdefault(letter.source, []).append(letter.id)
        mappings = {m.spec.name: m for m in await require_mappings(settings)} if letters else {}
        left = sorted(by_source.keys() - mappings.keys())
        if left:
            message = f"{', '.join(left)}: not in the configuration any more"
            raise ConfigurationError(message, remedy="discard their dead letters")
        await require_fit(database, [mappings[source] for source in by_source])
        tried: list[Tried] = []
        for source, numbers in by_source.items():
            tried += await Replay(database).replay(mappings[source], numbers, who=who, why=why)
    return tried, more


async def discard_letters(
    settings: Settings, wanted: LetterFilter, *, who: str, why: str
) -> tuple[list[int], int]:
    """Ids of the dead letters that were closed, and how many more match."""
    async with control_database(settings) as database:
        letters, more = await _chosen(settings, database, wanted)
        numbers = [letter.id for letter in letters]
        return await Replay(database).discard(numbers, who=who, why=why), more


async def _chosen(
    settings: Settings, database: Database, wanted: LetterFilter
) -> tuple[list[Letter], int]:
    if wanted.source is not None:
        require_known(wanted.source, settings, await registered_tables(database))
    letters, total = await DeadLetters(database).list(wanted, letters_max=LETTERS_MAX)
    missing = set(wanted.numbers or ()) - {letter.id for letter in letters}
    if missing:
        numbers = ", ".join(map(str, sorted(missing)))
        message = f"there is no open dead letter {numbers}"
        raise ConfigurationError(message, remedy="run `replicator dead-letters list`")
    return letters, total - len(letters)
