-- The truth about every view at the instant of asking.
--
-- Staleness is the age of the oldest commit to a base source that the view's tidemark does not reflect, and 0
-- when there is none, however long ago the last refresh was. It is never understated: commits are dated to a
-- look that did not see them yet (tidemark.first_commit_at).

alter table tidemark.view_state add column let_go_reason text;
alter table tidemark.schedule add column horizon interval not null default interval '35 days';
comment on column tidemark.schedule.horizon is 'how far ahead slots are computed';
comment on column tidemark.view_state.let_go_reason is 'why the view was cut loose; cleared by the next refresh';

-- Locks the logs before the snapshot is taken, so that no bucket can be emptied between reading a tidemark and
-- reading the log that belongs to it. Waits for the cleaner only, which holds its lock for milliseconds.
create function tidemark.hold_logs() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare logs text;
begin
  select string_agg(l, ', ') into logs from tidemark.source s, unnest(tidemark.log_tables(s.name)) l;
  if logs is not null then execute 'lock table ' || logs || ' in access share mode'; end if;
end $$;

-- Why this transaction cannot tell what is not reflected; null when it can. TRUNCATE is not MVCC-safe: of a log emptied
-- after its snapshot was taken it would see nothing, where it still has to see everything.
create function tidemark.snapshot_problem() returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select 'snapshot_too_old: a change log was emptied since this transaction began; ask in a new one'
  where current_setting('transaction_isolation') <> 'read committed'
    and exists (
      select from tidemark.source s, unnest(tidemark.log_tables(s.name)) l join pg_class c on c.oid = to_regclass(l)
       where pg_relation_filenode(c.oid) is distinct from c.relfilenode)
$$;

-- The target of a view now: of the window of business hours that holds, else the declared one.
create function tidemark.target_now(view_name text, otherwise bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce((select w.target_ms from tidemark.target_window w
                    where w.view = view_name and now() >= w.starts_at and now() < w.ends_at
                    order by w.target_ms limit 1), otherwise)
$$;

-- Whom a backend waits for, in words; null when it waits for nobody.
create function tidemark.waits_for(waiting_pid int) returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  -- On a standby, numbers of backends are those of the primary and mean others here.
  select string_agg(format('pid %s%s%s%s', a.pid,
           coalesce(' (' || nullif(a.application_name, '') || ')', ''),
           coalesce(', its transaction open for ' || date_trunc('second', clock_timestamp() - a.xact_start)::text, ''),
           coalesce((select ', holds ' || l.mode || ' on ' || l.relation::regclass::text
                       from pg_locks l join pg_locks w on w.relation = l.relation and w.pid = waiting_pid and not w.granted
                      where l.pid = a.pid and l.granted limit 1), '')), '; ')
  from unnest(pg_blocking_pids(waiting_pid)) b join pg_stat_activity a on a.pid = b
  where not pg_is_in_recovery()
$$;

create type tidemark.freshness_row as (
  view text,
  group_name text,
  state text,
  reason text,
  staleness_ms bigint,
  local_staleness_ms bigint,
  target_ms bigint,
  oldest_unreflected_at timestamptz,
  as_of timestamptz,
  confirmed_fresh_at timestamptz,
  last_refresh_at timestamptz,
  last_duration_ms bigint,
  rows bigint,
  strategy text,
  method text,
  policy text,
  paused_reason text,
  quarantine_reason text,
  waiting_for text,
  next_due_at timestamptz
);

-- One row a view; all views when `view_names` is null. VOLATILE on purpose: every statement looks anew, after the locks.
-- On a standby nobody knows what the primary has committed since the last look that has arrived here: staleness is
-- counted from that look, and a view is unknown once the look is older than its target.
create function tidemark.freshness_of(view_names text[] default null) returns setof tidemark.freshness_row
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v record;
  t record;
  r tidemark.freshness_row;
  whole_problem text;
  -- on a standby: everything committed before this has arrived
  arrived_at timestamptz;
  looked_at timestamptz;
  -- xids not reflected, by source and snapshot: views of one group share them
  memo jsonb := '{}';
  problems jsonb := '{}';
  memo_key text;
  xids xid8[];
  oldest timestamptz;
  local_oldest timestamptz;
  at timestamptz;
begin
  perform tidemark.hold_logs();
  whole_problem := coalesce(tidemark.installation_problem(), tidemark.snapshot_problem());
  if pg_is_in_recovery() then
    select coalesce(max(s.at), '-infinity') into arrived_at from tidemark.sample s;
  end if;
  for v in
    select d.*, s.populated, s.snapshot as reflected, s.as_of, s.refreshed_at, s.row_count, s.let_go_reason,
           g.quarantine_reason, g.quarantined_at
    from tidemark.view d
    join tidemark.refresh_group g on g.name = d.group_name
    left join tidemark.view_state s on s.view = d.name
    where view_names is null or d.name = any (view_names)
    order by d.name
  loop
    r := null;
    r.view := v.name;
    r.group_name := v.group_name;
    r.target_ms := tidemark.target_now(v.name, v.target_ms);
    r.as_of := v.as_of;
    r.last_refresh_at := v.refreshed_at;
    r.rows := v.row_count;
    r.strategy := v.strategy;
    r.method := v.method;
    r.policy := v.policy;
    r.paused_reason := v.pause_reason;
    r.quarantine_reason := v.quarantine_reason;
    select d.duration_ms into r.last_duration_ms from tidemark.run d
     where d.view = v.name and d.status = 'completed' order by d.run_id desc limit 1;
    select min(q.due) into r.next_due_at from tidemark.request q where q.group_name = v.group_name and q.status = 'pending';
    select tidemark.waits_for(q.pid) into r.waiting_for from tidemark.request q
     where q.group_name = v.group_name and q.status = 'running' and q.pid is not null;
    if r.waiting_for is null then
      select d.waited_for into r.waiting_for from tidemark.run d
       where d.view = v.name and d.waited_for is not null and d.status <> 'completed'
         and d.run_id = (select max(e.run_id) from tidemark.run e where e.view = v.name);
    end if;
    looked_at := clock_timestamp();
    oldest := null;
    local_oldest := null;

    r.reason := whole_problem;
    if r.reason is null and to_regclass(v.relation) is null then
      r.reason := coalesce(
        'view_renamed: ' || v.name || ' is called ' || tidemark.present_name(v.name)
          || ' now; call it so in the configuration and run tidemark apply, or rename it back',
        format('view_dropped: %s no longer exists; run tidemark plan', v.name));
    end if;
    if r.reason is null and v.unknown_reason is not null then r.reason := v.unknown_reason; end if;
    if r.reason is null and v.let_go_reason is not null then r.reason := v.let_go_reason; end if;
    if r.reason is null and not tidemark.is_as_looked_at(v.name) then r.reason := tidemark.definition_problem(v.name); end if;
    if r.reason is null and v.populated and v.reflected is null then
      r.reason := 'not_refreshed: not since this database was copied, restored or promoted';
    end if;
    if r.reason is null then
      select format('slots_exhausted: schedule %s has no slot left; run tidemark up or tidemark apply', c.name) into r.reason
      from tidemark.schedule c
      where c.view = v.name and c.active
        and not exists (select from tidemark.slot x where x.schedule_id = c.schedule_id and x.slot_at > now())
      limit 1;
    end if;

    if coalesce(v.populated, false) then
      for t in
        select m.source, m.via, m.snapshot, m.as_of,
               (select i.snapshot from tidemark.tidemark i
                 where m.via <> '' and i.view = split_part(m.via, ' < ', 1) and i.source = m.source limit 1) as input_snapshot
        from tidemark.tidemark m where m.view = v.name
        union all
        select vs.source, '', null, null, null from tidemark.view_source vs
        where vs.view = v.name
          and not exists (select from tidemark.tidemark m where m.view = v.name and m.source = vs.source and m.via = '')
      loop
        if not problems ? t.source then
          problems := problems || jsonb_build_object(t.source, coalesce(tidemark.source_problem(t.source), ''));
        end if;
        if r.reason is null and problems ->> t.source <> '' then r.reason := problems ->> t.source; end if;
        if t.snapshot is null then
          if r.reason is null then r.reason := format('not_refreshed: not since %s was captured', t.source); end if;
          continue;
        end if;
        if r.reason is null then
          select 'gap: ' || g.reason into r.reason from tidemark.gap g
          where g.source = t.source and not pg_visible_in_snapshot(g.xid, t.snapshot) limit 1;
        end if;
        memo_key := t.source || ' ' || t.snapshot::text;
        if memo ? memo_key then
          at := (memo ->> memo_key)::timestamptz;
        else
          at := tidemark.first_unreflected_at(t.source, t.snapshot, t.as_of);
          memo := memo || jsonb_build_object(memo_key, at);
        end if;
        oldest := least(oldest, at);
        if t.via = '' then
          local_oldest := least(local_oldest, at);
        elsif t.input_snapshot is not null and at is not null then
          -- behind its input: commits that the input reflects and this view does not
          xids := array(select x from unnest(tidemark.unreflected(t.source, t.snapshot)) x
                         where pg_visible_in_snapshot(x, t.input_snapshot));
          local_oldest := least(local_oldest, tidemark.first_commit_at(xids, t.as_of));
        end if;
      end loop;
      if v.time_dependent then
        oldest := least(oldest, v.as_of);
        local_oldest := least(local_oldest, v.as_of);
      end if;
    end if;

    if r.reason is null and arrived_at < looked_at - r.target_ms * interval '1 millisecond'
       and coalesce(oldest >= looked_at - r.target_ms * interval '1 millisecond', true) then
      r.reason := format('standby_behind: nothing committed after %s is known to have arrived here',
                         case when isfinite(arrived_at) then date_trunc('second', arrived_at)::text else 'the beginning' end);
    end if;
    if isfinite(arrived_at) then
      oldest := least(oldest, arrived_at);
      local_oldest := least(local_oldest, arrived_at);
    end if;

    if not coalesce(v.populated, false) then
      r.state := 'never_populated';
      r.reason := coalesce(r.reason, 'never_populated: it has not been refreshed yet');
    elsif r.reason is not null then
      r.state := 'unknown';
      r.oldest_unreflected_at := oldest;
    else
      r.oldest_unreflected_at := oldest;
      r.staleness_ms := greatest(0, ceil(extract(epoch from looked_at - oldest) * 1000))::bigint;
      r.staleness_ms := coalesce(r.staleness_ms, 0);
      r.local_staleness_ms := coalesce(greatest(0, ceil(extract(epoch from looked_at - local_oldest) * 1000))::bigint, 0);
      r.confirmed_fresh_at := coalesce(oldest, looked_at);
      if r.staleness_ms <= r.target_ms then
        r.state := 'fresh';
      else
        r.state := case when r.staleness_ms > greatest(v.very_stale_ms, r.target_ms) then 'very_stale' else 'stale' end;
        r.reason := coalesce(
          'quarantined: ' || v.quarantine_reason,
          'paused: ' || v.pause_reason,
          'waiting: for ' || r.waiting_for,
          'behind: a commit is not reflected yet');
      end if;
    end if;
    return next r;
  end loop;
end $$;

-- What readers call: the same, and an engine that sleeps is woken, for somebody looks.
create function tidemark.read_freshness(view_names text[] default null) returns setof tidemark.freshness_row
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not pg_is_in_recovery() and tidemark.is_asleep() then perform pg_notify('tidemark', 'read'); end if;
  return query select * from tidemark.freshness_of(view_names);
end $$;

create view tidemark.freshness as select * from tidemark.read_freshness();

-- system C6: what a health endpoint shows.
create function tidemark.health_check() returns table (
  view_name text, last_refresh timestamptz, age_minutes numeric, freshness text, rows_count bigint,
  needs_refresh boolean, recommendation text, staleness_ms bigint, target_ms bigint, reason text, warning text)
-- The planner takes what functions return for a thousand rows each, and would compile this just in time.
language sql volatile security definer set search_path = pg_catalog, pg_temp set jit = off as $$
  select f.view, f.last_refresh_at, round(extract(epoch from clock_timestamp() - f.last_refresh_at) / 60, 1), f.state, f.rows,
    f.state in ('stale', 'very_stale', 'unknown', 'never_populated'),
    case f.state
      when 'fresh' then case when f.staleness_ms = 0 then 'The view reflects every commit. No action needed.'
                             else 'The view is within its target. No action needed.' end
      when 'never_populated' then format('Refresh it once: call tidemark.run(%L)', f.view)
      when 'unknown' then case when f.reason like any (array['gap:%', 'not_refreshed:%', 'verification_failed:%'])
                               then format('Refresh it: call tidemark.run(%L)', f.view)
                               else 'See the reason, and run tidemark plan.' end
      else case when f.quarantine_reason is not null then format('Mend the cause, then: select tidemark.resume(%L)', f.view)
                when f.paused_reason is not null then format('It is paused. Resume it: select tidemark.resume(%L)', f.view)
                when f.waiting_for is not null then 'Its refresh waits; see waiting_for in tidemark.freshness.'
                else format('Refresh it now: call tidemark.run(%L)', f.view) end
           || coalesce(' Until then read ' || v.fallback || '.', '')
    end,
    f.staleness_ms, f.target_ms, f.reason,
    (select string_agg(format('schedule %s has slots only until %s; run tidemark up or tidemark apply', s.name, s.slots_until), '; ')
       from (select c.name, c.horizon,
                    (select max(x.slot_at) from tidemark.slot x where x.schedule_id = c.schedule_id) as slots_until
               from tidemark.schedule c where c.view = f.view and c.active) s
      where coalesce(s.slots_until, '-infinity') < now() + least(interval '7 days', s.horizon / 5))
  from tidemark.read_freshness() f join tidemark.view v on v.name = f.view
$$;
