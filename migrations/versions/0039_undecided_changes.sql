-- The last change of the row was of the same time as the one before it, and nothing proved which was the later: told
-- as the row is written, so that nobody reads it again to count such changes. Null: an older version wrote the row.
alter table {schema}.row_version add column undecided boolean;
