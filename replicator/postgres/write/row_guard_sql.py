"""The row guard's statement: versions first, so that only what is newer is written behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.target_table import Column, TargetTable
from replicator.core.planning.row_guard import LOADS, Guard
from replicator.core.stream.source_kind import ChangeOrder
from replicator.postgres.connection.control_schema_names import ControlSchema
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_literal
from replicator.postgres.write.fence import Fence
from replicator.postgres.write.statement_parameters import Parameters
from replicator.postgres.write.version_comparison_sql import ORDERS

TARGET_ID = """(
           select id from {target_claim}
            where (target_schema, target_table) = ({schema}, {table})
              and (deployment, source) = ($1, $2))"""

CHANGES = """
    select {place} as target, {target_id} as target_id,
           {version_key} as version_key,
           {letter_id}::numeric as letter_id, v.number::numeric as number,
           {values_number}::numeric as values_number,
           to_timestamp(v.at) as at, v.deleted, v.place
      from unnest({arrays}) with ordinality as v({columns}, place), fence"""
CHANGE_TYPES = {"number": "text", "at": "float8", "deleted": "boolean"}
"""The arrays behind those of the keys: versions, creation times, whether the row goes."""
VALUES_TYPE = {"values_number": "text"}
"""One array more where rows are deleted softly: the version of the change that the values are of.
Without the array, the values are of the change itself."""
LETTER_TYPE = {"letter_id": "text"}
"""One array more for rejected changes: the dead letters' ids."""

NO_CHANGES = """
    select 0 as target, 0 as target_id, ''::bytea as version_key, 0::numeric as letter_id,
           0::numeric as number, 0::numeric as values_number,
           null::timestamptz as at, false as deleted, 0::bigint as place
     where false"""

VERSIONS = """
-- Whoever writes a key's version first writes its row; the other waits here, and checks again. In
-- the order of the keys, so that two transactions do not wait for each other.
versions as (
    insert into {row_version} as o
           (target_id, key, generation, sequence_number, deleted, snapshot_id, created_at,
            values_generation, values_number)
    select target_id, version_key, {generation}, number, deleted, {snapshot_id}, at,
           case when values_number = 0 and number > 0 then 0
                when values_number < number then {generation} end,
           case when values_number < number then values_number end
      from news
     order by target_id, version_key
        on conflict (target_id, key) do update
       set {set}
     where {newer}
 returning {returning})"""

FOUND = ("o.generation", "o.sequence_number")
GIVEN = ("excluded.generation", "excluded.sequence_number")
FOUND_VALUES = (
    "coalesce(o.values_generation, o.generation)",
    "coalesce(o.values_number, o.sequence_number)",
)
GIVEN_VALUES = (
    "coalesce(excluded.values_generation, excluded.generation)",
    "coalesce(excluded.values_number, excluded.sequence_number)",
)
"""Versions of rows, and of the values, that are there and that a statement brings."""

ON_CONFLICT: dict[Guard, dict[str, str]] = {
    "stream": {
        "set": """generation = excluded.generation, sequence_number = excluded.sequence_number,
           deleted = excluded.deleted, snapshot_id = excluded.snapshot_id,
           created_at = excluded.created_at, at = now(){marked}""",
        "newer": "{older}",
    },
    # The version stays what it is: a late older change must still find it. What a stream wrote
    # since the snapshot began carries its number, and is newer than what the scan read.
    "scan": {
        "set": """deleted = false, snapshot_id = excluded.snapshot_id, at = now(),
           values_generation = null, values_number = null""",
        "newer": """o.snapshot_id is distinct from excluded.snapshot_id
            or (o.generation, o.sequence_number) = (0, 0)""",
    },
    # Of an item's last changes in several windows the newest comes first. The version stays, as for
    # a scan; a deletion leaves a tombstone, so that a window before it does not bring the row back.
    "heal": {
        "set": """deleted = excluded.deleted, snapshot_id = excluded.snapshot_id, at = now(),
           values_generation = null, values_number = null""",
        "newer": "o.snapshot_id is distinct from excluded.snapshot_id",
    },
    # What was seen after all since the row was checked is not stale.
    "sweep": {
        "set": "deleted = true, snapshot_id = excluded.snapshot_id, at = now()",
        "newer": "o.snapshot_id is distinct from excluded.snapshot_id",
    },
    # Whatever is newer has closed the dead letter. The version stays, as for a scan.
    "letter": {
        "set": "deleted = false, at = now(), values_generation = null, values_number = null",
        "newer": "true",
    },
}

SOFT_STREAM = {
    # Deletion and values of a row each have their newest change. The version is the newer of both;
    # beside that of a soft deletion stands the one that the values are of, which may still move.
    "set": """generation = greatest(o.generation, excluded.generation),
           sequence_number = case when {older}
                                  then excluded.sequence_number else o.sequence_number end,
           deleted = case when {older} then excluded.deleted else o.deleted end,
           snapshot_id = case when {older} then excluded.snapshot_id else o.snapshot_id end,
           created_at = case when {older} then excluded.created_at else o.created_at end,
           at = now(),
           values_generation = case
               when {older} and excluded.values_number is null then null
               else greatest(coalesce(o.values_generation, o.generation),
                             coalesce(excluded.values_generation, excluded.generation)) end,
           values_number = case
               when {older} and excluded.values_number is null then null
               when {older_values}
               then coalesce(excluded.values_number, excluded.sequence_number)
               else coalesce(o.values_number, o.sequence_number) end{marked}""",
    "newer": "{older} or {older_values}",
}

MARKED = """
-- A rejected change locks its key like a good one, so that a newer change of it waits, and finds
-- the dead letter. Its version does not move, as an older change that fits may still come. A scan
-- that finds an item which does not fit has seen its key, so that the row is not deleted as stale.
-- A change of the stream has not: the item may be another by now, and its page must be written.
marked as (
    insert into {row_version} as o
           (target_id, key, generation, sequence_number, deleted, snapshot_id)
    select distinct k.target_id, k.version_key, 0, 0, false, {seen_by}
      from kept as k
     where not exists (select from news as n
                        where (n.target_id, n.version_key) = (k.target_id, k.version_key))
     order by 1, 2
        on conflict (target_id, key) do update
       set snapshot_id = coalesce(excluded.snapshot_id, o.snapshot_id), at = now()
     where {unseen}
 returning target_id, key)"""
UNSEEN: dict[Guard, str] = {
    "scan": """not (o.snapshot_id is not distinct from excluded.snapshot_id
       and (o.generation, o.sequence_number) <> (0, 0))""",
    "heal": "o.snapshot_id is distinct from excluded.snapshot_id",
}
"""Conditions for what a load rejects: nothing newer of the key is written since it began."""
KEPT_BEHIND = """
-- What the stream wrote since the snapshot began is newer than the item that the scan rejects.
kept_behind as (
    select k.target, k.letter_id
      from kept as k
     where not exists (select from marked as m
                        where (m.target_id, m.key) = (k.target_id, k.version_key)))"""
KEPT_BEHIND_COLUMNS = """,
       (select array_agg(target order by target, letter_id) from kept_behind) as behind_targets,
       (select array_agg(letter_id::bigint order by target, letter_id) from kept_behind)
           as behind_letters
"""

TURNED_AWAY = """
turned_away as (
    select n.target, n.place,
           case when {scan} then 'snapshot'
                when (o.generation, o.sequence_number) = ({generation}, n.number)
                  or (o.values_generation, o.values_number) = ({generation}, n.number)
                then 'duplicate'
                when n.at > o.created_at + interval '1 minute' then 'suspicious'
                when o.generation > {generation} then 'older_generation'
                else 'older' end as reason, {undecided} as undecided
      from news as n
      left join {row_version} as o on (o.target_id, o.key) = (n.target_id, n.version_key)
     where not exists (select from versions as v
                        where (v.target_id, v.key) = (n.target_id, n.version_key)))"""

TURNED_AWAY_COLUMNS = """
select (select count(*) from fence) as fenced,
       (select array_agg(target order by target, place) from turned_away) as away_targets,
       (select array_agg(place order by target, place) from turned_away) as away_places,
       (select array_agg(reason order by target, place) from turned_away) as away_reasons"""

OTHER_ORDERS = """
other_orders as (
    select n.target, n.place,
           case when {newer_version}
                then coalesce(v.created_at, v.at) end as at
      from news as n
      join versions as v on (v.target_id, v.key) = (n.target_id, n.version_key)
     where {newer_version}
        or {newer_values})"""

OTHER_ORDERS_COLUMNS = """,
       (select array_agg(target order by target, place) from other_orders) as other_targets,
       (select array_agg(place order by target, place) from other_orders) as other_places,
       (select array_agg(at order by target, place) from other_orders) as other_times"""

MARK_UNDECIDED = """,
           undecided = {undecided}"""
"""The row marks by itself, while it is written, that nothing decided the order: another look at the
rows would cost a tenth of a batch."""
UNDECIDED_COLUMNS = """,
       (select count(*) from versions where undecided)
     + (select count(*) from turned_away where undecided) as undecided"""

OVERTAKEN = """
overtaken as (
    select k.target, k.letter_id
      from ({kept}) as k
      join {row_version} as o on (o.target_id, o.key) = (k.target_id, k.version_key)
     where {newer})"""


@dataclass(frozen=True, slots=True)
class VersionShape:
    """Facts that decide the statement's text: targets with changes, with rejected ones, in
    order.
    """

    guard: Guard
    written: tuple[int, ...]
    kept: tuple[int, ...]
    softly: bool
    """True when changes of a stream meet soft deletions."""
    order: ChangeOrder = "number"


class VersionStatements:
    """Texts of the guard's statement for one table mapping behind one kind of fence."""

    def __init__(
        self, control: ControlSchema, targets: tuple[TargetMapping, ...], fence: Fence
    ) -> None:
        self._fence = fence
        self._fence_sql = fence.of(control)
        self._keys = [VersionKeys(control, *place) for place in enumerate(targets)]
        self._row_version = control.table("row_version")
        self.text: Callable[[VersionShape], str] = cache(self._text)

    def _text(self, shape: VersionShape) -> str:
        """The statement. It returns `fenced` (1: it may go on), and as three arrays what was turned
        away: the target's place among the table's, the change's among the target's, and the reason.
        Where rows are deleted softly, as three more, what came in another order, and the times. For
        a scan with rejected items, as two arrays, which of them the stream has overtaken.

        Parameters: the fence's, generation, snapshot id; for each target with changes, then for
        each with rejected ones, the arrays of its key followed by CHANGE_TYPES and its own type.
        """
        parameters = Parameters(self._fence.parameters)
        names = {
            "row_version": self._row_version,
            "generation": parameters.one("bigint"),
            "snapshot_id": parameters.one("bigint"),
        }
        news = [self._keys[place].changes(parameters) for place in shape.written]
        kept = [self._keys[place].changes(parameters, kept=True) for place in shape.kept]
        counts_undecided = shape.order == "time" and shape.guard == "stream"
        undecided = (
            ORDERS[shape.order].undecided(FOUND, (names["generation"], "n.number"))
            if counts_undecided
            else "false"
        )
        returning = "target_id, key" + (", undecided" if counts_undecided else "")
        parts = [
            self._fence_sql,
            _union("news", news),
            VERSIONS.format(
                **names, **_on_conflict(shape), returning="o.*" if shape.softly else returning
            ),
            TURNED_AWAY.format(
                **names, undecided=undecided, scan=str(shape.guard != "stream").lower()
            ),
        ]
        columns = TURNED_AWAY_COLUMNS
        if kept:
            seen_by = "null::bigint" if shape.guard == "stream" else names["snapshot_id"]
            unseen = UNSEEN.get(shape.guard, "true")
            parts += [
                _union("kept", kept),
                MARKED.format(**names, seen_by=seen_by, unseen=unseen),
            ]
            if shape.guard in LOADS:
                parts.append(KEPT_BEHIND)
                columns += KEPT_BEHIND_COLUMNS
        if shape.softly:
            generation = names["generation"]
            parts.append(
                OTHER_ORDERS.format(
                    newer_version=ORDERS[shape.order].older(
                        (generation, "n.number"), ("v.generation", "v.sequence_number")
                    ),
                    newer_values=ORDERS[shape.order].older(
                        (generation, "n.values_number"), ("v.values_generation", "v.values_number")
                    ),
                )
            )
            columns += OTHER_ORDERS_COLUMNS
        if counts_undecided:
            columns += UNDECIDED_COLUMNS
        return "with " + ",".join(parts) + columns


def _on_conflict(shape: VersionShape) -> dict[str, str]:
    """Effect of a change on an existing version, in the order of the change's kind."""
    order = ORDERS[shape.order]
    comparisons = {
        "older": order.older(FOUND, GIVEN),
        "older_values": order.older(FOUND_VALUES, GIVEN_VALUES),
        "marked": MARK_UNDECIDED.format(undecided=order.undecided(FOUND, GIVEN))
        if shape.order == "time"
        else "",
    }
    found = SOFT_STREAM if shape.softly else ON_CONFLICT[shape.guard]
    return {name: text.format(**comparisons) for name, text in found.items()}


class VersionKeys:
    """Expressions that make keys of versions of one target's rows; `place` is the target's."""

    def __init__(self, control: ControlSchema, place: int, target: TargetMapping) -> None:
        self._place = place
        self._table = target.table
        self._key_types = target.transports[: len(target.table.key)]
        self._target_id = TARGET_ID.format(
            target_claim=control.table("target_claim"),
            schema=quote_literal(target.table.schema),
            table=quote_literal(target.table.name),
        )

    def changes(self, parameters: Parameters, *, kept: bool = False) -> str:
        """Changes that are given as arrays, with the keys of the versions; or rejected ones."""
        columns = self._table.columns[: len(self._table.key)]
        cells = [f"v.c{index}::{column.type.sql}" for index, column in enumerate(columns)]
        values = self._table.soft and not kept
        others = CHANGE_TYPES | (LETTER_TYPE if kept else {}) | (VALUES_TYPE if values else {})
        return CHANGES.format(
            place=self._place,
            target_id=self._target_id,
            version_key=_digest(columns, cells),
            values_number="v.values_number" if values else "null",
            letter_id="v.letter_id" if kept else "0",
            arrays=parameters.arrays((*self._key_types, *others.values())),
            columns=", ".join([*(f"c{index}" for index in range(len(columns))), *others]),
        )


def overtaken(
    control: ControlSchema,
    keys: list[VersionKeys],
    parameters: Parameters,
    *,
    generation: str,
    order: ChangeOrder,
) -> str:
    """The part that finds the dead-letter ids of rejected changes whose rows have newer
    versions."""
    return OVERTAKEN.format(
        kept=" union all".join(key.changes(parameters, kept=True) for key in keys) or NO_CHANGES,
        row_version=control.table("row_version"),
        newer=ORDERS[order].older((generation, "k.number"), FOUND),
    )


def _union(name: str, groups: list[str]) -> str:
    return f"\n{name} as ({' union all'.join(groups) or NO_CHANGES})"


def version_key(table: TargetTable, alias: str) -> str:
    """The key of a row's version as an expression over a row of the target itself."""
    columns = table.columns[: len(table.key)]
    return _digest(columns, [f"{alias}.{quote_identifier(column.name)}" for column in columns])


def _digest(columns: tuple[Column, ...], cells: list[str]) -> str:
    """Sixteen bytes of a digest of the key: it may be longer than an index entry may be.

    The same for equal keys, whatever the session's settings and the digits of a number are.
    """
    texts = [column.type.digest(cell) for column, cell in zip(columns, cells, strict=True)]
    text = texts[0] if len(texts) == 1 else f"row({', '.join(texts)})::text"
    return f"substr(sha256(convert_to({text}, 'UTF8')), 1, 16)"
