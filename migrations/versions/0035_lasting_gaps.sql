-- True while the outage that the gap tells of goes on, whatever was decided about it.
alter table {schema}.gap add column lasts boolean not null default false;
create unique index gap_lasts on {schema}.gap (deployment, source, stream_arn) where lasts;
