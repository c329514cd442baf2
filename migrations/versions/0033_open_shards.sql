-- Workers poll the shards that may be read, and those that ended a moment ago; the rest are two days of finished ones.
create index shard_open on {schema}.shard (deployment, source) where state <> 'done';
create index shard_done_at on {schema}.shard (deployment, done_at) where state = 'done';
