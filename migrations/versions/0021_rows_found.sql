-- How many rows the table held when it was first claimed; null: claimed before anybody counted.
alter table {schema}.target_claim add column rows_found bigint;
