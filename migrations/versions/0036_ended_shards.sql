-- Two days of finished shards are counted, and paged from the newest end on. No column of it changes with a batch.
create index shard_ended on {schema}.shard (deployment, source, done_at) where state = 'done';
-- The child of a merge is found by its second parent, too.
create index shard_adjacent on {schema}.shard (deployment, stream_arn, adjacent_parent_id)
    where adjacent_parent_id is not null;
