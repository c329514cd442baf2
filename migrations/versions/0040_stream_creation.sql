-- When the stream was created, as it says itself: of Kinesis streams that have one ARN one after the other, that alone
-- tells them apart. Null: DynamoDB Streams, whose label says it, or an older version saw the stream.
alter table {schema}.generation add column created_at timestamptz;
