"""One item on its way to the rows: what is, what must be, and why both differ if they do. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.stream.ordering_mode import OrderingMode
from replicator.core.stream.table_and_shard_facts import TableFacts
from replicator.core.stream_record import Image, Version
from replicator.core.verify.row_diff import Difference, Expectation, MayBe, MustBe, MustNotBe


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """Version that the row guard keeps of a key; only where a guard was ever needed."""

    generation: int
    sequence_number: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """A dead letter of the item that is open."""

    id: int
    target: str
    sequence_number: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class PendingChange:
    """A change of the item that the stream holds and no worker has applied."""

    version: Version
    event: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Circumstances that may explain a difference. `table` None: the table was never registered.

    `pending` None: the stream could not be read to the end.
    """

    image: Image | None
    table: TableFacts | None
    mapping_fingerprint: str
    workers: int
    letters: tuple[OpenLetter, ...]
    pending: tuple[PendingChange, ...] | None


def route(target: TargetMapping, expected: Expectation, image: Image | None) -> str:
    """The way the item takes to a target, in words."""
    match expected:
        case MustBe():
            return "belongs here"
        case MayBe(rejected=str(reason)):
            return f"does not fit: {reason}"
        case MustNotBe() | MayBe() if image is None:
            return f"there is no such item (on_delete: {target.spec.on_delete})"
        case _:
            return f"`when` leaves it out (on_delete: {target.spec.on_delete})"


def reasons(
    target: TargetMapping, difference: Difference | None, around: Circumstances
) -> Iterator[str]:
    """Why row and item differ, the likeliest first; nothing where they do not."""
    if difference is None:
        return
    found = [*_of_table(around), *_of_item(target, around)]
    if difference.older_mapping:
        found.append(
            "the row was written before the mapping was changed: a snapshot loads it again"
        )
    yield from found or [
        "nothing explains it: the item was not written since the replication of this table began, "
        "or the row was changed by hand"
    ]


def _of_item(target: TargetMapping, around: Circumstances) -> Iterator[str]:
    if around.pending is None:
        yield "the stream could not be read to its end, so a change may be on its way"
    elif around.pending:
        last = around.pending[-1].version
        yield f"{len(around.pending)} changes are on their way in the stream, up to {last}"
    for letter in around.letters:
        if letter.target == target.name:
            yield f"dead letter {letter.id} is open: {letter.reason}"


def _of_table(around: Circumstances) -> Iterator[str]:
    table = around.table
    if table is None or table.stream_arn is None:
        yield "nothing of this table was ever read: run `replicator run`"
        return
    if table.halted:
        yield f"the table is halted: {table.reason}"
    if table.gaps:
        yield f"the table has a gap: {table.gaps[0].detail}"
    if table.paused:
        yield "the table is paused"
    if table.ordering is OrderingMode.GUARD:
        yield "a snapshot or a repair of the table is under way"
    if table.mapping_fingerprint != around.mapping_fingerprint:
        yield "the mapping was changed, and `replicator migrate` has not recorded it"
    if around.workers == 0 and around.pending:
        yield "no worker runs"
