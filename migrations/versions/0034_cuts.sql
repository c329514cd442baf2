-- Of each shard that lost changes, every change created before is applied; `since` is the earliest.
-- Null: a gap of before, of which only `since` is known.
alter table {schema}.gap add column cuts timestamptz[];
