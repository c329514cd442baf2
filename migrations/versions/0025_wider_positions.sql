-- A position has up to 56 digits where a shard is of a Kinesis stream; it had room for 40. PostgreSQL
-- writes no row again for more digits, and an older worker sees no difference.
alter table {schema}.shard
    alter column last_sequence_number type numeric(60, 0),
    alter column known_sequence_number type numeric(60, 0);
