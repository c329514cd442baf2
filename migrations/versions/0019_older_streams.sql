-- The source has moved to this stream, though the one on record is newer by its label: whoever
-- accepts the gap makes it the current one.
alter table {schema}.gap add column makes_current boolean not null default false;
