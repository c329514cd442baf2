"""Interference with rows on their way into a target, seen by the very statement that writes them.

Theory of operation
-------------------
The problem: a trigger that runs before each row may change or drop it, a rule may write something
else, row security may hide the row that is to be deleted. Nothing of this is an error, and a
statement does not tell it by the number of the rows either, as a row that holds the values already
is not written and one that is gone cannot be deleted. `check` refuses such a target, but somebody
may make the trigger while a worker runs, and the position moves past what was lost.

The idea: the statement of a batch reads the catalog itself, a few index look-ups, and the fence
shuts where it finds something: neither a row nor the position is written then.

The invariant: what is made before the statement has the snapshot is seen by it. PostgreSQL locks
the tables of a statement before it takes the snapshot that the statement runs with, and whoever
makes a trigger, a rule or a policy needs a stronger lock. So it has either committed, and is
visible, or waits until the statement's transaction is over. A partition is locked only when a row
is put into it: a trigger on the partition alone, made in between, is seen by the next batch.

Broken without it: a trigger returns null for some rows, and the batch commits; those rows keep
the old values although the position says that they were written.

`postgres/schema/table_fitness` has the words for it, and finds whatever else makes a target unfit.
"""

from collections.abc import Iterable

from replicator.core.mapping.compile_mapping import TableMapping
from replicator.errors import ReplicatorError, SinkBusy
from replicator.postgres.connection.database import Session
from replicator.postgres.connection.sql_quoting import quote_literal, quote_table
from replicator.postgres.schema.database_survey import unfit_targets

INTERFERENCE = """
-- Whatever changes, drops or hides rows on their way: rules, row security, and triggers before each
-- row, also of a partition. The tables are locked already, so that nothing comes in between.
interference as materialized (
    with recursive written (oid, whole) as (
        select t.oid, true from unnest(array[{tables}]) as t(oid)
         union all
        select i.inhrelid, false from written as w join pg_inherits as i on i.inhparent = w.oid)
    select c.oid
      from written as w
      join pg_class as c on c.oid = w.oid
     where (w.whole and row_security_active(c.oid))
        or (w.whole and c.relhasrules
            and exists (select from pg_rewrite as r where r.ev_class = c.oid))
        or (c.relhastriggers
            and exists (select from pg_trigger as g
                         where g.tgrelid = c.oid
                           and not g.tgisinternal
                           and g.tgenabled in ('O', 'A')
                           and (g.tgtype & 1) <> 0
                           and (g.tgtype & 66) <> 0)))"""


def interference(tables: Iterable[tuple[str, str]]) -> str:
    """The part of a statement that has a row where something interferes with the given tables."""
    names = [f"{quote_literal(quote_table(*table))}::regclass::oid" for table in tables]
    return INTERFERENCE.format(tables=", ".join(names))


async def interference_found(connection: Session, mapping: TableMapping) -> ReplicatorError:
    """The failure of a batch that met interference, in the words of `check`.

    SchemaMismatch; SinkBusy when the interference is gone again.
    """
    unfit = await unfit_targets(connection, [mapping])
    return unfit.get(mapping.spec.name) or SinkBusy(
        "something was in the way of the rows for a moment: a trigger, a rule or row security"
    )
