-- Since when a table is halted or paused.
alter table {schema}.table_state add column stopped_at timestamptz;
update {schema}.table_state set stopped_at = changed_at where halted or paused;

-- For applications: the lag that `status` shows. A shard is at its head only while a worker with
-- the registered mapping vouches for it, and where every shard has ended, or one lately, its
-- children may hide changes.
create or replace view {schema}.freshness as
select c.deployment,
       c.source as source_table,
       c.target_schema || '.' || c.target_table as target_table,
       s.applied_through,
       case when s.shards = 0 then null
            when s.behind_since is null then interval '0'
            else greatest(now() - s.behind_since, interval '0') end as lag,
       case when t.halted then 'halted'
            when g.open_gaps > 0 then 'gap'
            when t.paused then 'paused'
            when t.snapshot_id is not null or l.loading then 'snapshot'
            else 'streaming' end as state
  from {schema}.target_claim c
  join {schema}.table_state t on (t.deployment, t.source) = (c.deployment, c.source)
 cross join lateral (
       -- When a worker that lives, and has the registered mapping, last listed the source.
       select max(w.told_at - make_interval(secs =>
                  (w.evidence #>> array['tables', c.source, 'listed_seconds'])::float8)) as listed_at
         from {schema}.worker w
        where w.deployment = c.deployment
          and greatest(w.seen_at, w.told_at) > now() - interval '1 minute'
          and w.evidence ->> 'form' = '1'
          and w.evidence #>> array['tables', c.source, 'fingerprint'] = t.mapping_fingerprint) o
 cross join lateral (
       select count(*) as shards,
              min(h.safe_at) filter (where h.state <> 'done') as applied_through,
              min(case when f.open and not coalesce(f.at_head, false)
                       then greatest(h.safe_at, f.pending_at, case when h.safe_at is null
                                                                   then h.found_at end)
                       when f.open_end then coalesce(h.safe_at, h.found_at) end) as behind_since
         from {schema}.shard h
         left join lateral (
              select w.told_at, late.shard as late
                from {schema}.worker w
                left join lateral (
                     select each.shard
                       from jsonb_array_elements(
                            w.evidence #> array['tables', c.source, 'late']) as each (shard)
                      where each.shard ->> 'stream_arn' = h.stream_arn
                        and each.shard ->> 'shard_id' = h.shard_id
                      limit 1) late on true
               where (w.deployment, w.id) = (h.deployment, h.owner)
                 and greatest(w.seen_at, w.told_at) > now() - interval '1 minute'
                 and w.evidence ->> 'form' = '1'
                 and w.evidence #>> array['tables', c.source, 'fingerprint']
                     = t.mapping_fingerprint) w on true
        cross join lateral (
              select not (h.state = 'done' or h.state = 'gap' and h.gap_accepted_at is not null)
                         as open,
                     h.head_at = h.safe_at
                         and h.head_at > now() - interval '90 seconds'
                         and w.told_at > now() - interval '15 seconds'
                         and w.late is null as at_head,
                     (w.late ->> 'pending_at')::timestamptz as pending_at,
                     (h.state = 'done' or h.state = 'gap' and h.gap_accepted_at is not null)
                         and h.stream_arn = t.stream_arn
                         and not exists (
                             select
                               from {schema}.shard child
                              where (child.deployment, child.stream_arn, child.parent_id)
                                    = (h.deployment, h.stream_arn, h.shard_id))
                         and (not exists (
                                  select
                                    from {schema}.shard other
                                   where (other.deployment, other.source, other.stream_arn)
                                         = (h.deployment, h.source, h.stream_arn)
                                     and not (other.state = 'done' or other.state = 'gap'
                                              and other.gap_accepted_at is not null))
                              or h.done_at is not null
                                 and (o.listed_at is null
                                      or o.listed_at < h.done_at + interval '1 minute'))
                         as open_end) f
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
