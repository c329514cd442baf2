"""A table that dead-letters more records than the configuration allows is stopped."""

from shlex import quote

from replicator.core.table_spec import TableSpec
from replicator.engine.ports import GapsAndHalts
from replicator.errors import TooManyDeadLetters


async def check_dead_letters(gaps_and_halts: GapsAndHalts, spec: TableSpec) -> None:
    """TooManyDeadLetters when a table has more open dead letters, or new ones, than allowed."""
    counts = await gaps_and_halts.dead_letters(spec.name)
    hourly = spec.max_dead_letters_per_hour
    if counts.open > spec.max_dead_letters:
        message = (
            f"{counts.open} dead letters are open, more than max_dead_letters "
            f"({spec.max_dead_letters})"
        )
    elif hourly is not None and counts.last_hour > hourly:
        message = (
            f"{counts.last_hour} dead letters within an hour, more than "
            f"max_dead_letters_per_hour ({hourly})"
        )
    else:
        return
    name = quote(spec.name)
    raise TooManyDeadLetters(
        message,
        remedy=f"see `replicator dead-letters list --table {name}`; correct the items in DynamoDB, "
        "or the mapping: then run `replicator migrate`, restart the workers, and run "
        f"`replicator dead-letters replay --table {name}`; then `replicator resume --table {name}`",
    )
