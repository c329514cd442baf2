-- The newest claim, by a random number. Epochs are used again after a failover that lost one: then a
-- claim that was lost and a switch that came instead have the same epoch.
alter table {schema}.shard add column claim_id uuid;
alter table {schema}.segment add column claim_id uuid;
