-- A problem that somebody is told of. `delivered`: the last event that every receiver has; `number`
-- counts the times that the problem opened. They go with their table.
create table {schema}.notice (
    deployment text not null,
    source text not null,
    kind text not null,
    severity text not null,
    what text not null,
    remedy text not null,
    event text not null default 'opened' check (event in ('opened', 'resolved')),
    number bigint not null default 1,
    since timestamptz not null default now(),
    delivered text check (delivered in ('opened', 'resolved')),
    attempts integer not null default 0,
    tried_at timestamptz,
    primary key (deployment, source, kind),
    foreign key (deployment, source)
        references {schema}.table_state (deployment, source) on delete cascade
);
