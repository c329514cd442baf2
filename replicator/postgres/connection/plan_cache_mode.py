"""Lets PostgreSQL keep the plans of statements whose best plan is the same at all times.

Theory of operation
-------------------
The problem: to plan the statement of a batch of one row takes three times as long as to run it.
But a plan that is kept is made for values that are not known, for tables as they were then. What
joins arrays with a table then reads the whole table, since that was small, again and again while
the table grows. So sessions begin with `plan_cache_mode = force_custom_plan`, which plans a
statement each time it is run.

The idea: some statements leave nothing to choose, however many rows they bring and however large a
table is: those that put rows in place by the key, or find one row of the control schema by its
key. They are `steady`. A session that is used for such statements twice in a row is set to `auto`,
PostgreSQL's default, in which it plans a statement five times and then keeps a plan that promises
to be no dearer. Before it is used for any other statement it is set back.

The invariants:
  * No statement that reads or writes users' rows, and is not steady, is planned in a session that
    is set to `auto`.
  * Nothing but PostgreSQL's default reaches the statements of users' triggers, which are planned in
    the same session: `force_generic_plan` would.
  * A session that cannot be set is not used, so that what is known of it is true.
  * A plan is kept for five minutes at most: asyncpg closes a prepared statement then. PostgreSQL
    itself drops the plan as soon as one of its tables is altered or analyzed.

Broken without them: a plan for deletions by arrays, made while the table had a page, reads all of
a table that has millions of rows by then, for each batch.

Behind a pooler nothing is prepared, and a session belongs to whoever is next: nothing is set there.
"""

from typing import Any, cast

import asyncpg

STEADY_IN_A_ROW = 2
"""Uses of a session for steady statements, one after the other, after which plans are kept: where
they take turns with others, nothing is set to and fro."""
PLANNED = "set plan_cache_mode = force_custom_plan"
KEPT = "set plan_cache_mode = auto"


class PlanCacheMode:
    """The setting `plan_cache_mode` of a session, and the steady uses since the last other one."""

    __slots__ = ("keeps", "steady_uses")

    def __init__(self) -> None:
        self.keeps = False
        self.steady_uses = 0


class PlanningConnection(asyncpg.Connection):
    """A session of PostgreSQL that knows how it plans."""

    __slots__ = ("plan_mode",)

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 (asyncpg's own)
        super().__init__(*arguments, **named)
        self.plan_mode = PlanCacheMode()


async def plan_as_fits(
    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", *, steady: bool
) -> None:
    """Set a session of the pool for what comes next, where it is not set so already."""
    mode = cast("PlanningConnection", connection).plan_mode
    mode.steady_uses = mode.steady_uses + 1 if steady else 0
    keeps = mode.steady_uses >= STEADY_IN_A_ROW
    if keeps != mode.keeps:
        await connection.execute(KEPT if keeps else PLANNED)
        mode.keeps = keeps
