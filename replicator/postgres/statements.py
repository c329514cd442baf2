"""The one statement that applies a batch: fence, position, rows and dead letters."""

from dataclasses import dataclass
from functools import cached_property

from replicator.core.history import HISTORY_TRANSPORTS
from replicator.core.identifiers import parse_table_name
from replicator.core.mapping import TargetMapping
from replicator.core.target_table import TargetTable
from replicator.postgres.quoting import quote_identifier, quote_table

FENCE = """
-- The compare-and-set comes first: every write below reads from it, so that a worker that was
-- superseded writes nothing. It takes the row lock and lets it go in one message.
fence as (
    update {shard}
       set last_sequence_number = $6::text::numeric,
           known_sequence_number = greatest(known_sequence_number, $7::text::numeric),
           last_record_at = coalesce($8::timestamptz, last_record_at),
           safe_at = greatest(safe_at, $8::timestamptz),
           polled_at = greatest(polled_at, $9::timestamptz)
     where deployment = $1
       and stream_arn = $3
       and shard_id = $4
       and source = $2
       and epoch = $5
       and state = 'active'
       and last_sequence_number is not distinct from $10::text::numeric
 returning 1)"""
FENCE_PARAMETERS = 10

SUPERSEDE = """
-- Older dead letters of the batch's items are superseded before any row is touched.
superseded as (
    update {dead_letter}
       set state = 'superseded', closed_at = now()
      from fence
     where deployment = $1
       and source = $2
       and state = 'open'
       and not of_history
       and md5(item_key) in (select md5(k) from unnest({item_keys}) as k)
       and item_key = any({item_keys})
 returning 1)"""

READY = """
ready as (select 1 from fence{after_superseding})"""

DELETE = """
{name} as (
    delete from {table} as t
     using unnest({arrays}) as v({columns}), ready
     where {key_matches}
 returning 1)"""

DELETED = "(select count(*) from delete_{number}) as deleted_{number}"

SOFT_DELETE = """
{name} as (
    update {table} as t
       set _deleted_at = v._deleted_at::timestamptz
      from unnest({arrays}) as v({columns}), ready
     where {key_matches}
 returning 1)"""

UPSERT = """
{name} as (
    insert into {table} as t ({columns})
    select {values}
      from unnest({arrays}) as v({columns}), ready
        on conflict ({key}) do {on_conflict})"""

HISTORY = """
-- Each change once: a repeated one meets the unique index.
{name} as (
    insert into {table}
           (stream_arn, sequence_number, operation, created_at, keys, new_image, old_image)
    select {stream_arn}, v.sequence_number::numeric, v.operation, v.created_at::timestamptz,
           v.keys::jsonb, v.new_image::jsonb, v.old_image::jsonb
      from unnest({arrays})
           as v(sequence_number, operation, created_at, keys, new_image, old_image), ready
        on conflict do nothing
 returning 1)"""

APPENDED = "(select count(*) from history_{number}) as appended_{number}"

DEAD_LETTERS = """
letters as (
    insert into {dead_letter}
           (deployment, source, stream_arn, shard_id, target, item_key, event, sequence_number,
            reason, sqlstate, record_created_at, new_image, old_image, state, of_history)
    select $1, $2, $3, $4, v.target, v.item_key, v.event, v.sequence_number::numeric,
           v.reason, v.sqlstate, to_timestamp(v.created_at), v.new_image, v.old_image, v.state,
           v.of_history::boolean
      from unnest({arrays})
           as v(target, item_key, event, sequence_number, reason, sqlstate, created_at,
                new_image, old_image, state, of_history), ready
        on conflict do nothing)"""
DEAD_LETTER_TYPES = (*("text",) * 6, "float8", *("text",) * 4)


@dataclass(frozen=True, slots=True)
class TargetShape:
    """Which kinds of writes a plan holds for one target."""

    upserts: bool
    deletes: bool
    soft_deletes: bool
    appends: bool


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What decides the text of a batch's statement; few differ, so prepared ones are reused."""

    targets: tuple[TargetShape, ...]
    dead_letters: bool
    supersede: bool


class BatchStatements:
    """Statement texts for one table mapping, made once per shape."""

    def __init__(self, control_schema: str, targets: tuple[TargetMapping, ...]) -> None:
        self._shard = quote_table(control_schema, "shard")
        self._dead_letter = quote_table(control_schema, "dead_letter")
        self._targets = [_TargetSql(target) for target in targets]
        self._texts: dict[BatchShape, str] = {}

    def text(self, shape: BatchShape) -> str:
        """The statement. It returns `fenced` (1: applied, 0: superseded), `deleted_<n>` and
        `appended_<n>`.

        Parameters: the fence's ten, the item keys when superseding, then for each target the
        arrays of its upserts, deletes, soft deletes and appends, then those of the dead letters.
        """
        text = self._texts.get(shape)
        if text is None:
            fence = FENCE.format(shard=self._shard)
            parameters = _Parameters(FENCE_PARAMETERS)
            text = self._texts[shape] = self._build(shape, fence, parameters, stream_arn="$3")
        return text

    def unfenced_text(self, shape: BatchShape) -> str:
        """The same writes without a fence, for a transaction that is rolled back."""
        return self._build(shape, "fence as (select 1)", _Parameters(0), stream_arn="'-'")

    def _build(
        self, shape: BatchShape, fence: str, parameters: "_Parameters", *, stream_arn: str
    ) -> str:
        parts = [fence]
        if shape.supersede:
            item_keys = parameters.take(("text",))
            parts.append(SUPERSEDE.format(dead_letter=self._dead_letter, item_keys=item_keys))
        after = ", (select count(*) from superseded) as s" if shape.supersede else ""
        parts.append(READY.format(after_superseding=after))
        counts = []
        for number, (sql, target) in enumerate(zip(self._targets, shape.targets, strict=True)):
            if target.upserts:
                parts.append(sql.upsert(f"upsert_{number}", parameters))
            if target.deletes:
                parts.append(sql.delete(f"delete_{number}", parameters))
                counts.append(DELETED.format(number=number))
            if target.soft_deletes:
                parts.append(sql.soft_delete(f"soft_delete_{number}", parameters))
            if target.appends:
                parts.append(sql.append(f"history_{number}", parameters, stream_arn=stream_arn))
                counts.append(APPENDED.format(number=number))
        if shape.dead_letters:
            arrays = parameters.take(DEAD_LETTER_TYPES)
            parts.append(DEAD_LETTERS.format(dead_letter=self._dead_letter, arrays=arrays))
        counts.append("(select count(*) from fence) as fenced")
        return "with " + ",".join(parts) + "\nselect " + ", ".join(counts)


class _Parameters:
    """Numbers the parameters of a statement in the order they are taken."""

    def __init__(self, used: int) -> None:
        self._used = used

    def take(self, types: tuple[str, ...]) -> str:
        first = self._used + 1
        self._used += len(types)
        return ", ".join(f"${first + index}::{kind}[]" for index, kind in enumerate(types))


class _TargetSql:
    """The parts of a statement that write one target."""

    def __init__(self, target: TargetMapping) -> None:
        self._table: TargetTable = target.table
        self._transports = target.transports
        self._history = target.spec.history

    def upsert(self, name: str, parameters: _Parameters) -> str:
        keys = set(self._table.key)
        others = [column.name for column in self._table.columns if column.name not in keys]
        on_conflict = "nothing"
        if others:
            names = ", ".join(quote_identifier(other) for other in others)
            values = ", ".join(f"excluded.{quote_identifier(other)}" for other in others)
            on_conflict = f"update set ({names}) = row({values})"
        return UPSERT.format(
            name=name,
            table=self._quoted,
            columns=", ".join(quote_identifier(column.name) for column in self._table.columns),
            values=", ".join(
                f"v.{quote_identifier(column.name)}::{column.type.sql}"
                for column in self._table.columns
            ),
            arrays=parameters.take(self._transports),
            key=", ".join(quote_identifier(key) for key in self._table.key),
            on_conflict=on_conflict,
        )

    def delete(self, name: str, parameters: _Parameters) -> str:
        return DELETE.format(
            name=name,
            table=self._quoted,
            arrays=parameters.take(self._key_transports),
            columns=self._key_columns,
            key_matches=self._key_matches,
        )

    def soft_delete(self, name: str, parameters: _Parameters) -> str:
        return SOFT_DELETE.format(
            name=name,
            table=self._quoted,
            arrays=parameters.take((*self._key_transports, "text")),
            columns=f"{self._key_columns}, _deleted_at",
            key_matches=self._key_matches,
        )

    def append(self, name: str, parameters: _Parameters, *, stream_arn: str) -> str:
        return HISTORY.format(
            name=name,
            table=quote_table(*parse_table_name(self._history or "")),
            stream_arn=stream_arn,
            arrays=parameters.take(HISTORY_TRANSPORTS),
        )

    @cached_property
    def _quoted(self) -> str:
        return quote_table(self._table.schema, self._table.name)

    @cached_property
    def _key_transports(self) -> tuple[str, ...]:
        return self._transports[: len(self._table.key)]

    @cached_property
    def _key_columns(self) -> str:
        return ", ".join(quote_identifier(key) for key in self._table.key)

    @cached_property
    def _key_matches(self) -> str:
        types = {column.name: column.type.sql for column in self._table.columns}
        return " and ".join(
            f"t.{quote_identifier(key)} = v.{quote_identifier(key)}::{types[key]}"
            for key in self._table.key
        )
