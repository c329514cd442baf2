"""Compares rows of targets with the expected ones, in PostgreSQL's own types: 1.0 is 1."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from replicator.core.mapping.child_tables import ChildTable
from replicator.core.mapping.compile_mapping import TargetMapping
from replicator.core.mapping.target_table import Column
from replicator.core.values.row_builder import Row
from replicator.core.verify.key_sketch import KeyBuckets, KeyPage
from replicator.core.verify.row_diff import Expectation, FoundRow, MustBe, MustNotBe
from replicator.postgres.connection.database import Database, Session
from replicator.postgres.connection.sql_quoting import quote_identifier, quote_table
from replicator.postgres.read.compare_child_rows import (
    child_values,
    comparison_statement,
    orphans_statement,
)

ROWS_PER_PAGE = 10_000

COMPARE = """
-- one answer for each expected row, in order: is it there, and which columns are not as they must
select case when t.{a_key} is not null then {key_hash} end as key_hash,
       coalesce({deleted}, false) as deleted,
       case when v.compare and t.{a_key} is not null
            then array_remove(array[{differing}]::int[], null) end as differing,
       coalesce(age(t.xmin) > ({mapping_age}), false) as older_mapping
  from unnest($1::bool[], {arrays}) with ordinality as v(compare, {cells}, number)
  left join {table} as t on {key_matches}
 order by v.number
"""

MAPPING_AGE = """
       -- Transactions since the mapping was changed; xmin says nothing beyond two billions of them.
       select age((mapping_xid & 4294967295)::text::xid)
         from {table_state}
        where (deployment, source) = ($2, $3)
          and pg_snapshot_xmax(pg_current_snapshot())::text::bigint - mapping_xid < 2000000000
"""

PAGE = """
with page as materialized (
    select {key_cells}, {key_hash} as key_hash, row_number() over (order by {key}) as number
      from {table} as t
     where {wanted}
     order by {key}
     limit {limit})"""

HASHES = """{page}
-- the hashes of all, and the key of the last
select array(select key_hash from page) as hashes, page.*
  from page
 order by number desc
 limit 1
"""

KEYS = """{page}
-- the keys of those in the buckets, and of the last
select get_bit($1::bytea, key_hash & $2::bigint) = 1 as wanted, page.*
  from page
 where get_bit($1::bytea, key_hash & $2::bigint) = 1
    or number = (select max(number) from page)
 order by number
"""

DEAD_LETTERED = """
select distinct item_key
  from {schema}.dead_letter
 where (deployment, source, target) = ($1, $2, $3) and state = 'open'
   and md5(item_key) in (select md5(k) from unnest($4::text[]) as k)
   and item_key = any($4::text[])
"""


class TargetRows:
    """The rows of a source table's targets. What one call says of rows is true at one moment."""

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._place = (database.deployment, source)
        self._table_state = database.control.table("table_state")
        self._dead_lettered = database.control.sql(DEAD_LETTERED)
        self._sql: dict[str, _TargetSql] = {}

    async def compare(
        self, target: TargetMapping, expected: Sequence[Expectation]
    ) -> list[FoundRow | None]:
        """The row for each expectation, in order; None without a row."""
        rows = {number: _cells(target, each) for number, each in enumerate(expected)}
        asked = [number for number, row in rows.items() if row is not None]
        compare = [isinstance(expected[number], MustBe) for number in asked]
        arrays = [list(column) for column in zip(*(rows[n] or () for n in asked), strict=True)]
        found: list[FoundRow | None] = [None] * len(expected)
        if not asked:
            return found
        async with self._database.transaction("comparing rows") as connection:
            answers = await connection.fetch(self._of(target).look, compare, *self._place, *arrays)
            there = {
                number
                for number, answer in zip(asked, answers, strict=True)
                if answer["key_hash"] is not None
            }
            unlike = await self._unlike_children(connection, target, expected, there)
        for number, answer in zip(asked, answers, strict=True):
            if number in there:
                differing = answer["differing"] or ()
                columns = [target.table.columns[column].name for column in differing]
                columns += unlike.get(number, ())
                found[number] = FoundRow(
                    answer["key_hash"], answer["deleted"], tuple(columns), answer["older_mapping"]
                )
            elif number in unlike:
                found[number] = FoundRow(None, deleted=False, differing=tuple(unlike[number]))
        return found

    async def _unlike_children(
        self,
        connection: Session,
        target: TargetMapping,
        expected: Sequence[Expectation],
        there: Collection[int],
    ) -> dict[int, list[str]]:
        """The child tables whose rows are not as they must be, by the number of the parent.

        A parent that is not there, and must not be, must have none.
        """
        unlike: dict[int, list[str]] = {}
        width = len(target.table.key)
        for place, child in enumerate(target.children):
            families: dict[int, tuple[Row, Sequence[Row]]] = {}
            for number, must in enumerate(expected):
                if isinstance(must, MustBe) and number in there:
                    families[number] = must.row[:width], must.children[place]
                elif isinstance(must, MustNotBe) and number not in there:
                    families[number] = must.key, ()
            if not families:
                continue
            values = child_values(child, width, families)
            for answer in await connection.fetch(comparison_statement(child, width), *values):
                unlike.setdefault(answer["number"], []).append(child.table.qualified)
        return unlike

    async def key_hashes(self, target: TargetMapping, *, after: Row | None) -> KeyPage:
        """The next rows in the order of the keys, soft deleted ones left out."""
        sql = self._of(target)
        async with self._database.transaction("reading keys") as connection:
            answer = await connection.fetchrow(sql.hashes(after), *(after or ()))
        if answer is None:
            return KeyPage([], [], None)
        return KeyPage(answer["hashes"], [], sql.key_in(answer) if _is_full(answer) else None)

    async def keys_in(
        self, target: TargetMapping, buckets: KeyBuckets, *, after: Row | None
    ) -> KeyPage:
        """`key_hashes`, with the keys of rows that fall into the buckets."""
        sql = self._of(target)
        async with self._database.transaction("reading keys") as connection:
            answers = await connection.fetch(
                sql.keys(after), buckets.bitmap, buckets.mask, *(after or ())
            )
        keys = [sql.key_in(answer) for answer in answers if answer["wanted"]]
        more = bool(answers) and _is_full(answers[-1])
        return KeyPage([], keys, sql.key_in(answers[-1]) if more else None)

    async def orphans(
        self, target: TargetMapping, child: ChildTable, *, after: Row | None
    ) -> KeyPage:
        """The next keys of parents of child rows, and those of them without a parent's row."""
        sql = orphans_statement(target, child, behind=after is not None, limit=ROWS_PER_PAGE)
        async with self._database.transaction("looking for orphans") as connection:
            answers = await connection.fetch(sql, *(after or ()))
        key_in = self._of(target).key_in
        keys = [key_in(answer) for answer in answers if answer["wanted"]]
        more = bool(answers) and _is_full(answers[-1])
        return KeyPage([], keys, key_in(answers[-1]) if more else None)

    async def dead_lettered(
        self, target: TargetMapping, item_keys: Collection[str]
    ) -> Collection[str]:
        """The items that have an open dead letter of the target, by the keys as JSON."""
        async with self._database.transaction("reading dead letters") as connection:
            found = await connection.fetch(
                self._dead_lettered, *self._place, target.name, list(item_keys)
            )
        return {row["item_key"] for row in found}

    def _of(self, target: TargetMapping) -> "_TargetSql":
        sql = self._sql.get(target.name)
        if sql is None:
            sql = self._sql[target.name] = _TargetSql(target, self._table_state)
        return sql


def _cells(target: TargetMapping, expected: Expectation) -> Row | None:
    """The cells to look with; a row of which only the key is known is filled up."""
    if isinstance(expected, MustBe):
        return expected.row
    if expected.key is None:
        return None
    return expected.key + (None,) * (len(target.table.columns) - len(expected.key))


def _is_full(answer: Any) -> bool:  # noqa: ANN401 (a row as asyncpg gives it)
    return bool(answer["number"] == ROWS_PER_PAGE)


class _TargetSql:
    """The statements for one target. Its own names stand behind `t.` only, so none is ambiguous."""

    def __init__(self, target: TargetMapping, table_state: str) -> None:
        self._table = target.table
        self._mapping_age = MAPPING_AGE.format(table_state=table_state)
        self._columns = target.table.columns
        self._key = self._columns[: len(target.table.key)]
        self._name = quote_table(target.table.schema, target.table.name)
        self.look = self._compare(target.transports)

    def _compare(self, transports: Sequence[str]) -> str:
        return COMPARE.format(
            a_key=quote_identifier(self._key[0].name),
            key_hash=_key_hash(
                column.type.compared(f"v.c{number}::{column.type.sql}")
                for number, column in enumerate(self._key)
            ),
            deleted="t._deleted_at is not null" if self._table.soft else "false",
            differing=", ".join(
                f"case when {column.type.compared(_in_table(column))} is distinct from "
                f"{column.type.compared(f'v.c{number}::{column.type.asked}')} then {number} end"
                for number, column in enumerate(self._columns)
            ),
            mapping_age=self._mapping_age,
            arrays=", ".join(f"${n}::{kind}[]" for n, kind in enumerate(transports, 4)),
            cells=", ".join(f"c{number}" for number in range(len(self._columns))),
            table=self._name,
            key_matches=" and ".join(
                f"{_in_table(column)} = v.c{number}::{column.type.sql}"
                for number, column in enumerate(self._key)
            ),
        )

    def hashes(self, after: Row | None) -> str:
        """The statement for a page of hashes; the parameters are the cells of `after`."""
        return HASHES.format(page=self._page(after, parameters=0))

    def keys(self, after: Row | None) -> str:
        """The statement for keys in buckets: bitmap, mask, the cells of `after`."""
        return KEYS.format(page=self._page(after, parameters=2))

    def key_in(self, answer: Any) -> Row:  # noqa: ANN401 (a row as asyncpg gives it)
        """The cells of the key in an answer."""
        return tuple(answer[f"key_{number}"] for number in range(len(self._key)))

    def _page(self, after: Row | None, *, parameters: int) -> str:
        key = ", ".join(_in_table(column) for column in self._key)
        wanted = ["t._deleted_at is null"] if self._table.soft else []
        if after is not None:
            cells = ", ".join(
                f"${parameters + number}::{column.type.transport}::{column.type.sql}"
                for number, column in enumerate(self._key, 1)
            )
            wanted.append(f"({key}) > ({cells})")
        return PAGE.format(
            key=key,
            key_cells=", ".join(
                f"{_in_table(column)}::{column.type.transport} as key_{number}"
                for number, column in enumerate(self._key)
            ),
            key_hash=_key_hash(
                column.type.compared(f"{_in_table(column)}::{column.type.sql}")
                for column in self._key
            ),
            table=self._name,
            wanted=" and ".join(wanted) or "true",
            limit=ROWS_PER_PAGE,
        )


def _in_table(column: Column) -> str:
    return f"t.{quote_identifier(column.name)}"


def _key_hash(cells: Iterable[str]) -> str:
    """Hash of a key, equal on both sides for equal keys."""
    return f"hash_record_extended(row({', '.join(cells)}), 0)"
