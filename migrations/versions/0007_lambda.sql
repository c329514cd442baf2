-- The key attributes of the DynamoDB table, so that Lambda need not describe it.
alter table {schema}.table_state add column source_key jsonb;
