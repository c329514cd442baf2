-- The epoch of the newest claim. An epoch beyond it was raised by a switch of the table's mode,
-- mapping or state: whoever is refused then was not overtaken by another worker.
alter table {schema}.shard add column claimed_epoch bigint;
alter table {schema}.segment add column claimed_epoch bigint;
