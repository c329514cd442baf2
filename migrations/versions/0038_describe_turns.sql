-- The calls of DescribeStream that workers make together: when the last ten were allowed, the newest last.
create table {schema}.describe_turn (
    deployment text primary key,
    taken timestamptz[] not null
);
