alter table {schema}.dead_letter
    add column expired boolean not null default false,  -- a deletion by time to live
    add column closed_by text,                          -- who replayed or discarded it
    add column closed_why text;

-- for counting those of the last hour, and for dropping those that were closed long ago
create index dead_letter_first_seen on {schema}.dead_letter (deployment, source, first_seen);
