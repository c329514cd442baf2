-- Records a minute, as a moving average: of a shard, null until somebody reads it, and of a worker's shards, null where
-- an older version writes the row, which counts leases alone.
alter table {schema}.shard add column load real;
alter table {schema}.worker add column load real;
