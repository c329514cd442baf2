"""Hostile names in `public`, ahead of PostgreSQL's own: whoever resolves one there is found out.

Every function, aggregate and operator of `pg_catalog` that SQL can define has a copy in `public`
with the same types, and every type whose name is no keyword has a domain. Each of them counts in a
sequence, which no rollback undoes, and raises. The database's search path begins with `public`.
"""

from urllib.parse import urlsplit

import asyncpg

HOSTILE_PATH = "public, pg_catalog"

LAY = r"""
create sequence public.sprung;

create function public.spring(what pg_catalog.text) returns pg_catalog.bool
  language plpgsql set search_path = pg_catalog as $$
begin
    perform nextval('public.sprung');
    raise exception 'the name % was looked up in public', what;
end $$;

do $do$
declare
    each record;
    laid int := 0;
begin
    for each in
        select p.oid, p.proname as name, p.proretset as many,
               format_type(p.prorettype, null) as returns,
               (select coalesce(string_agg(format_type(a, null), ', ' order by i), '')
                  from unnest(p.proargtypes) with ordinality as t(a, i)) as arguments
          from pg_proc as p
         where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('f', 'w')
    loop
        begin
            execute format(
                'create function public.%I(%s) returns %s %s language plpgsql as '
                '$f$ begin perform public.spring(%L); end $f$',
                each.name, each.arguments, case when each.many then 'setof' else '' end,
                each.returns, each.name);
            laid := laid + 1;
        exception when others then null;  -- of a kind that SQL cannot define
        end;
    end loop;
    for each in
        select p.oid, p.proname as name,
               (select coalesce(string_agg(format_type(a, null), ', ' order by i), '')
                  from unnest(p.proargtypes) with ordinality as t(a, i)) as arguments
          from pg_proc as p join pg_aggregate as g on g.aggfnoid = p.oid
         where p.pronamespace = 'pg_catalog'::regnamespace and g.aggkind = 'n'
    loop
        begin
            execute format(
                'create function public.trap_%s(%s) returns text language plpgsql as '
                '$f$ begin perform public.spring(%L); end $f$',
                each.oid, concat_ws(', ', 'text', nullif(each.arguments, '')), each.name);
            execute format(
                'create aggregate public.%I(%s) (sfunc = public.trap_%s, stype = text)',
                each.name, coalesce(nullif(each.arguments, ''), '*'), each.oid);
            laid := laid + 1;
        exception when others then null;
        end;
    end loop;
    for each in
        select o.oid, o.oprname as name, format_type(o.oprresult, null) as returns,
               format_type(nullif(o.oprleft, 0), null) as l, format_type(o.oprright, null) as r
          from pg_operator as o
         where o.oprnamespace = 'pg_catalog'::regnamespace
    loop
        begin
            execute format(
                'create function public.trap_%s(%s) returns %s language plpgsql as '
                '$f$ begin perform public.spring(%L); end $f$',
                each.oid, concat_ws(', ', each.l, each.r), each.returns, 'operator ' || each.name);
            execute format(
                'create operator public.%s (%s rightarg = %s, function = public.trap_%s)',
                each.name, coalesce('leftarg = ' || each.l || ',', ''), each.r, each.oid);
            laid := laid + 1;
        exception when others then null;
        end;
    end loop;
    for each in
        select t.typname as name, format_type(t.oid, null) as base from pg_type as t
         where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype = 'b'
           and t.typname !~ '^_'
    loop
        begin
            execute format(
                'create domain public.%I as pg_catalog.%I check (public.spring(%L))',
                each.name, each.name, 'type ' || each.name);
            laid := laid + 1;
        exception when others then null;
        end;
    end loop;
    if laid < 3000 then
        raise exception 'only % traps could be laid', laid;
    end if;
end $do$;
"""


async def own_session(dsn: str) -> asyncpg.Connection:
    """A session of the test itself, which steps into no trap."""
    return await asyncpg.connect(dsn, server_settings={"search_path": "pg_catalog"})


async def lay_traps(dsn: str) -> None:
    """Lay them in a database, and let its sessions look into `public` first."""
    connection = await own_session(dsn)
    try:
        await connection.execute(LAY)
        name = urlsplit(dsn).path.removeprefix("/")
        await connection.execute(f'alter database "{name}" set search_path = {HOSTILE_PATH}')
    finally:
        await connection.close()


async def sprung(dsn: str) -> bool:
    """True when anything was looked up in `public`."""
    connection = await own_session(dsn)
    try:
        return bool(await connection.fetchval("select is_called from public.sprung"))
    finally:
        await connection.close()
