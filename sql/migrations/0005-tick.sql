-- tick(): what is due, decided. Any number of tickers may call it at any time (engine, pg_cron, the OS's cron, HTTP);
-- each slot fires once, because who decides holds the schedule's row and the slot has no outcome yet.
-- It does no refresh and waits for nobody longer than its lock_timeout.

-- Looks at the clock, at most every sample_ms. The time is read before the snapshot (now() precedes it).
create function tidemark.look() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into tidemark.sample (at, snapshot)
  select now(), tidemark.snapshot_now()
  where not exists (select from tidemark.sample s
                     where s.at > now() - tidemark.number_setting('sample_ms') * interval '1 millisecond' and s.at <= now())
$$;

-- The clock of the server was set back. What is noted for a time that has yet to come would be waited for until then, and
-- what is dated to it would not grow stale. The looks, of which one is never long ago, tell by how much; they are taken back.
-- What somebody is writing is left to the next tick.
create function tidemark.follow_clock() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  present timestamptz := clock_timestamp();
  -- Servers of which one takes the place of the other differ by so much.
  future timestamptz := present + interval '1 second';
  ahead interval;
begin
  with gone as (
    delete from tidemark.sample s
    where s.ctid = any (array(select x.ctid from tidemark.sample x where x.at > future for update skip locked))
    returning s.at)
  select max(g.at) - present into ahead from gone g;

  update tidemark.tidemark t set as_of = least(present, t.as_of - coalesce(ahead, '0'))
  where t.ctid = any (array(select x.ctid from tidemark.tidemark x where x.as_of > future for update skip locked));
  update tidemark.first_unreflected f set at = least(present, f.at - coalesce(ahead, '0'))
  where f.ctid = any (array(select x.ctid from tidemark.first_unreflected x where x.at > future for update skip locked));
  update tidemark.view_state s
     set as_of = least(s.as_of, present), refreshed_at = least(s.refreshed_at, present), checked_at = least(s.checked_at, present)
  where s.ctid = any (array(
    select x.ctid from tidemark.view_state x where greatest(x.as_of, x.refreshed_at, x.checked_at) > future for update skip locked));
  update tidemark.event e set at = present
  where e.ctid = any (array(select x.ctid from tidemark.event x where x.at > future for update skip locked));
  update tidemark.cache_state s set sequenced_at = present
  where s.ctid = any (array(select x.ctid from tidemark.cache_state x where x.sequenced_at > future for update skip locked));
  update tidemark.cache_table c set cleaned_at = present
  where c.ctid = any (array(select x.ctid from tidemark.cache_table x where x.cleaned_at > future for update skip locked));
  if ahead is null then return; end if;

  update tidemark.request q set due = q.due - ahead
  where q.request_id = any (array(
    select x.request_id from tidemark.request x where x.status = 'pending' and x.due > present for update skip locked));
  update tidemark.refresh_group g set not_before = g.not_before - ahead, kept_up_at = least(g.kept_up_at, present)
  where g.name = any (array(
    select x.name from tidemark.refresh_group x where greatest(x.not_before, x.kept_up_at) > present for no key update skip locked));
  -- They would be served, or their keys be held, for so much longer.
  delete from tidemark.shared_entry e where e.leased_at > present;
  delete from tidemark.shared_lease l where l.leased_at > present;
  delete from tidemark.shared_failure f where f.failed_at > present;
end $$;

-- Gives back what dead workers held: their backend no longer holds the lease, however it ended.
create function tidemark.reap() returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  q tidemark.request;
  reaped int := 0;
begin
  for q in select r.* from tidemark.request r
            where r.status = 'running'
              and (r.claimed_at < clock_timestamp() - interval '5 seconds'
                   or not exists (select from pg_stat_activity a where a.pid = r.pid))
            for update skip locked
  loop
    continue when tidemark.is_working(q);
    begin
      update tidemark.run r
         set status = coalesce(q.stop_status, 'lost'), finished_at = clock_timestamp(), error = 'the backend that worked on it ended',
             duration_ms = extract(epoch from clock_timestamp() - r.started_at) * 1000
       where r.request_id = q.request_id and r.status = 'running';
      -- A refresh that takes its backend down takes the server with it: after three times it waits ever longer.
      perform tidemark.put_back(q, clock_timestamp()
        + case when q.attempt < 3 then 0 else least(600, 2 ^ least(q.attempt - 2, 10)) end * interval '1 second');
      reaped := reaped + 1;
    exception when lock_not_available then null;  -- somebody has asked in a transaction that is open; next time
    end;
  end loop;
  return reaped;
end $$;

-- Asks like enqueue, but does not wait for whoever has asked in a transaction that is still open: null then.
-- One such transaction must not keep everything else from being decided.
create function tidemark.try_enqueue(
  group_name text, trigger_type text, triggered_by text, lane smallint, due timestamptz, force boolean default false,
  deadline timestamptz default null)
returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '20ms' as $$
begin
  return tidemark.enqueue($1, $2, $3, $4, $5, $6, $7);
exception when lock_not_available then return null;
end $$;

-- Decides the slots that are due. The newest of a schedule fires, older ones collapse into it; beyond catch_up they are missed.
create function tidemark.fire_slots() returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  c record;
  newest timestamptz;
  blocked text;
  fired int := 0;
begin
  for c in
    select s.*, v.group_name, v.pause_reason as view_pause
    from tidemark.schedule s join tidemark.view v on v.name = s.view
    where exists (select from tidemark.slot x where x.schedule_id = s.schedule_id and x.outcome is null and x.slot_at <= now())
    for update of s skip locked
  loop
    select max(x.slot_at) into newest from tidemark.slot x
     where x.schedule_id = c.schedule_id and x.outcome is null and x.slot_at <= now();
    continue when newest is null;
    blocked := case when not c.active then 'schedule paused: ' || coalesce(c.pause_reason, 'no reason given')
                    when c.view_pause is not null then 'view paused: ' || c.view_pause end;
    if blocked is null and newest >= now() - c.catch_up then
      continue when tidemark.try_enqueue(c.group_name, 'cron', c.name, c.lane, now(), c.force) is null;
      fired := fired + 1;
    end if;
    update tidemark.slot x
       set decided_at = clock_timestamp(), decided_by = coalesce(nullif(current_setting('application_name'), ''), 'tick'),
           outcome = case when blocked is not null then 'skipped'
                          when newest < now() - c.catch_up then 'missed'
                          when x.slot_at = newest then 'fired' else 'collapsed' end,
           reason = case when blocked is not null then blocked
                         when newest < now() - c.catch_up then 'nobody ticked within ' || c.catch_up
                         when x.slot_at < newest then 'one run serves the slot of ' || newest end
     where x.schedule_id = c.schedule_id and x.outcome is null and x.slot_at <= now();
  end loop;
  return fired;
end $$;

-- Turns events that writers left into requests, one a view, due after the rule's batch window.
create function tidemark.take_events() returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  taken int := 0;
  e record;
begin
  for e in
    with gone as (
      delete from tidemark.event x
      where x.ctid = any (array(select y.ctid from tidemark.event y limit 10000 for update skip locked))
      returning x.rule, x.at)
    select r.name, v.group_name, v.paused_at, r.lane, min(g.at) as first_at,
           min(g.at) + r.batch_ms * interval '1 millisecond' as due, count(*) as events
    from gone g join tidemark.event_rule r on r.name = g.rule join tidemark.view v on v.name = r.view
    group by 1, 2, 3, 4, r.batch_ms
  loop
    taken := taken + e.events;
    continue when e.paused_at is not null;
    if tidemark.try_enqueue(e.group_name, 'event', e.name, e.lane, e.due) is null then
      insert into tidemark.event (rule, at) values (e.name, e.first_at);
    end if;
  end loop;
  return taken;
end $$;

-- Asks for refreshes that targets need: at (oldest unreflected commit + target - margin), where the margin is
-- 1.5 times what a refresh usually takes, and a second; `eager` at once; `budget` when its busy seconds allow.
create function tidemark.meet_targets() returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  n record;
  usual bigint;
  margin interval;
  due_at timestamptz;
  asked int := 0;
begin
  for n in
    select f.group_name,
           min(f.oldest_unreflected_at + f.target_ms * interval '1 millisecond') as deadline,
           min(f.oldest_unreflected_at) as oldest,
           bool_or(f.policy = 'eager' and f.oldest_unreflected_at is not null) as eager,
           bool_or(f.state = 'never_populated' or coalesce(f.reason, '') like any
             (array['gap:%', 'not_refreshed:%', 'log_released:%', 'verification_failed:%'])) as broken,
           -- its commits are not seen: as often as the target asks, changed or not
           min(f.last_refresh_at + f.target_ms * interval '1 millisecond') filter (where f.state = 'unknown') as blind_deadline,
           min(f.last_refresh_at + f.target_ms / 2 * interval '1 millisecond') filter (where f.state = 'unknown') as blind_from,
           bool_and(f.policy = 'budget') as budgeted,
           min(v.budget_seconds_per_hour) as budget,
           max(f.last_refresh_at) as last_refresh_at
    from tidemark.freshness_of() f
    join tidemark.view v on v.name = f.view
    join tidemark.refresh_group g on g.name = f.group_name
    where v.paused_at is null and g.quarantined_at is null
      and not exists (select from tidemark.request q where q.group_name = f.group_name and q.status = 'pending')
    group by f.group_name
  loop
    continue when n.oldest is null and not n.broken and n.blind_deadline is null;
    -- Somebody looks after it by the short way.
    continue when n.eager and not n.broken and n.blind_deadline is null and exists (
      select from tidemark.refresh_group k where k.name = n.group_name and k.kept_up_at > clock_timestamp() - interval '3 seconds');
    usual := tidemark.usual_ms(n.group_name);
    if n.broken or n.eager then
      due_at := now();
    elsif n.budgeted and n.blind_deadline is null then
      due_at := coalesce(n.last_refresh_at, '-infinity')
                + (usual / greatest(coalesce(n.budget, 3600), 0.001) * 3600) * interval '1 millisecond';
    else
      margin := (usual * 1.5 + 1000) * interval '1 millisecond';
      -- A target shorter than the margin must not make a blind view be refreshed without end.
      due_at := least(n.deadline - margin, greatest(n.blind_deadline - margin, n.blind_from));
    end if;
    continue when due_at > clock_timestamp();
    -- What runs now may serve it; ask again once it has ended.
    continue when exists (select from tidemark.request q where q.group_name = n.group_name and q.status = 'running');
    -- Refreshed since we looked.
    continue when (select max(st.refreshed_at) from tidemark.view_state st join tidemark.view v on v.name = st.view
                    where v.group_name = n.group_name and v.paused_at is null) is distinct from n.last_refresh_at;
    continue when tidemark.try_enqueue(
      n.group_name, 'target', case when n.eager then 'eager' when n.broken or n.oldest is null then 'unknown' else 'deadline' end,
      1::smallint, clock_timestamp(), n.broken or n.blind_deadline is not null, n.deadline) is null;
    asked := asked + 1;
    -- Inputs in other groups come first.
    perform tidemark.try_enqueue(d.group_name, 'dependency', n.group_name, 1::smallint, clock_timestamp(), false, n.deadline)
    from (select distinct input.group_name
            from tidemark.view reader join tidemark.view_input i on i.view = reader.name
            join tidemark.view input on input.name = i.input
           where reader.group_name = n.group_name and input.group_name <> n.group_name and input.paused_at is null) d
    where not exists (select from tidemark.request q where q.group_name = d.group_name);
  end loop;
  return asked;
end $$;

-- Lets go of the idlest view of a log that grew beyond its bound: of one view at a time, and of none as long as what
-- is needed is within the bound, for then the cleaner is to blame, or a transaction that keeps it out. A view that is
-- being refreshed is about to move on by itself, and letting go of a less idle one would free nothing.
create function tidemark.bound_logs() returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  bytes_max bigint := tidemark.number_setting('max_log_bytes');
  s record;
  idlest text;
  released int := 0;
begin
  for s in select x.name from tidemark.source x where x.status = 'captured' and tidemark.log_bytes(x.name) > bytes_max
  loop
    continue when tidemark.needed_log_bytes(s.name) <= bytes_max;
    released := released + tidemark.let_go_of_caches(s.name);
    continue when tidemark.needed_log_bytes(s.name) <= bytes_max;
    select t.view into idlest from tidemark.tidemark t where t.source = s.name order by t.as_of limit 1;
    perform from tidemark.view_state st where st.view = idlest for update skip locked;
    continue when not found;
    delete from tidemark.tidemark t where t.view = idlest and t.source = s.name;
    update tidemark.view_state st
       set let_go_reason = format('log_released: the change log of %s grew beyond maxLogSize before this view was refreshed', s.name)
     where st.view = idlest;
    released := released + 1;
  end loop;
  return released;
end $$;

-- Follows the partitions of a source: what it did, '' when somebody is at work on one of them, null when it cannot.
create function tidemark.try_follow(source_name text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '20ms' as $$
begin
  return tidemark.follow(source_name);
exception
  when lock_not_available then return '';
  when insufficient_privilege then return null;
end $$;

create function tidemark.tick() returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  s record;
  did text;
  followed int := 0;
  reaped int;
  fired int;
  taken int;
  asked int;
  released int;
begin
  if pg_is_in_recovery() then
    perform tidemark.fail('TIDEMARK_STANDBY', 'This server is a standby', 'Tick on the primary.');
  end if;
  perform tidemark.follow_clock();
  perform tidemark.look();
  if tidemark.installation_problem() is not null then
    return jsonb_build_object('problem', tidemark.installation_problem(), 'pending', 0);
  end if;
  -- What changed under a source becomes a fact, so that it is not forgotten when it is changed back.
  for s in select x.name from tidemark.source x
            where x.status = 'captured' and tidemark.source_problem(x.name) is not null for update skip locked
  loop
    did := tidemark.try_follow(s.name);
    if did is not null then
      followed := followed + (did <> '')::int;
    else
      update tidemark.source x set status = 'broken', status_reason = tidemark.source_problem(s.name) where x.name = s.name;
      insert into tidemark.gap (source, reason) values (s.name, 'broken: ' || (select x.status_reason from tidemark.source x where x.name = s.name));
    end if;
  end loop;
  released := tidemark.bound_logs();
  reaped := tidemark.reap();
  fired := tidemark.fire_slots();
  taken := tidemark.take_events();
  perform tidemark.hold_logs();
  perform tidemark.remember_first_unreflected();
  asked := tidemark.meet_targets();
  -- Last: whoever polls waits for it to commit.
  perform tidemark.look_after_caches();
  perform tidemark.look_after_cache_tables();
  return jsonb_build_object('reaped', reaped, 'fired', fired, 'events', taken, 'asked', asked, 'followed', followed,
    'released', released,
    'pending', (select count(*) from tidemark.request q where q.status = 'pending' and q.due <= clock_timestamp()),
    'next_due', (select min(d) from (
       select min(q.due) as d from tidemark.request q where q.status = 'pending'
       union all select min(x.slot_at) from tidemark.slot x where x.outcome is null) n));
end $$;

-- Slots of a schedule, computed by the engine or by apply. `replace` drops those that are ahead and undecided:
-- they are of another declaration.
create function tidemark.write_slots(schedule_name text, replace_ahead boolean, slots timestamptz[], slots_digest text, horizon interval)
returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  c tidemark.schedule;
  added int;
begin
  select s.* into c from tidemark.schedule s where s.name = schedule_name for update;
  if not found then return 0; end if;
  if replace_ahead then
    delete from tidemark.slot x where x.schedule_id = c.schedule_id and x.outcome is null and x.slot_at > now();
  end if;
  insert into tidemark.slot (schedule_id, slot_at) select c.schedule_id, x from unnest(slots) x on conflict do nothing;
  get diagnostics added = row_count;
  update tidemark.schedule s set slots_digest = write_slots.slots_digest, horizon = write_slots.horizon
   where s.schedule_id = c.schedule_id
     and (s.slots_digest, s.horizon) is distinct from (write_slots.slots_digest, write_slots.horizon);
  return added;
end $$;

-- Spans of another target of a view, computed like slots.
create function tidemark.write_target_windows(view_name text, starts timestamptz[], ends timestamptz[], targets bigint[]) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare written int;
begin
  delete from tidemark.target_window w where w.view = view_name and w.ends_at > now();
  insert into tidemark.target_window (view, starts_at, ends_at, target_ms)
  select view_name, x.s, x.e, x.t from unnest(starts, ends, targets) x (s, e, t)
  where x.e > now() on conflict do nothing;
  get diagnostics written = row_count;
  return written;
end $$;

create function tidemark.schedule_named(text text) returns int
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare found_id int;
begin
  select c.schedule_id into found_id from tidemark.schedule c where c.name = text or c.schedule_id::text = text;
  if found_id is null then
    perform tidemark.fail('TIDEMARK_SCHEDULE_UNKNOWN', format('No schedule is called %s', text),
      'List them with: select * from tidemark.schedules;');
  end if;
  return found_id;
end $$;

create function tidemark.pause_schedule(schedule text, reason text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  update tidemark.schedule c set active = false, paused_by = session_user, pause_reason = coalesce(nullif(reason, ''), 'no reason given')
  where c.schedule_id = tidemark.schedule_named(schedule)
$$;

create function tidemark.resume_schedule(schedule text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  update tidemark.schedule c set active = true, paused_by = null, pause_reason = null
  where c.schedule_id = tidemark.schedule_named(schedule)
$$;

create view tidemark.schedules as
  select c.schedule_id as id, c.name, c.view as view_name, c.cron as schedule, c.zone, c.business_hours, c.active, c.pause_reason,
         (select max(x.slot_at) from tidemark.slot x where x.schedule_id = c.schedule_id and x.outcome = 'fired') as last_fired_at,
         (select min(x.slot_at) from tidemark.slot x where x.schedule_id = c.schedule_id and x.outcome is null) as next_at,
         (select max(x.slot_at) from tidemark.slot x where x.schedule_id = c.schedule_id) as slots_until
  from tidemark.schedule c;

-- Nothing is for everybody: apply grants to the roles that the configuration names. Each migration ends with this. Functions
-- that are closed already are not touched: their row version is part of what is watched of capture.
create procedure tidemark.close_to_public()
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare open_routine regprocedure;
begin
  for open_routine in
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'tidemark'::regnamespace
      and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0)
  loop
    execute format('revoke all on routine %s from public', open_routine);
  end loop;
end $$;
call tidemark.close_to_public();
