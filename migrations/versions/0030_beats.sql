-- One heartbeat for all leases of a worker. `beat` grows while the worker lives and reaches the lease table; null: an
-- older version, which moves the counter of each of its leases instead. `asked`: how often others asked for its leases.
alter table {schema}.worker
    add column beat bigint,
    add column asked bigint not null default 0;
