-- For applications: as before, but of a table that AWS Lambda writes no lag is known, whatever the
-- daemon knew of its shards, and the row guard alone is no snapshot.
create or replace view {schema}.freshness as
select c.deployment,
       c.source as source_table,
       c.target_schema || '.' || c.target_table as target_table,
       s.applied_through,
       case when s.shards = 0 then null
            when s.open_shards = 0 or s.at_head then interval '0'
            else greatest(now() - s.applied_through, interval '0') end as lag,
       case when t.halted then 'halted'
            when g.open_gaps > 0 then 'gap'
            when t.paused then 'paused'
            when t.snapshot_id is not null or l.loading then 'snapshot'
            else 'streaming' end as state
  from {schema}.target_claim c
  join {schema}.table_state t on (t.deployment, t.source) = (c.deployment, c.source)
 cross join lateral (
       select count(*) as shards,
              count(*) filter (where h.state <> 'done') as open_shards,
              min(h.safe_at) filter (where h.state <> 'done') as applied_through,
              bool_and(h.head_at >= h.safe_at and h.polled_at > now() - interval '2 minutes')
                  filter (where h.state <> 'done') as at_head
         from {schema}.shard h
        where (h.deployment, h.source) = (c.deployment, c.source)
          and t.mode <> 'lambda') s
 cross join lateral (
       select count(*) as open_gaps
         from {schema}.gap p
        where (p.deployment, p.source) = (c.deployment, c.source) and p.state = 'open') g
 cross join lateral (
       select exists (select from {schema}.snapshot n
                       where (n.deployment, n.source) = (c.deployment, c.source)
                         and n.state in ('asked', 'running', 'refused')) as loading) l;
