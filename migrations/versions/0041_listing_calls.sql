-- Calls of DescribeStream that the last listing of the stream took: workers list as often as the calls of all allow.
alter table {schema}.listing add column calls integer not null default 1;
