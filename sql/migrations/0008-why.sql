-- Why a view is as stale as it is: the facts from the oldest commit that it does not reflect to the run that will, in
-- one look. For people and programs alike; `tidemark why` makes sentences of it.
create function tidemark.why(view text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v tidemark.view;
  g tidemark.refresh_group;
begin
  perform tidemark.hold_logs();
  select * into v from tidemark.view d where d.name = tidemark.view_named(why.view);
  select * into g from tidemark.refresh_group rg where rg.name = v.group_name;
  return jsonb_build_object(
    'now', clock_timestamp(),
    -- sources of which commits are not reflected; via: through which views
    'behind', (
      select coalesce(jsonb_agg(to_jsonb(b) order by b.oldest_at), '[]')
      from (select m.source, m.via, cardinality(x.xids) as commits,
                   tidemark.first_unreflected_at(m.source, m.snapshot, m.as_of) as oldest_at
              from tidemark.tidemark m, lateral (select tidemark.unreflected(m.source, m.snapshot) as xids offset 0) x
             where m.view = v.name and cardinality(x.xids) > 0) b),
    'pending', (
      select to_jsonb(r) from (
        select q.due, q.requested_at, q.lane, q.deadline, q.trigger_type, q.triggered_by, q.requests, q.attempt
          from tidemark.request q where q.group_name = v.group_name and q.status = 'pending') r),
    'running', (
      select to_jsonb(r) from (
        select q.requested_at, q.claimed_at, q.trigger_type, q.triggered_by, q.worker, q.pid,
               tidemark.is_working(q) as at_work, tidemark.waits_for(q.pid) as waits_for
          from tidemark.request q where q.group_name = v.group_name and q.status = 'running') r),
    -- groups whose refresh comes first, because this one reads their views
    'inputs', (
      select coalesce(jsonb_agg(distinct q.group_name), '[]')
        from tidemark.view reader
        join tidemark.view_input i on i.view = reader.name
        join tidemark.view input on input.name = i.input and input.group_name <> v.group_name
        join tidemark.request q on q.group_name = input.group_name
       where reader.group_name = v.group_name
         and (q.status = 'running' or q.due <= clock_timestamp())),
    'last', (
      select to_jsonb(r) from (
        select d.run_id, d.status, d.trigger_type, d.triggered_by, d.reasons, d.oldest_commit_at, d.requested_at, d.started_at,
               d.finished_at, d.duration_ms, d.rows_total, d.rows_inserted, d.rows_updated, d.rows_deleted, d.changes, d.method, d.differing, d.groups_checked,
               d.waited_for, d.worker, coalesce(d.error, d.reason) as message
          from tidemark.run d where d.view = v.name and d.status not in ('running', 'queued')
         order by d.run_id desc limit 1) r),
    'failures', g.failures,
    'not_before', g.not_before,
    'quarantined_at', g.quarantined_at,
    'usual_ms', tidemark.usual_ms(v.group_name),
    -- from how many changes on it is refreshed in full, and why; null where it always is
    'choice', tidemark.choice(v.name),
    'time_dependent', v.time_dependent,
    -- ticks look at the clock: the last look says when somebody last decided what is due
    'last_look_at', (select max(s.at) from tidemark.sample s),
    'asleep', tidemark.is_asleep());
end $$;

revoke all on function tidemark.why(text) from public;
