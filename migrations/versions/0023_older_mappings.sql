-- Fingerprints of mappings that were registered before, the last one last: a configuration that has
-- one of them is older than what is registered, and is to be updated, not migrated back to.
alter table {schema}.table_state add column older_mappings text[] not null default '{}';
