"""Looks at all that a table of the oracle's configuration ended in, over one connection."""

import asyncio

import asyncpg

from tests.lambda_mode.oracle import Expected

FOUND = """
select (select array_agg(row(pk, n) order by pk) from public.t where pk like $1) as rows,
       (select array_agg(row(pk, n, _deleted_at,
                             array(select part from public.parts as p where p.pk = s.pk
                                    order by place)) order by pk)
          from public.soft as s where pk like $1) as soft,
       (select array_agg(row(keys ->> 'pk', sequence_number::bigint)) from public.t_history
         where keys ->> 'pk' like $1) as history,
       (select array_agg(row(item_key::jsonb #>> '{pk,S}', target, sequence_number::bigint))
          from replicator.dead_letter
         where state = 'open' and item_key::jsonb #>> '{pk,S}' like $1) as open_letters
"""


class Looking:
    """A session of its own, which may also stand in the way."""

    def __init__(self, dsn: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(dsn))

    def found(self, prefix: str) -> Expected:
        """What there is of the items whose keys begin so."""
        row = self._runner.run(self._connection.fetchrow(FOUND, f"{prefix}%"))
        assert row is not None
        return Expected(
            dict(row["rows"] or ()),
            {pk: (n, at, tuple(parts)) for pk, n, at, parts in row["soft"] or ()},
            {tuple(each) for each in row["history"] or ()},
            {tuple(each) for each in row["open_letters"] or ()},
        )

    def execute(self, text: str) -> None:
        """Statements of this session."""
        self._runner.run(self._connection.execute(text))

    def clear_dead_letters(self) -> None:
        """A thousand open ones would halt the table."""
        self.execute("delete from replicator.dead_letter")

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()
