-- Of a row that is deleted softly: the newest change that its values are of, where the version is the
-- deletion's. Null: the version is that of both. So either may come in any order.
alter table {schema}.row_version add column values_generation bigint;
alter table {schema}.row_version add column values_number numeric(40, 0);
