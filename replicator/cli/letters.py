"""A dead letter as JSON, as a row of a table, and as a page."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from replicator.cli.durations import in_utc, in_words
from replicator.cli.output import printable
from replicator.postgres.dead_letters import Evidence, Letter

KEY_LENGTH_MAX = 60


def letter_document(letter: Letter) -> dict[str, Any]:
    """The promised JSON shape; `key` is the item's key as DynamoDB JSON."""
    return {
        "id": letter.id,
        "source": letter.source,
        "target": letter.target,
        "key": json.loads(letter.item_key),
        "event": letter.event,
        "sequence_number": letter.sequence_number,
        "reason": letter.reason,
        "first_seen": letter.first_seen.isoformat(),
        "state": letter.state,
    }


def evidence_document(letter: Letter, evidence: Evidence) -> dict[str, Any]:
    """Everything else that is known of it, and what to do."""
    return {
        "stream_arn": evidence.stream_arn,
        "shard_id": evidence.shard_id,
        "sqlstate": evidence.sqlstate,
        "record_created_at": _iso(evidence.record_created_at),
        "closed_at": _iso(evidence.closed_at),
        "new_image": _parsed(evidence.new_image),
        "old_image": _parsed(evidence.old_image),
        "remedy": " ".join(_advice(letter)),
    }


def letter_row(letter: Letter) -> list[str]:
    """ID, age, target, state, key and reason."""
    return [
        str(letter.id),
        in_words(letter.age_seconds),
        letter.target,
        letter.state,
        _short(key_text(letter.item_key)),
        letter.reason,
    ]


def letter_lines(letter: Letter, evidence: Evidence) -> Iterator[str]:
    """A page about one."""
    since = f" since {in_utc(evidence.closed_at)}" if evidence.closed_at is not None else ""
    age = in_words(letter.age_seconds)
    created = evidence.record_created_at
    facts = {
        "state": letter.state + since,
        "table": f"{letter.source} -> {letter.target}",
        "key": key_text(letter.item_key),
        "event": letter.event + (f", made {in_utc(created)}" if created is not None else ""),
        "reason": letter.reason,
        "SQLSTATE": evidence.sqlstate or "-",
        "set aside": f"{in_utc(letter.first_seen)}, {age} ago",
        "sequence no.": letter.sequence_number or "none: it is from a snapshot",
        "shard": evidence.shard_id or "-",
        "stream": evidence.stream_arn,
    }
    yield f"dead letter {letter.id}"
    for name, value in facts.items():
        yield f"  {name:<13} {printable(value)}"
    for name, image in (("new image", evidence.new_image), ("old image", evidence.old_image)):
        yield ""
        yield f"{name}:" if image is not None else f"{name}: none"
        if image is not None:
            text = json.dumps(json.loads(image), indent=2, ensure_ascii=False)
            yield from (f"  {printable(line)}" for line in text.split("\n"))
    yield ""
    yield from _advice(letter)


def key_text(item_key: str) -> str:
    """A key without its type tags: `pk=a, sk=7`; text that could be mistaken is quoted."""
    attributes: dict[str, dict[str, str]] = json.loads(item_key)
    return ", ".join(
        f"{name}={_value(tag, value)}"
        for name, typed in attributes.items()
        for tag, value in typed.items()
    )


def _value(tag: str, value: object) -> str:
    if tag != "S" or not isinstance(value, str):
        return f"{value}"
    plain = value.isprintable() and not set(value) & set(' ,="')
    return value if plain and value else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= KEY_LENGTH_MAX else f"{text[: KEY_LENGTH_MAX - 1]}…"


def _parsed(image: str | None) -> object:
    """The image; it may hold lone surrogates, which only Python's own reader takes."""
    return None if image is None else json.loads(image)


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _advice(letter: Letter) -> list[str]:
    match letter.state:
        case "open":
            return [
                "Nothing of this change is in the target; other changes were applied.",
                "Correct the item in DynamoDB: its next change takes this one's place.",
                "Or make the column fit (`replicator plan`, `replicator migrate`), and then run",
                f"`replicator dead-letters replay {letter.id}`.",
            ]
        case "superseded":
            return ["Nothing to do: a newer change of the item was handled."]
        case "replayed":
            return ["Nothing to do: it was tried again and applied."]
        case "discarded":
            return ["Nothing to do: somebody decided not to apply it."]
