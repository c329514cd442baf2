-- The transaction that recorded the mapping as it is now: rows of older ones were written with
-- another mapping, or by hand. Null: it was never changed since this column is there.
alter table {schema}.table_state add column mapping_xid bigint;
