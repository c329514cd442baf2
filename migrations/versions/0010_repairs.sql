-- A repair is a snapshot of a few keys, made by `verify --repair` itself and by no worker.
alter table {schema}.snapshot drop constraint snapshot_reason_check;
alter table {schema}.snapshot add constraint snapshot_reason_check
    check (reason in ('initial', 'gap', 'asked', 'mapping', 'repair'));
