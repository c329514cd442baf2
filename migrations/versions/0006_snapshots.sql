-- Loads of a whole table beside its stream: one row for each, whoever asked for it and why.
create table {schema}.snapshot (
    id              bigint generated always as identity primary key,
    deployment      text not null,
    source          text not null,
    reason          text not null check (reason in ('initial', 'gap', 'asked', 'mapping')),
    state           text not null default 'asked'
                    check (state in ('asked', 'running', 'refused', 'done', 'cancelled')),
    forced          boolean not null default false,  -- sweeps whatever the scan did not see
    who             text not null,
    why             text,
    detail          text,                            -- why its sweep is refused, or it was cancelled
    items_estimated bigint,                          -- what the source says the table holds
    asked_at        timestamptz not null default now(),
    started_at      timestamptz,
    ended_at        timestamptz
);
create unique index snapshot_asked on {schema}.snapshot (deployment, source)
    where state = 'asked';
create unique index snapshot_running on {schema}.snapshot (deployment, source)
    where state in ('running', 'refused');

-- A part of a snapshot that one worker works on at a time: a part of the scan, or the sweep of one
-- target after it. Fenced like a shard, by an epoch and a position that moves with the rows.
create table {schema}.segment (
    deployment  text not null,
    source      text not null,
    snapshot_id bigint not null references {schema}.snapshot (id) on delete cascade,
    number      integer not null,
    target      text,                                -- null: a part of the scan
    parts       integer not null,                    -- into how many the scan is divided
    state       text not null default 'waiting' check (state in ('waiting', 'active', 'done')),
    epoch       bigint not null default 0,           -- the fencing token
    owner       text,
    steps       bigint not null default 0,           -- committed transactions: what is compared
    position    text,                                -- JSON: the last key that is done
    items       bigint not null default 0,           -- read by the scan, or looked at by the sweep
    rows        bigint not null default 0,           -- written, or swept
    read_units  double precision not null default 0,
    moved_at    timestamptz,
    primary key (snapshot_id, number)
);
create index segment_source on {schema}.segment (deployment, source);

-- The snapshot that loads again what fell into the gap.
alter table {schema}.gap add column snapshot_id bigint;
