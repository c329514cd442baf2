-- The ARN of the DynamoDB table, which names it in all of AWS whatever an entry calls it: one table is
-- read once in a deployment. Null until `migrate` has looked at the table.
alter table {schema}.table_state add column table_arn text;
