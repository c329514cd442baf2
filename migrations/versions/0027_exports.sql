alter table {schema}.table_state drop constraint table_state_initial_load_check;
alter table {schema}.table_state add constraint table_state_initial_load_check
    check (initial_load in ('snapshot', 'export', 'stream', 'none'));

-- Every change created before is applied: what a gap lost is younger. Null: nobody knows.
alter table {schema}.gap add column since timestamptz;

alter table {schema}.snapshot add column origin text not null default 'scan'
    check (origin in ('scan', 'export', 'changes'));
-- By the source's clock, after the COMMIT that made every writer write versions.
alter table {schema}.snapshot add column guarded_at timestamptz;
-- An export that somebody else made, and that is to be loaded.
alter table {schema}.snapshot add column given_export text;

-- The parts of a phase begin when those of all earlier phases are done.
alter table {schema}.segment add column phase integer not null default 0;
-- Its place among the parts of its phase, where files are divided among them.
alter table {schema}.segment add column share integer not null default 0;

-- The exports that a snapshot loads, newest first.
create table {schema}.export (
    snapshot_id  bigint not null references {schema}.snapshot (id) on delete cascade,
    phase        integer not null,
    since        timestamptz,                    -- null: of the whole table
    until        timestamptz,                    -- null: somebody else made it, at any time
    client_token text not null default gen_random_uuid()::text,
    arn          text,                           -- null: not asked for yet
    bucket       text,                           -- null: not complete and verified yet
    summary_key  text,
    items        bigint,
    billed_bytes bigint,
    primary key (snapshot_id, phase)
);
