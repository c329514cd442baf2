-- Where every table stands. One row a source table of one deployment.
create table {schema}.table_state (
    deployment          text not null,
    source              text not null,               -- the name in the configuration
    source_table        text not null,               -- the DynamoDB table's name or ARN
    stream_arn          text,                        -- the newest generation
    mode                text not null default 'fence' check (mode in ('fence', 'guard', 'lambda')),
    mapping_revision    bigint not null default 1,
    mapping_fingerprint text not null,
    initial_load        text check (initial_load in ('snapshot', 'stream', 'none')),
    start_at            timestamptz,                 -- initial_load none: older records are skipped
    paused              boolean not null default false,
    halted              boolean not null default false,
    reason              text,                        -- why it is halted
    remedy              text,
    changed_at          timestamptz not null default now(),
    primary key (deployment, source)
);

-- The streams a table has had. A re-created or re-enabled stream is another history.
create table {schema}.generation (
    deployment  text not null,
    source      text not null,
    stream_arn  text not null,
    label_at    timestamptz not null,                -- the stream label's time orders generations
    found_at    timestamptz not null default now(),
    primary key (deployment, source, stream_arn)
);

-- The fence. The position here is the authority; leases only say who should work.
create table {schema}.shard (
    deployment            text not null,
    source                text not null,
    stream_arn            text not null,
    shard_id              text not null,
    parent_id             text,
    state                 text not null default 'waiting'
                          check (state in ('waiting', 'active', 'done', 'gap')),
    listed                boolean not null,          -- false: only named by a child
    epoch                 bigint not null default 0, -- the fencing token
    owner                 text,
    last_sequence_number  numeric(40, 0),            -- applied up to here; null: nothing yet
    known_sequence_number numeric(40, 0),            -- the newest record ever seen in a page
    last_record_at        timestamptz,               -- creation time of last_sequence_number
    safe_at               timestamptz,               -- changes created before are applied or not owed
    head_at               timestamptz,               -- when the shard was last seen to have no more
    polled_at             timestamptz,               -- the last answer of the source
    gap_accepted_at       timestamptz,               -- somebody accepted that records are lost
    found_at              timestamptz not null default now(),
    claimed_at            timestamptz,
    done_at               timestamptz,
    primary key (deployment, stream_arn, shard_id)
);
create index shard_source on {schema}.shard (deployment, source);
create index shard_parent on {schema}.shard (deployment, stream_arn, parent_id);

-- Records that were set aside, in the transaction that moved the position past them.
create table {schema}.dead_letter (
    id              bigint generated always as identity primary key,
    deployment      text not null,
    source          text not null,
    stream_arn      text not null,
    shard_id        text,
    item_key        text not null,                   -- canonical DynamoDB JSON of the key
    event           text not null,
    sequence_number numeric(40, 0),                  -- null: from a snapshot
    target          text not null,
    reason          text not null,
    sqlstate        text,
    record_created_at timestamptz,
    new_image       text,                            -- DynamoDB JSON as received: jsonb refuses NUL
    old_image       text,
    state           text not null default 'open'
                    check (state in ('open', 'superseded', 'replayed', 'discarded')),
    first_seen      timestamptz not null default now(),
    closed_at       timestamptz
);
-- md5, as a key may be longer than an index entry
create unique index dead_letter_identity on {schema}.dead_letter
    (deployment, stream_arn, md5(item_key), coalesce(sequence_number, -1), target);
create index dead_letter_open on {schema}.dead_letter (deployment, source, md5(item_key))
    where state = 'open';

-- Places where records may be lost, or are.
create table {schema}.gap (
    id          bigint generated always as identity primary key,
    deployment  text not null,
    source      text not null,
    stream_arn  text not null,
    shard_id    text,
    kind        text not null check (kind in ('possible', 'certain')),
    detail      text not null,
    found_at    timestamptz not null default now(),
    state       text not null default 'open' check (state in ('open', 'accepted', 'healed')),
    closed_at   timestamptz,
    closed_by   text,
    closed_why  text
);
create unique index gap_open on {schema}.gap (deployment, stream_arn, coalesce(shard_id, ''))
    where state = 'open';

-- One target table has one source table of one deployment.
create table {schema}.target_claim (
    target_schema text not null,
    target_table  text not null,
    deployment    text not null,
    source        text not null,
    fingerprint   text not null,
    claimed_at    timestamptz not null default now(),
    primary key (target_schema, target_table)
);

-- Who is there: for people, and to tell which shards nobody owns.
create table {schema}.worker (
    deployment text not null,
    id         text not null,
    version    text not null,
    leases     integer not null default 0,
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now(),
    primary key (deployment, id)
);

-- What was changed by hand: who, when, why.
create table {schema}.action (
    id         bigint generated always as identity primary key,
    deployment text not null,
    source     text,
    verb       text not null,
    who        text not null,
    why        text,
    detail     text,
    at         timestamptz not null default now()
);

-- For applications: up to which creation time a target holds the source's changes.
create view {schema}.freshness as
select c.deployment,
       c.source as source_table,
       c.target_schema || '.' || c.target_table as target_table,
       s.applied_through,
       case when s.open_shards = 0 or s.at_head then interval '0'
            else greatest(now() - s.applied_through, interval '0') end as lag,
       case when t.halted then 'halted'
            when g.open_gaps > 0 then 'gap'
            when t.paused then 'paused'
            when t.mode = 'guard' then 'snapshot'
            else 'streaming' end as state
  from {schema}.target_claim c
  join {schema}.table_state t on (t.deployment, t.source) = (c.deployment, c.source)
 cross join lateral (
       select count(*) filter (where h.state <> 'done') as open_shards,
              min(h.safe_at) filter (where h.state <> 'done') as applied_through,
              bool_and(h.head_at >= h.safe_at and h.polled_at > now() - interval '2 minutes')
                  filter (where h.state <> 'done') as at_head
         from {schema}.shard h
        where (h.deployment, h.source) = (c.deployment, c.source)) s
 cross join lateral (
       select count(*) as open_gaps
         from {schema}.gap p
        where (p.deployment, p.source) = (c.deployment, c.source) and p.state = 'open') g;
