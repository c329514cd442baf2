-- The records that the worker handled within the last minute, by table.
alter table {schema}.worker add column records_minute jsonb not null default '{}';
