-- The last comparison of source and target. One row a target table.
create table {schema}.verification (
    deployment   text not null,
    source       text not null,
    target       text not null,
    started_at   timestamptz not null,
    finished_at  timestamptz not null default now(),
    sample       double precision,                   -- the share that was looked at; null: all
    compared     bigint not null,
    missing      bigint not null,
    extra        bigint not null,
    different    bigint not null,
    in_flight    bigint not null,                    -- nothing could be said of these
    rejected     bigint not null,                    -- items that do not fit: dead letters
    read_units   double precision not null,
    primary key (deployment, source, target)
);
