-- Attributes that no column and no rest column of a target takes, as workers have met them.
create table {schema}.drift (
    deployment text not null,
    source     text not null,
    target     text not null,
    attribute  text not null,
    met        bigint not null,                      -- in how many images, roughly
    first_seen timestamptz not null default now(),
    last_seen  timestamptz not null default now(),
    primary key (deployment, source, target, attribute)
);
