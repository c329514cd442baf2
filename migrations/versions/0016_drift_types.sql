-- DynamoDB's letters for the types that the attribute was met with.
alter table {schema}.drift add column types text[] not null default '{}';
