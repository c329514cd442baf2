"""What a person does about a table that is halted. Pure."""

from replicator.errors import ReplicatorError


def how_to_go_on(error: ReplicatorError, source: str) -> str:
    """The remedy of what halted it, and the command that lets it go on."""
    command = f"replicator resume --table {source}"
    remedy = error.remedy or "correct it"
    return remedy if command in remedy else f"{remedy}; then run `{command}`"
