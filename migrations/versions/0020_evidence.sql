-- What a worker has to show for its work, and when it was told: ages in seconds at that moment.
alter table {schema}.worker add column told_at timestamptz;
alter table {schema}.worker add column evidence jsonb not null default '{}';
