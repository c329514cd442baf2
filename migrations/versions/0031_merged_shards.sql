-- A shard of a Kinesis stream may have been made by a merge: then it has a second parent, and begins when both
-- are read to their ends. Shards of DynamoDB Streams never have one.
alter table {schema}.shard add column adjacent_parent_id text;
