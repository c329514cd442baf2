-- A table's stream is listed by one worker at a time. `by` null: nobody lists it now; one that was not heard of for
-- half a minute is taken over from. `listed_at`: when the last listing began of which every shard is on record.
create table {schema}.listing (
    deployment text not null,
    source text not null,
    by text,
    begun_at timestamptz not null,
    heard_at timestamptz not null,
    listed_at timestamptz,
    primary key (deployment, source)
);
