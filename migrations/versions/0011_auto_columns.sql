-- Columns that `columns: auto` has added: part of the mapping, the same for all workers.
create table {schema}.auto_column (
    deployment text not null,
    source     text not null,
    target     text not null,
    attribute  text not null,                        -- the column has its name
    type       text not null,
    added_at   timestamptz not null default now(),
    primary key (deployment, target, attribute)
);
