"""The one statement that applies a batch: fence, position, rows and dead letters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.planning.row_guard import LOADS, Guard
from replicator.core.stream.source_kind import ChangeOrder
from replicator.postgres.connection.connect import THEIR_PATH
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.write.fence import Fence
from replicator.postgres.write.row_guard_sql import VersionKeys, overtaken
from replicator.postgres.write.statement_parameters import Parameters
from replicator.postgres.write.target_sql import ChildSql, TargetShape, TargetSql
from replicator.postgres.write.trigger_interference import interference

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

SUPERSEDE_OLDER = """
-- Where changes come in any order, only what is older than the batch's change of the item goes. A
-- stream's label is its time, so that labels compare as the streams do.
superseded as (
    update {dead_letter} as l
       set state = 'superseded', closed_at = now()
      from fence, unnest({item_keys}) as n(item_key, number)
     where l.deployment = $1
       and l.source = $2
       and l.state = 'open'
       and not l.of_history
       and md5(l.item_key) = md5(n.item_key)
       and l.item_key = n.item_key
       and (substring(l.stream_arn from '[^/]*$') collate "C", coalesce(l.sequence_number, 0))
         < (substring($3 from '[^/]*$') collate "C", n.number::numeric)
 returning 1)"""

SUPERSEDE_SCANNED = """
-- What was dead-lettered before the snapshot began is older than what the scan has read since. An
-- item that a scan rejects again keeps the dead letter that it has from an earlier one.
superseded as (
    update {dead_letter} as l
       set state = 'superseded', closed_at = now()
      from fence, {snapshot} as s, unnest({item_keys}) as n(item_key, rejected)
     where s.id = {snapshot_id}
       and l.deployment = $1
       and l.source = $2
       and l.state = 'open'
       and not l.of_history
       and md5(l.item_key) = md5(n.item_key)
       and l.item_key = n.item_key
       and l.first_seen < s.started_at
       and not (n.rejected::boolean and l.sequence_number is null and l.stream_arn = $3)
 returning 1)"""

READY = """
-- Before the first row, and before a trigger of a whole statement: triggers look up names where the
-- role's setting says. This statement's own names are resolved already, in pg_catalog.
ready as materialized (select {their_path} from fence{after_superseding})"""

WRITTEN = "(select count(*) from {name}) as {name}"

DEAD_LETTERS = """
letters as (
    insert into {dead_letter} as l
           (deployment, source, stream_arn, shard_id, target, item_key, event, sequence_number,
            reason, sqlstate, record_created_at, new_image, old_image, state, of_history,
            expired)
    select $1, $2, $3, nullif($4, ''), v.target, v.item_key, v.event,
           nullif(greatest(v.letter_id::numeric, 0), 0), v.reason, v.sqlstate,
           to_timestamp(v.created_at), v.new_image, v.old_image, {state},
           v.of_history::boolean, v.expired::boolean
      from unnest({arrays})
           as v(target, item_key, event, letter_id, reason, sqlstate, created_at,
                new_image, old_image, state, of_history, expired, place), ready
     -- one that comes again may just have been superseded above: a statement writes a row once
     where not exists (
               select from {dead_letter} as k
                where (k.deployment, k.stream_arn, k.target) = ($1, $3, v.target)
                  and md5(k.item_key) = md5(v.item_key)
                  and k.item_key = v.item_key
                  and k.sequence_number = v.letter_id::numeric)
        -- a record is dead-lettered once; what a scan finds unfit again is open again, as it is now
        on conflict (deployment, stream_arn, md5(item_key), coalesce(sequence_number, -1), target)
        do update set state = 'open', closed_at = null, first_seen = now(),
                      reason = excluded.reason, new_image = excluded.new_image,
                      shard_id = excluded.shard_id
         where l.sequence_number is null and excluded.state = 'open')"""
STATE_IF_OVERTAKEN = """
           case when exists (select from overtaken as o
                              where (o.target, o.letter_id) = (v.place, v.letter_id::numeric))
                  or not v.of_history::boolean and exists (
                     select from {dead_letter} as l
                      where (l.deployment, l.stream_arn) = ($1, $3)
                        and md5(l.item_key) = md5(v.item_key)
                        and l.item_key = v.item_key
                        and not l.of_history
                        and l.sequence_number > v.letter_id::numeric)
           then 'superseded' else v.state end"""
STATE_IF_SET_ASIDE = """
           case when exists (
                     select from {dead_letter} as l, {snapshot} as s
                      where s.id = {snapshot_id}
                        and (l.deployment, l.stream_arn) = ($1, $3)
                        and md5(l.item_key) = md5(v.item_key)
                        and l.item_key = v.item_key
                        and not l.of_history
                        and l.sequence_number is not null
                        and l.first_seen >= s.started_at)
           then 'superseded' else v.state end"""
DEAD_LETTER_TYPES = (*("text",) * 6, "float8", *("text",) * 5, "integer")


@dataclass(frozen=True, slots=True)
class BatchShape:
    """Facts that decide the text of a batch's statement; few differ, so prepared statements are
    reused.

    `guard`: the guard whose statement comes before. `kept` are then the targets with rejected
    changes, by the places, and `order` is the order of the changes.
    """

    targets: tuple[TargetShape, ...]
    dead_letters: bool
    supersede: bool
    guard: Guard | None = None
    kept: tuple[int, ...] = ()
    order: ChangeOrder = "number"

    @property
    def steady(self) -> bool:
        """True when the best plan is the same at all times, so that PostgreSQL may keep it."""
        alone = not (self.dead_letters or self.supersede or self.guard)
        return alone and all(target.steady for target in self.targets)


class BatchStatements:
    """Statement texts for one table mapping behind one kind of fence, made once per shape."""

    def __init__(
        self, control: ControlSchema, targets: tuple[TargetMapping, ...], fence: Fence
    ) -> None:
        self._control = control
        self._fence = fence
        self._tables = {
            "dead_letter": control.table("dead_letter"),
            "snapshot": control.table("snapshot"),
        }
        self._targets = [TargetSql(target) for target in targets]
        self._children = [
            [ChildSql(child, target.table) for child in target.children] for target in targets
        ]
        self._written = [target.tables for target in targets]
        self._keys = [VersionKeys(control, *place) for place in enumerate(targets)]
        self.text: Callable[[BatchShape], str] = cache(self._text)
        self.joined: Callable[[BatchShape], tuple[str, list[str]]] = cache(self._joined)
        """`text` for texts that come joined (`join_texts`), and the types of the arrays."""
        self.steady: Callable[[BatchShape], bool] = cache(lambda shape: shape.steady)
        """True when PostgreSQL may keep the plan."""

    def _text(self, shape: BatchShape) -> str:
        """The statement behind a fence.

        Returned are `fenced` (1: applied, 0: superseded), `interference` (not 0: something would
        change or drop rows, and nothing was done), and how many rows were written: `upsert_<n>`,
        `delete_<n>`, `soft_delete_<n>`, `child_upsert_<n>_<child>`, `child_delete_<n>_<child>` and
        `history_<n>`.

        Parameters: the fence's; when superseding the item keys, when guarded with the versions, for
        a scan the snapshot's number and whether the items were rejected; for each target the arrays
        of upserts, deletes, soft deletes, children and appends; when there are dead letters behind
        a guard, the generation and the kept keys, for a scan the snapshot's number; at last the
        dead letters.
        """
        return self._build(shape, Parameters(self._fence.parameters))

    def _joined(self, shape: BatchShape) -> tuple[str, list[str]]:
        parameters = Parameters(self._fence.parameters, joined=True)
        return self._build(shape, parameters), parameters.kinds

    def unfenced_text(self, shape: BatchShape) -> str:
        """`text` without a fence, for a transaction that is rolled back."""
        return self._behind("fence as (select 1)", [], shape, Parameters(), stream_arn="'-'")

    def _build(self, shape: BatchShape, parameters: Parameters) -> str:
        written = [
            table
            for tables, target in zip(self._written, shape.targets, strict=True)
            if target.writes
            for table in tables
        ]
        if not written:
            fence = self._fence.of(self._control)
            columns = ["0 as interference"]
        else:
            guarded = self._fence.of(self._control, unless="interference")
            fence = f"{interference(written)},{guarded}"
            columns = ["(select count(*) from interference) as interference"]
        return self._behind(fence, columns, shape, parameters, stream_arn="$3")

    def _behind(
        self,
        fence: str,
        told: list[str],
        shape: BatchShape,
        parameters: Parameters,
        *,
        stream_arn: str,
    ) -> str:
        """The whole statement: a fence, and all parts that hang on it."""
        parts = [fence]
        if shape.supersede:
            parts.append(self._supersede(parameters, shape.guard))
        after = ", (select count(*) from superseded) as s" if shape.supersede else ""
        parts.append(READY.format(their_path=THEIR_PATH, after_superseding=after))
        columns = ["(select count(*) from ready) as fenced", *told]  # done first, as it is first
        for number, target in enumerate(shape.targets):
            for name, part in self._target(number, target, parameters, stream_arn):
                parts.append(part)
                columns.append(WRITTEN.format(name=name))
        if shape.dead_letters:
            parts += self._letters(shape, parameters)
        return "with " + ",".join(parts) + "\nselect " + ", ".join(columns)

    def _target(
        self, number: int, target: TargetShape, parameters: Parameters, stream_arn: str
    ) -> Iterator[tuple[str, str]]:
        """The parts that write one target, with the names."""
        sql = self._targets[number]
        if target.upserts:
            name = f"upsert_{number}"
            yield name, sql.upsert(name, parameters)
        if target.deletes:
            name = f"delete_{number}"
            yield name, sql.delete(name, parameters)
        if target.soft_deletes:
            name = f"soft_delete_{number}"
            yield name, sql.soft_delete(name, parameters)
        for place, child in enumerate(self._children[number]):
            gone, kept = (f"child_{kind}_{number}_{place}" for kind in ("delete", "upsert"))
            if target.children:
                delete, upsert = child.replace(gone, kept, parameters)
                yield gone, delete
                yield kept, upsert
            elif target.orphans:
                yield gone, child.orphans(gone, parameters)
        if target.appends:
            name = f"history_{number}"
            yield name, sql.append(name, parameters, stream_arn=stream_arn)

    def _supersede(self, parameters: Parameters, guard: Guard | None) -> str:
        names = dict(self._tables)
        types: tuple[str, ...] = ("text",) if guard is None else ("text", "text")
        template = SUPERSEDE if guard is None else SUPERSEDE_OLDER
        if guard in LOADS:
            template = SUPERSEDE_SCANNED
            names["snapshot_id"] = parameters.one("bigint")
        return template.format(**names, item_keys=parameters.arrays(types))

    def _letters(self, shape: BatchShape, parameters: Parameters) -> list[str]:
        parts, state = [], "v.state"
        if shape.guard in LOADS:
            snapshot_id = parameters.one("bigint")
            state = STATE_IF_SET_ASIDE.format(**self._tables, snapshot_id=snapshot_id)
        elif shape.guard is not None:
            generation = parameters.one("bigint")
            keys = [self._keys[place] for place in shape.kept]
            parts.append(
                overtaken(
                    self._control,
                    keys,
                    parameters,
                    generation=generation,
                    order=shape.order,
                )
            )
            state = STATE_IF_OVERTAKEN.format(**self._tables)
        arrays = parameters.arrays(DEAD_LETTER_TYPES)
        letters = DEAD_LETTERS.format(**self._tables, arrays=arrays, state=state)
        return [*parts, letters]
