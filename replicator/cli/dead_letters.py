"""`replicator dead-letters list` and `show`: rejected records and the reasons."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from replicator.app.administration.dead_letters import (
    grouped_letters,
    matching_letters,
    one_letter,
)
from replicator.cli.terminal.durations_and_times import in_utc, parse_duration
from replicator.cli.terminal.lazy_commands import CommandEntry, lazy_group
from replicator.cli.terminal.options import AsJson, ConfigFile, OnlyTable, load_settings, storable
from replicator.cli.terminal.output import (
    print_document,
    print_line,
    print_note,
    print_table,
    printable,
)
from replicator.core.status.duration_words import in_words
from replicator.postgres.control.dead_letter_reads import (
    Evidence,
    Letter,
    LetterFilter,
    LetterGroup,
)

LIMIT_MAX = 100_000

COMMANDS = {
    name: CommandEntry(f"replicator.cli.{place}", short_help)
    for name, place, short_help in (
        ("list", "dead_letters:list_letters", "Show dead letters, by reason or one by one"),
        ("show", "dead_letters:show", "Show one with its images, and what to do about it"),
        ("replay", "dead_letter_replay:replay", "Try open ones again, as the mapping is now"),
        ("discard", "dead_letter_replay:discard", "Close open ones without applying them"),
    )
}

app = typer.Typer(
    cls=lazy_group(COMMANDS), no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


State = Literal["open", "superseded", "replayed", "discarded", "all"]


def duration(text: str | None) -> float | None:
    """The seconds of `--older-than`."""

    if text is None:
        return None
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--older-than'") from error


OfState = Annotated[State, typer.Option("--state", help="Only these.")]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="TEXT",
        callback=storable,
        help="Only those whose reason has this in it.",
        show_default=False,
    ),
]
OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="2h",
        help="Only those dead-lettered before that (s, m, h, d).",
        show_default=False,
    ),
]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=LIMIT_MAX, help="Show at most so many.")
]
Each = Annotated[bool, typer.Option("--each", help="A line for each, not for each reason.")]


@app.callback()
def dead_letters() -> None:
    """Show the records that could not be applied, and why; replay or discard them.

    Example: replicator dead-letters list
    """


def list_letters(
    *,
    table: OnlyTable = None,
    state: OfState = "open",
    reason: Reason = None,
    older_than: OlderThan = None,
    limit: Limit = 100,
    each: Each = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Show what could not be applied and why: by reason, the most frequent first.

    With `--each` and in JSON each is shown by itself, oldest first. A dead letter is superseded
    when a newer change of the item was handled.

    Example: replicator dead-letters list --table orders --older-than 2h
    """

    wanted = _wanted(table, state, reason, older_than)
    settings = load_settings(config)
    if not each and not as_json:
        groups, reasons = asyncio.run(grouped_letters(settings, wanted, limit))
        _print_groups(groups, wanted)
        _note_more(reasons - len(groups), "reasons match", reasons)
        return
    letters, total = asyncio.run(matching_letters(settings, wanted, limit))
    _print_letters(letters, total, wanted, as_json=as_json)
    _note_more(total - len(letters), "match", total)


def _wanted(
    table: str | None, state: State, reason: str | None, older_than: str | None
) -> "LetterFilter":

    return LetterFilter(table, None if state == "all" else state, reason, duration(older_than))


def _print_groups(groups: "Sequence[LetterGroup]", wanted: "LetterFilter") -> None:
    if not groups:
        _print_none(wanted)
        return
    print_table(
        ("DEAD LETTERS", "OLDEST", "TARGET", "STATE", "ID", "REASON"),
        map(group_row, groups),
        prose=True,
    )
    print_line("")
    print_line("`replicator dead-letters show ID` shows one with its images, `list --each` all.")


def _print_letters(
    letters: Sequence[Letter], total: int, wanted: "LetterFilter", *, as_json: bool
) -> None:
    if as_json:
        found = [letter_document(letter) for letter in letters]
        print_document({"dead_letters": found, "total": total})
    elif not letters:
        _print_none(wanted)
    else:
        headers = ("ID", "AGE", "TARGET", "STATE", "KEY", "REASON")
        print_table(headers, map(letter_row, letters), prose=True)
        print_line("")
        print_line("`replicator dead-letters show ID` shows one with its images.")


def _print_none(wanted: "LetterFilter") -> None:
    which = "no" if wanted.state is None else f"no {wanted.state}"
    print_line(f"{which} dead letters" + (f" of {wanted.source}" if wanted.source else ""))


def _note_more(more: int, what: str, total: int) -> None:
    if more > 0:
        print_note(f"{more} more {what}: --limit {total} shows all")


def show(
    number: Annotated[int, typer.Argument(metavar="ID", min=1, help="As `list` shows it.")],
    *,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Show one dead letter with the images as DynamoDB JSON, and what to do about it.

    Example: replicator dead-letters show 7
    """

    letter, evidence = asyncio.run(one_letter(load_settings(config), number))
    if as_json:
        print_document(
            {"dead_letter": letter_document(letter) | evidence_document(letter, evidence)}
        )
        return
    for line in letter_lines(letter, evidence):
        print_line(line)


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
    """All further facts of a dead letter, and what to do."""
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


def group_row(group: "LetterGroup") -> list[str]:
    """One row of the list: count, age of the oldest, target, state, some ids, reason."""
    more = ", …" if group.letters > len(group.numbers) else ""
    return [
        str(group.letters),
        in_words(group.age_seconds),
        group.target,
        group.state,
        ", ".join(map(str, group.numbers)) + more,
        group.reason,
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
        "dead-lettered": f"{in_utc(letter.first_seen)}, {age} ago",
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
    """A key without the type tags: `pk=a, sk=7`; text that could be mistaken is quoted."""
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
    """The image as Python objects; lone surrogates pass."""
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
