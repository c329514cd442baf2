-- A number for each target, so that a version of a row need not carry names.
alter table {schema}.target_claim add column id integer generated always as identity;
create unique index target_claim_id on {schema}.target_claim (id);

-- The snapshot under way, if one is: what writes a row now marks its version with it.
alter table {schema}.table_state add column snapshot_id bigint;
-- Changes created before it were applied by the daemon before Lambda took over.
alter table {schema}.table_state add column skip_before timestamptz;

-- The row guard: the newest change of each row that any writer has seen, also of rows that are gone.
-- Written first, and a row only where this was; no index but the key's, so that updates stay in place.
create table {schema}.row_version (
    target_id       integer not null,
    key             bytea not null,                  -- a digest of the row's key
    generation      bigint not null,                 -- the stream label's time in microseconds; 0: a scan
    sequence_number numeric(40, 0) not null,         -- 0: a scan, or nothing that was applied
    deleted         boolean not null,                -- a tombstone
    snapshot_id     bigint,                          -- the snapshot that has seen the key
    created_at      timestamptz,                     -- creation time of the change
    at              timestamptz not null default now(),
    primary key (target_id, key)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05);
