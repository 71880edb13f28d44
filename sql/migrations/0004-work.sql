-- Requests and runs: who asks, who works, and what is left when either dies.
--
-- A request is claimed in one transaction, performed in a second (REPEATABLE READ, one snapshot), settled in a
-- third. The lease of the second is an advisory lock of its transaction: it lapses when, and only when, the
-- backend that works has ended, however it ended. request.token is the fence: it changes with every claim and
-- theft, is checked at the start and locked at the end of the work, so that who lost a request cannot commit.

alter table tidemark.view add column needs_snapshot boolean not null default false;
comment on column tidemark.view.needs_snapshot is 'the maintenance program has two statements that must see one snapshot';
alter table tidemark.view_state add column changed_xid xid8;
comment on column tidemark.view_state.changed_xid is 'the transaction that last changed the rows of the view';
alter table tidemark.refresh_group add column not_before timestamptz;
alter table tidemark.refresh_group add column kept_up_at timestamptz;
comment on column tidemark.refresh_group.kept_up_at is 'when somebody last looked after the group by the short way (keep_up)';
comment on column tidemark.refresh_group.not_before is 'after a failure: no attempt before this, but by hand';
alter table tidemark.view_state add column afresh boolean not null default false;
comment on column tidemark.view_state.afresh is 'the next refresh computes everything: the last one failed to keep the view up';
alter table tidemark.view_state add column checked_at timestamptz;
alter table tidemark.view_state add column check_ms double precision;
comment on column tidemark.view_state.check_ms is 'what the refresh took that last compared the view with its query';
alter table tidemark.view_state add column groups_checked bigint not null default 0;
alter table tidemark.view_state add column group_check_ms double precision;
alter table tidemark.view_state add column check_credit_ms double precision not null default 0;
alter table tidemark.view_state add column check_from tid not null default '(0,0)';
comment on column tidemark.view_state.group_check_ms is 'what it last took to compare some groups; infinity where none can be computed alone';
comment on column tidemark.view_state.check_credit_ms is 'a twentieth of what refreshes took, less what comparing groups took: below 0 they do not';
comment on column tidemark.view_state.check_from is 'after this row the next one is looked for that is compared though nothing touched it';
alter table tidemark.run add column changes bigint;
alter table tidemark.run add column groups_checked bigint;
comment on column tidemark.run.groups_checked is 'groups that were compared each for itself; null where none were';
comment on column tidemark.run.changes is 'how many changes of sources were read; null where nobody counted';
alter table tidemark.request add column stop_status text;
alter table tidemark.request add column stop_reason text;

insert into tidemark.setting (name, value) values
  ('quarantine_after', '5'), ('max_log_bytes', '1073741824'), ('sample_ms', '250'), ('lock_wait_ms', '10000');

create function tidemark.number_setting(setting_name text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.value::bigint from tidemark.setting s where s.name = setting_name
$$;

create function tidemark.fail(code text, what text, mend text) returns void
language plpgsql as $$
begin
  raise exception using message = format('%s (%s). %s', what, code, mend), hint = mend, errcode = 'P0001';
end $$;

-- Finds a view by what people call it: schema.name, or the bare name where only one has it.
create function tidemark.view_named(text text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare found_names text[];
begin
  select array_agg(v.name) into found_names from tidemark.view v where v.name = text or v.name = 'public.' || text;
  if found_names is null then
    select array_agg(v.name) into found_names from tidemark.view v
    where substr(v.name, strpos(v.name, '.') + 1) = text;
  end if;
  if cardinality(found_names) = 1 then return found_names[1]; end if;
  perform tidemark.fail('TIDEMARK_VIEW_UNKNOWN', format('No view is called %s', text),
    'List them with: select view from tidemark.freshness;');
end $$;

-- The snapshot of this statement, our own transaction not reflected: what it does later must not count as seen.
create function tidemark.snapshot_now() returns pg_snapshot
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  s pg_snapshot := pg_current_snapshot();
  me xid8 := pg_current_xact_id_if_assigned();
begin
  if me is null or me >= pg_snapshot_xmax(s) then return s; end if;
  return format('%s:%s:%s', least(me, pg_snapshot_xmin(s)), pg_snapshot_xmax(s),
    (select string_agg(x::text, ',' order by x)
       from (select pg_snapshot_xip(s) as x union select me) xs))::pg_snapshot;
end $$;

-- Asks for a refresh of a group. Joins the request that waits, if one does: earliest due, highest lane, reasons kept.
create function tidemark.enqueue(
  group_name text, trigger_type text, triggered_by text,
  lane smallint default 1::smallint, due timestamptz default now(), force boolean default false, deadline timestamptz default null)
returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into tidemark.request as q (group_name, lane, due, force, trigger_type, triggered_by, deadline, reasons)
  values ($1, $4, $5, $6, $2, $3, $7, jsonb_build_array(jsonb_build_object('type', $2, 'by', $3, 'at', clock_timestamp())))
  on conflict (group_name) where status = 'pending' do update
    set lane = least(q.lane, excluded.lane), due = least(q.due, excluded.due), force = q.force or excluded.force,
        deadline = least(q.deadline, excluded.deadline), requests = q.requests + 1,
        trigger_type = case when excluded.lane < q.lane or excluded.trigger_type = 'manual' then excluded.trigger_type else q.trigger_type end,
        triggered_by = case when excluded.lane < q.lane or excluded.trigger_type = 'manual' then excluded.triggered_by else q.triggered_by end,
        reasons = case when jsonb_array_length(q.reasons) < 20 then q.reasons || excluded.reasons else q.reasons end
  returning request_id
$$;

-- Moves one pending request to running and writes its run rows. Without arguments the most urgent one:
-- lane (rising by one for every 30 s that it has waited, so that nothing starves), then deadline, then age.
-- Requests whose inputs in other groups are due or running wait for these. Null when there is nothing to do.
create function tidemark.claim(worker text, lane_max smallint default 2::smallint, one_group text default null)
returns tidemark.request
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  q tidemark.request;
begin
  -- Snapshots of another database would call unchanged what has changed.
  if tidemark.installation_problem() is not null then return null; end if;
  select p.* into q
  from tidemark.request p
  join tidemark.refresh_group g on g.name = p.group_name
  where p.status = 'pending'
    and (one_group is null or p.group_name = one_group)
    and (one_group is not null or p.due <= clock_timestamp())
    and p.lane <= lane_max
    and (g.quarantined_at is null or one_group is not null)
    and (g.not_before is null or g.not_before <= clock_timestamp() or one_group is not null)
    and not exists (select from tidemark.request r where r.group_name = p.group_name and r.status = 'running')
    and (one_group is not null or not exists (
      select from tidemark.view_input i
      join tidemark.view reader on reader.name = i.view and reader.group_name = p.group_name
      join tidemark.view input on input.name = i.input and input.group_name <> p.group_name
      join tidemark.request u on u.group_name = input.group_name
      where u.status = 'running' or (u.status = 'pending' and u.due <= clock_timestamp())))
  order by greatest(0, p.lane - floor(extract(epoch from clock_timestamp() - p.due) / 30)),
           p.deadline nulls last, p.request_id
  limit 1
  for update of p skip locked;
  if not found then return null; end if;
  begin
    update tidemark.request r
       set status = 'running', token = r.token + 1, claimed_at = clock_timestamp(), worker = claim.worker,
           pid = pg_backend_pid(), stop_status = null, stop_reason = null
     where r.request_id = q.request_id
    returning r.* into q;
  exception when unique_violation then return null;  -- another claimed the same group in this instant
  end;
  insert into tidemark.run (group_name, view, request_id, trigger_type, triggered_by, reasons, strategy, method, worker, pid,
                            requested_at, oldest_commit_at)
  select v.group_name, v.name, q.request_id, q.trigger_type, q.triggered_by, q.reasons, v.strategy, v.method, q.worker,
         q.pid, q.requested_at,
         tidemark.oldest_unreflected_at(v.name)
  from tidemark.view v where v.group_name = q.group_name and v.paused_at is null
  order by v.position, v.name;
  return q;
end $$;

-- True when nothing that the view reads has changed since its tidemark: refreshing it would change no row.
create function tidemark.nothing_changed(view_name text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v record;
  t record;
begin
  select d.time_dependent, d.unknown_reason, s.* into v
  from tidemark.view d join tidemark.view_state s on s.view = d.name where d.name = view_name;
  if not found or not v.populated or v.time_dependent or v.unknown_reason is not null or v.let_go_reason is not null
     or v.snapshot is null or tidemark.reliance_problem(view_name) is not null then
    return false;
  end if;
  for t in
    select vs.source, m.snapshot from tidemark.view_source vs
    left join tidemark.tidemark m on m.view = vs.view and m.source = vs.source and m.via = ''
    where vs.view = view_name
  loop
    if t.snapshot is null
       or exists (select from tidemark.gap g where g.source = t.source and not pg_visible_in_snapshot(g.xid, t.snapshot))
       or tidemark.has_unreflected(t.source, t.snapshot) then
      return false;
    end if;
  end loop;
  return not exists (
    select from tidemark.view_input i left join tidemark.view_state input on input.view = i.input
    where i.view = view_name
      and (input.changed_xid is null
           or not (pg_visible_in_snapshot(input.changed_xid, v.snapshot) or input.changed_xid = v.changed_xid)));
end $$;

-- Writes what a view reflects: `snap` for the tables it reads, the maps of the views it reads.
create function tidemark.move_tidemark(view_name text, snap pg_snapshot) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare moved bigint;
begin
  -- Nearly always the same sources as last time.
  if not exists (select from tidemark.view_input i where i.view = view_name) then
    update tidemark.tidemark t set snapshot = snap, as_of = now()
     where t.view = view_name and t.via = ''
       and exists (select from tidemark.view_source s where s.view = view_name and s.source = t.source);
    get diagnostics moved = row_count;
    if moved = (select count(*) from tidemark.view_source s where s.view = view_name)
       and moved = (select count(*) from tidemark.tidemark t where t.view = view_name) then
      return;
    end if;
  end if;
  delete from tidemark.tidemark t where t.view = view_name;
  insert into tidemark.tidemark (view, source, via, snapshot, as_of)
  select view_name, s.source, '', snap, now() from tidemark.view_source s where s.view = view_name
  union all
  select view_name, m.source, i.input || case when m.via = '' then '' else ' < ' || m.via end, m.snapshot, m.as_of
  from tidemark.view_input i join tidemark.tidemark m on m.view = i.input where i.view = view_name;
end $$;

-- What a refresh of the group reads and somebody could truncate or rewrite: the tables of its sources, their logs, and the
-- states of views that it reads. In an order that is always the same.
create function tidemark.relations_read(group_text text) returns oid[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return array(
    with recursive read (name, relation) as materialized (
      select distinct s.name, s.relation::oid
        from tidemark.view d
        join tidemark.view_source vs on vs.view = d.name
        join tidemark.source s on s.name = vs.source
       where d.group_name = group_text
    ),
    -- as tidemark.members has them, of all at once
    member (relation) as (
      select r.relation from read r
      union
      select i.inhrelid from member m join pg_inherits i on i.inhparent = m.relation
    )
    select o from (
      select c.oid as o from member m join pg_class c on c.oid = m.relation
      union
      select c.oid
        from read r
       cross join generate_series(0, 2) bucket
        join pg_class c on c.relname = tidemark.object_name(format('log %s %s', bucket, r.name))::name
                       and c.relnamespace = 'tidemark'::regnamespace
      union
      -- apply makes the state of a view anew when its columns change
      select to_regclass(input.state)::oid from tidemark.view d
      join tidemark.view_input i on i.view = d.name
      join tidemark.view input on input.name = i.input and input.presentation in ('view', 'table')
      where d.group_name = group_text and to_regclass(input.state) is not null) r
    order by o);
end $$;

-- TRUNCATE and rewrites are not MVCC-safe. Holds them off these relations, and finds one that slipped in between the
-- snapshot and the lock: the file of the table is then another one than the snapshot says. Logs are held the same way, so
-- that the cleaner cannot empty what this refresh does not reflect.
create function tidemark.hold(relations oid[], exact boolean) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  rewritten oid;
begin
  if cardinality(relations) = 0 then return; end if;
  perform set_config('lock_timeout', (select s.value from tidemark.setting s where s.name = 'lock_wait_ms') || 'ms', true);
  execute (select 'lock table ' || string_agg('only ' || r::regclass, ', ' order by r) || ' in access share mode'
             from unnest(relations) r);
  if not exact then return; end if;
  select c.oid into rewritten from pg_class c
   where c.oid = any (relations) and pg_relation_filenode(c.oid) is distinct from nullif(c.relfilenode, 0)
   limit 1;
  if rewritten is not null then
    raise exception using errcode = '40001',
      message = format('%s was truncated or rewritten while the refresh began', rewritten::regclass);
  end if;
end $$;

create type tidemark.outcome as (
  skipped boolean, rows_total bigint, rows_inserted bigint, rows_updated bigint, rows_deleted bigint, differing bigint,
  method text, snapshot pg_snapshot, changes bigint, groups_checked bigint);

-- Refreshes one view in the caller's transaction, whose locks are held: rows, tidemark and state. With `since`, the snapshot
-- that its rows reflect, it is kept up from its changes, and finds out by itself that there are none; the others are asked first.
create function tidemark.bring_up(v tidemark.view, exact boolean, force boolean, since pg_snapshot) returns tidemark.outcome
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  snap pg_snapshot := tidemark.snapshot_now();
  since_as_of timestamptz;
  moves boolean;
  -- compares the view with its query: as a whole; by some of its groups
  looks boolean;
  samples tid;
  checked jsonb;
  checked_ms double precision;
  program record;
  began timestamptz;
  took_ms double precision;
  -- without what is the same however it is refreshed
  program_ms double precision;
  full_ms double precision;
  done tidemark.outcome;
begin
  -- What is checked as a whole is checked so seldom that it takes a twentieth of the time; a five-hundredth where groups are
  -- checked between. Groups are, unless to compute some takes half as long as to compute all. A month is the most: what a
  -- clock that was set on has measured says nothing.
  select s.computed_as_of, v.verify = 'full' or v.verify = 'sample'
           and coalesce(clock_timestamp() > s.checked_at + least(interval '30 days', p.pause * s.check_ms * interval '1 millisecond'), true),
         case when v.verify = 'sample' and since is not null and exact and p.groups and s.check_credit_ms >= 0 then s.check_from end
    into since_as_of, looks, samples
    from tidemark.view_state s
   cross join lateral (select coalesce(s.group_check_ms < greatest(50, s.check_ms / 2), true) as groups) g
   cross join lateral (select g.groups, case when g.groups and s.groups_checked > 0 then 500 else 20 end as pause) p
   where s.view = v.name;
  if not found then
    insert into tidemark.view_state (view) values (v.name);
    looks := v.verify <> 'off';
  end if;
  done.snapshot := snap;
  if since is null and not force and tidemark.nothing_changed(v.name) then
    done.skipped := true;
    perform tidemark.move_tidemark(v.name, snap);
    perform tidemark.move_cursors(v.name);
    update tidemark.view_state s set snapshot = snap, as_of = greatest(s.as_of, now()) where s.view = v.name
    returning s.row_count into done.rows_total;
    return done;
  end if;
  if v.needs_snapshot and not exact then
    raise exception using errcode = '0A000',
      message = format('%s can only be refreshed at one snapshot (TIDEMARK_NOT_TOP_LEVEL). Use call tidemark.run(%L)', v.name, v.name);
  end if;
  -- What moves with time is kept up from the now() for which it was computed; as_of will not do, it never goes back.
  moves := v.time_dependent and v.strategy = 'incremental';
  perform set_config('tidemark.changes', '', true), set_config('tidemark.checked', '', true),
          set_config('tidemark.full_ms', '', true), set_config('tidemark.check', case when looks then '' else coalesce(samples::text, '') end, true);
  began := clock_timestamp();
  execute format('select * from %s($1, $2%s)', v.maintain, case when moves then ', $3' else '' end) into program
  using looks, since, since_as_of;
  done.changes := nullif(current_setting('tidemark.changes'), '')::bigint;
  checked := nullif(current_setting('tidemark.checked'), '')::jsonb;
  -- Less than nothing is what a clock that was set back has measured.
  program_ms := greatest(0, extract(epoch from clock_timestamp() - began) * 1000 - coalesce((checked->>'ms')::double precision, 0));
  if v.presentation = 'table' then
    program.differing := tidemark.present(v.name, looks or force, program.differing);
  end if;
  took_ms := extract(epoch from clock_timestamp() - began) * 1000;
  if checked is not null then
    checked_ms := (checked->>'ms')::double precision;
    took_ms := took_ms - checked_ms;
    done.groups_checked := nullif((checked->>'groups')::bigint, 0);
  end if;
  done.skipped := program.method in ('incremental', 'partition') and not force
                  and (program.differing is null or checked is not null and program.differing = 0)
                  and program.rows_inserted + program.rows_updated + program.rows_deleted = 0;
  done.method := program.method;
  done.rows_inserted := program.rows_inserted;
  done.rows_updated := program.rows_updated;
  done.rows_deleted := program.rows_deleted;
  done.differing := program.differing;
  perform tidemark.move_tidemark(v.name, snap);
  perform tidemark.move_cursors(v.name);
  update tidemark.view_state s
     set populated = true, snapshot = snap, as_of = greatest(s.as_of, now()), computed_as_of = now(), refreshed_at = clock_timestamp(),
         row_count = coalesce(program.rows_total, s.row_count + program.rows_inserted - program.rows_deleted), refreshes = s.refreshes + 1,
         afresh = false,
         fixed_ms = case when done.changes between 1 and 10 and program.differing is null
                         then least(program_ms, s.fixed_ms * 0.95 + program_ms * 0.05) else s.fixed_ms end,
         checks = s.checks + (program.differing is not null)::int,
         checked_at = case when looks then clock_timestamp() else s.checked_at end,
         check_ms = case when looks then took_ms else s.check_ms end,
         groups_checked = s.groups_checked + coalesce(done.groups_checked, 0),
         group_check_ms = case when (checked->>'failed')::boolean then 'infinity'
                               -- Who never tries again would never learn that it has become cheaper.
                               when looks then case when s.group_check_ms > 1e-3 then s.group_check_ms * 0.9 else s.group_check_ms end
                               else coalesce(checked_ms, s.group_check_ms) end,
         -- Of what a clock has measured that was set on, ten minutes are made up for.
         check_credit_ms = least(0, greatest(-600000, s.check_credit_ms + took_ms / 20 - coalesce(checked_ms, 0))),
         check_from = coalesce((checked->>'place')::tid, s.check_from),
         mismatches = s.mismatches + (coalesce(program.differing, 0) > 0)::int,
         let_go_reason = case when program.differing > 0 and (moves or not v.time_dependent) and exact
                              then format('verification_failed: %s rows differ from the query', program.differing) end,
         changed_xid = case when s.populated and program.rows_inserted + program.rows_updated + program.rows_deleted = 0
                            then s.changed_xid else pg_current_xact_id() end
   where s.view = v.name
  returning s.row_count into done.rows_total;
  if program.differing > 0 and (moves or not v.time_dependent) and exact then
    raise warning '% differed from its query in % rows', v.name, program.differing
      using hint = 'The next tick has it computed afresh.';
  end if;
  full_ms := nullif(current_setting('tidemark.full_ms'), '')::double precision;
  if full_ms is not null or program.differing is null and done.method = 'incremental' and done.changes >= 100 then
    perform tidemark.learn(v.name, done, coalesce(full_ms, program_ms));
  end if;
  return done;
end $$;

-- The work itself: every view of a claimed group, inputs first, in the caller's transaction.
-- In REPEATABLE READ the tidemark is exact: content = query at the snapshot. In READ COMMITTED each view's snapshot
-- is taken before its query, so content may be newer than the tidemark says, never older.
-- Raises 40001 when somebody else refreshed or stole in between, 55P03 when a lock is not to be had.
create function tidemark.perform(request bigint, fence bigint) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  q tidemark.request;
  g tidemark.refresh_group;
  v tidemark.view;
  exact boolean := current_setting('transaction_isolation') in ('repeatable read', 'serializable');
  began timestamptz;
  done tidemark.outcome;
  refreshed int := 0;
begin
  select r.* into q from tidemark.request r where r.request_id = request and r.status = 'running' and r.token = fence;
  if not found then
    raise exception using errcode = '40001', message = 'the request was taken over by another worker';
  end if;
  select * into g from tidemark.refresh_group rg where rg.name = q.group_name;
  if not pg_try_advisory_xact_lock(7425, g.lock_key) then
    raise exception using errcode = '55P03', message = 'another backend is refreshing ' || q.group_name;
  end if;
  -- A refresh that committed after our snapshot makes this fail with 40001 here, before any work.
  perform from tidemark.view_state s join tidemark.view d on d.name = s.view
   where d.group_name = q.group_name order by s.view for update of s;
  perform tidemark.hold(tidemark.relations_read(q.group_name), exact);

  for v in select d.* from tidemark.view d where d.group_name = q.group_name and d.paused_at is null
           order by d.position, d.name
  loop
    began := clock_timestamp();
    done := tidemark.bring_up(v, exact, q.force, case when exact then tidemark.kept_since(v.name) end);
    update tidemark.run r
       set status = case when done.skipped then 'skipped' else 'completed' end,
           reason = case when done.skipped then 'nothing changed' else r.reason end,
           started_at = began, finished_at = clock_timestamp(),
           duration_ms = extract(epoch from clock_timestamp() - began) * 1000,
           strategy = case when done.method not in ('incremental', 'partition') then 'full' else r.strategy end,
           method = coalesce(done.method, r.method),
           rows_total = done.rows_total, rows_inserted = done.rows_inserted, rows_updated = done.rows_updated,
           rows_deleted = done.rows_deleted, changes = done.changes, differing = done.differing, groups_checked = done.groups_checked, snapshot = done.snapshot, as_of = now()
     where r.request_id = q.request_id and r.view = v.name and r.status = 'running';
    if not done.skipped then refreshed := refreshed + 1; end if;
  end loop;

  -- The fence: 40001 when the request was stolen or stopped meanwhile; nothing of the above then happened. The request ends
  -- with the work that it asked for, in one commit.
  delete from tidemark.request r where r.request_id = request and r.token = fence;
  if not found then
    raise exception using errcode = '40001', message = 'the request was taken over by another worker';
  end if;
  if g.failures > 0 or g.not_before is not null or g.quarantined_at is not null then
    update tidemark.refresh_group rg
       set failures = 0, not_before = null, quarantined_at = null, quarantine_reason = null where rg.name = q.group_name;
  end if;
  return jsonb_build_object('group', q.group_name, 'refreshed', refreshed);
end $$;

-- Takes note of work that failed. Errors are classed by SQLSTATE: what passes by itself is tried again soon and does
-- not count; what the server lacks (room on the disk, memory) does not count either, but is waited for; the rest counts
-- against the group, backs off, and after `quarantine_after` times quarantines it. Of a view that is kept up from its changes the
-- first failure does not: a change may fail where nothing fails of what is there, as of a row that was mended since, and what
-- changed may be more than fits in memory, or in an array (of one row that millions join).
-- Who has asked for the group in a transaction left open is waited for 5 s; then the next tick finds what was left.
create function tidemark.settle(request bigint, fence bigint, failure_state text, failure_message text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  q tidemark.request;
  g tidemark.refresh_group;
  passing boolean;
  -- no room on the disk or in memory: no fault of the view, and not over soon
  lacking boolean := failure_state in ('53100', '53200');
  outcome text;
  retry_at timestamptz;
begin
  select r.* into q from tidemark.request r where r.request_id = request and r.token = fence and r.status = 'running' for update;
  if not found then return 'taken_over'; end if;
  -- Not FOR UPDATE: who asks for the group holds its pending request and has to see that the group exists.
  select * into g from tidemark.refresh_group rg where rg.name = q.group_name for no key update;
  outcome := case when q.stop_status is not null then q.stop_status
                  -- messages may be in any language: cancelled is what cannot be the timeout
                  when failure_state = '57014' and current_setting('statement_timeout') <> '0'
                       and failure_message not ilike '%user request%' then 'timed_out'
                  when failure_state = '57014' then 'cancelled' else 'failed' end;
  update tidemark.run r
     set status = outcome, finished_at = clock_timestamp(), error = failure_message, error_code = failure_state,
         reason = coalesce(q.stop_reason, case when outcome = 'timed_out' then format(
           'statement_timeout of role %s is %s; a refresh takes longer: alter role %s set statement_timeout = 0',
           session_user, current_setting('statement_timeout'), quote_ident(session_user)) end),
         waited_for = case when failure_state = '55P03' then failure_message end,
         duration_ms = extract(epoch from clock_timestamp() - r.started_at) * 1000
   where r.request_id = request and r.status = 'running';
  if outcome = 'cancelled' then
    delete from tidemark.request r where r.request_id = request;
    return outcome;
  end if;

  passing := outcome = 'failed' and (failure_state in ('40001', '40P01', '55P03', '53300', '57P01', '57P02', '57P03')
                                     or left(failure_state, 2) = '08');
  -- What cannot be kept up may still be computed, so the next attempt does that, and the one after it does not: which of them
  -- succeeds, nobody knows. Not so where objects or rights are missing, or we have refused.
  if outcome <> 'failed' or not passing then
    update tidemark.view_state s
       set afresh = not s.afresh and outcome = 'failed' and failure_message not like '%(TIDEMARK\_%'
                    and (left(failure_state, 2) not in ('0A', '42', '53', '55', '57', '58') or failure_state = '53200')
      from tidemark.view v
     where v.name = s.view and v.group_name = q.group_name and v.strategy <> 'full' and (s.afresh or outcome = 'failed');
    passing := not lacking and exists (
      select from tidemark.view_state s join tidemark.view v on v.name = s.view where v.group_name = q.group_name and s.afresh);
  end if;
  if passing then
    -- full jitter: 0.2 s doubling to 30 s
    retry_at := clock_timestamp() + (0.2 * 2 ^ least(q.attempt, 8)) * (0.5 + random() / 2) * interval '1 second';
  elsif lacking then
    retry_at := clock_timestamp() + least(600, 5 * 2 ^ least(q.attempt, 8)) * (0.5 + random() / 2) * interval '1 second';
  else
    retry_at := clock_timestamp() + least(600, 5 * 2 ^ least(g.failures, 8)) * (0.5 + random() / 2) * interval '1 second';
    update tidemark.refresh_group rg
       set failures = rg.failures + 1, not_before = retry_at,
           quarantined_at = case when rg.failures + 1 >= tidemark.number_setting('quarantine_after') then clock_timestamp() end,
           quarantine_reason = case when rg.failures + 1 >= tidemark.number_setting('quarantine_after')
             then format('failed %s times, last with: %s', rg.failures + 1, failure_message) end
     where rg.name = q.group_name returning * into g;
  end if;
  if g.quarantined_at is not null then
    delete from tidemark.request r where r.request_id = request or (r.group_name = q.group_name and r.status = 'pending');
    return 'quarantined';
  end if;
  perform tidemark.put_back(q, retry_at);
  return outcome;
end $$;

-- A claimed request waits again; one that came meanwhile absorbs it.
create function tidemark.put_back(q tidemark.request, due_again timestamptz) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update tidemark.request r
     set lane = least(r.lane, q.lane), force = r.force or q.force, attempt = greatest(r.attempt, q.attempt + 1),
         requests = r.requests + q.requests
   where r.group_name = q.group_name and r.status = 'pending';
  if found then
    delete from tidemark.request r where r.request_id = q.request_id;
  else
    update tidemark.request r
       set status = 'pending', token = r.token + 1, attempt = r.attempt + 1, due = due_again, claimed_at = null,
           worker = null, pid = null
     where r.request_id = q.request_id;
  end if;
end $$;

-- Performs a claimed request in a transaction of its own; a failure is settled in the next: CALL only, at top level.
create procedure tidemark.execute_request(request bigint, fence bigint, inout outcome text default null)
language plpgsql as $$
declare
  failure_state text;
  failure_message text;
begin
  commit;
  set transaction isolation level repeatable read;
  begin
    perform tidemark.perform(request, fence);
  exception when query_canceled or others then
    get stacked diagnostics failure_state = returned_sqlstate, failure_message = message_text;
  end;
  if failure_state is null then
    commit;
    outcome := 'completed';
    return;
  end if;
  rollback;
  set transaction isolation level read committed;
  outcome := tidemark.settle(request, fence, failure_state, failure_message);
  commit;
  if outcome <> 'taken_over' then outcome := outcome || ': ' || failure_message; end if;
end $$;

-- Works off what is due: up to `most` groups, then returns what it did. For engines, pg_cron and OS cron alike.
-- Called without a name, as from a cron, it empties the change logs as well: nobody else may be there to do so.
create procedure tidemark.work(
  worker text default null, most int default 100, lane_max smallint default 2::smallint, inout done jsonb default null)
language plpgsql as $$
declare
  q tidemark.request;
  outcome text;
  cleaned int;
begin
  done := '[]';
  for step in 1 .. most loop
    commit;
    -- Whatever the default of the role is: elsewhere every race for a request would end in an error.
    set transaction isolation level read committed;
    q := tidemark.claim(coalesce(worker, 'pid ' || pg_backend_pid()), lane_max);
    exit when q.request_id is null;
    call tidemark.execute_request(q.request_id, q.token, outcome);
    done := done || jsonb_build_object('group', q.group_name, 'outcome', outcome);
  end loop;
  if worker is null then call tidemark.clean(cleaned); end if;
end $$;

-- May the caller refresh this view by hand, now? Raises with a code when not.
create function tidemark.allow_manual(view_name text, trigger_type text, caller text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v tidemark.view;
  used int;
begin
  select * into v from tidemark.view d where d.name = view_name;
  if v.paused_at is not null then
    perform tidemark.fail('TIDEMARK_VIEW_PAUSED', format('%s is paused: %s', v.name, v.pause_reason),
      format('Resume it with: select tidemark.resume(%L)', v.name));
  end if;
  if cardinality(v.refresh_roles) > 0
     and not pg_has_role(caller, (select p.proowner from pg_proc p where p.oid = 'tidemark.tick()'::regprocedure), 'member')
     and not exists (select from unnest(v.refresh_roles) r join pg_roles p on p.rolname = r where pg_has_role(caller, p.oid, 'member')) then
    perform tidemark.fail('TIDEMARK_REFRESH_FORBIDDEN', format('%s may not refresh %s by hand', caller, v.name),
      format('It is allowed to: %s', array_to_string(v.refresh_roles, ', ')));
  end if;
  if v.refreshes_per_hour is not null and trigger_type not in ('cron', 'event', 'target', 'dependency') then
    select count(*) into used from tidemark.run r
     where r.view = v.name and r.started_at > now() - interval '1 hour' and r.started_at <= clock_timestamp()
       and r.trigger_type not in ('cron', 'event', 'target', 'dependency') and r.triggered_by <> 'apply';
    if used >= v.refreshes_per_hour then
      perform tidemark.fail('TIDEMARK_REFRESH_LIMITED',
        format('%s was refreshed by hand %s times within the hour, the limit is %s', v.name, used, v.refreshes_per_hour),
        'Wait, or raise refreshBy.perHour in the configuration.');
    end if;
  end if;
end $$;

-- Asks for and claims one group by hand. The request is null when another backend is at it: then it waits as the next one.
create function tidemark.claim_manual(view_text text, trigger_type text, triggered_by text, caller text) returns tidemark.request
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  view_name text := tidemark.view_named(view_text);
  one_group text;
begin
  perform tidemark.allow_manual(view_name, trigger_type, caller);
  if tidemark.installation_problem() is not null then
    perform tidemark.fail('TIDEMARK_DATABASE_COPIED', format('%s cannot be refreshed: %s', view_name, tidemark.installation_problem()),
      'Without Node: select tidemark.renew_installation();');
  end if;
  select v.group_name into one_group from tidemark.view v where v.name = view_name;
  perform tidemark.enqueue(one_group, trigger_type, triggered_by, 0::smallint, clock_timestamp(),
                           trigger_type not in ('cron', 'event', 'target', 'dependency'));
  return tidemark.claim(coalesce(triggered_by, caller), 2::smallint, one_group);
end $$;

-- Refreshes a view (and its group) now, exactly: for psql, pg_cron and the OS's cron. At top level only.
create procedure tidemark.run(view text, trigger_type text default 'manual', triggered_by text default session_user)
language plpgsql as $$
declare
  q tidemark.request;
  outcome text;
begin
  q := tidemark.claim_manual(view, trigger_type, triggered_by, session_user);
  if q.request_id is null then
    raise notice '% is being refreshed; yours is the next one', view;
    return;
  end if;
  -- The disk has the claim when it has the refresh. Where the server goes down before, the caller knows that nothing was done.
  perform set_config('synchronous_commit', 'off', true);
  call tidemark.execute_request(q.request_id, q.token, outcome);
  if outcome <> 'completed' then
    raise exception using message = format('The refresh of %s ended as %s (TIDEMARK_REFRESH_FAILED). See tidemark.refresh_log.', view, outcome),
      errcode = 'P0001';
  end if;
end $$;

-- The same as a function. A function cannot choose its snapshot: in READ COMMITTED it refreshes at once, with a
-- tidemark taken before the query; elsewhere, and for programs that need one snapshot, it asks and says `queued`.
create function tidemark.refresh(
  view text, trigger_type text default 'manual', triggered_by text default session_user,
  out refresh_id bigint, out duration_ms bigint, out rows_affected bigint, out status text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  view_name text := tidemark.view_named(view);
  q tidemark.request;
  one_group text;
begin
  perform tidemark.allow_manual(view_name, trigger_type, session_user);
  select v.group_name into one_group from tidemark.view v where v.name = view_name;
  if current_setting('transaction_isolation') <> 'read committed'
     or exists (select from tidemark.view v where v.group_name = one_group and v.needs_snapshot) then
    perform tidemark.enqueue(one_group, trigger_type, triggered_by, 0::smallint, clock_timestamp(),
                             trigger_type not in ('cron', 'event', 'target', 'dependency'));
    status := 'queued';
    return;
  end if;
  q := tidemark.claim_manual(view_name, trigger_type, triggered_by, session_user);
  if q.request_id is null then
    status := 'queued';
    return;
  end if;
  perform tidemark.perform_here(q);
  select r.run_id, r.duration_ms, r.rows_total, r.status into refresh_id, duration_ms, rows_affected, status
  from tidemark.run r where r.request_id = q.request_id and r.view = view_name order by r.run_id desc limit 1;
end $$;

-- Claimed, performed and settled within the caller's transaction; a failure is recorded, not raised.
create function tidemark.perform_here(q tidemark.request) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  failure_state text;
  failure_message text;
begin
  begin
    perform tidemark.perform(q.request_id, q.token);
  exception when others then
    get stacked diagnostics failure_state = returned_sqlstate, failure_message = message_text;
  end;
  if failure_state is null then return 'completed'; end if;
  return tidemark.settle(q.request_id, q.token, failure_state, failure_message);
end $$;

-- system C2: works off what is due, from SQL, in the caller's transaction. Prefer `call tidemark.work()`.
create function tidemark.process_pending()
returns table (refresh_id bigint, view_name text, status text, duration_ms bigint, rows_affected bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  q tidemark.request;
begin
  perform tidemark.tick();
  if current_setting('transaction_isolation') <> 'read committed' then return; end if;
  for step in 1 .. 100 loop
    q := tidemark.claim('pid ' || pg_backend_pid());
    exit when q.request_id is null;
    if exists (select from tidemark.view v where v.group_name = q.group_name and v.needs_snapshot) then
      -- left to `call tidemark.work()`
      delete from tidemark.run r where r.request_id = q.request_id and r.status = 'running';
      update tidemark.request r set status = 'pending', claimed_at = null, worker = null, pid = null, due = r.due + interval '1 second'
       where r.request_id = q.request_id;
      return query select null::bigint, v.name, 'queued', null::bigint, null::bigint
        from tidemark.view v where v.group_name = q.group_name;
      continue;
    end if;
    perform tidemark.perform_here(q);
    return query select r.run_id, r.view, r.status, r.duration_ms, r.rows_total
      from tidemark.run r where r.request_id = q.request_id and r.finished_at is not null;
  end loop;
end $$;

-- Notes that a running refresh is to stop, and returns the backend that works on it; null when none does.
create function tidemark.mark_stopped(view text, as_status text, reason text) returns int
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  view_name text := tidemark.view_named(view);
  q tidemark.request;
begin
  select r.* into q from tidemark.request r join tidemark.view v on v.group_name = r.group_name
   where v.name = view_name and r.status = 'running' for update of r;
  if not found or not tidemark.is_working(q) then return null; end if;
  update tidemark.request r set stop_status = as_status, stop_reason = reason where r.request_id = q.request_id;
  return q.pid;
end $$;

-- Stops a running refresh: its transaction is rolled back, the view stays as it was, nothing is tried again.
-- INVOKER: who may signal the backend is PostgreSQL's to say (the same role, or pg_signal_backend).
create function tidemark.cancel(view text, reason text default 'cancelled by hand', as_status text default 'cancelled') returns boolean
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select coalesce(pg_cancel_backend(tidemark.mark_stopped(view, as_status, reason)), false)
$$;

-- Typical duration of a refresh of the group: the 95th percentile of the last 20, and 1 s when nothing is known.
create function tidemark.usual_ms(one_group text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(percentile_disc(0.95) within group (order by d.total), 1000)::bigint
  from (select sum(r.duration_ms) as total from tidemark.run r
         where r.group_name = one_group and r.status = 'completed' and r.request_id is not null
         group by r.request_id order by r.request_id desc limit 20) d
$$;

-- Views whose refresh runs longer than their timeout; without one, ten minutes or ten times the usual, whichever is more.
create function tidemark.overdue() returns table (view_name text, running_ms bigint, timeout_ms bigint)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select v.name, (extract(epoch from clock_timestamp() - q.claimed_at) * 1000)::bigint, l.timeout_ms
  from tidemark.request q
  join tidemark.refresh_group g on g.name = q.group_name
  join lateral (select d.name from tidemark.view d where d.group_name = g.name order by d.position, d.name limit 1) v on true
  cross join lateral (select coalesce(g.timeout_ms, greatest(600000, 10 * tidemark.usual_ms(g.name))) as timeout_ms) l
  where q.status = 'running' and q.stop_status is null
    and clock_timestamp() - q.claimed_at > l.timeout_ms * interval '1 millisecond'
$$;

create function tidemark.stop_overdue() returns int
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  o record;
  stopped int := 0;
begin
  for o in select * from tidemark.overdue() loop
    if tidemark.cancel(o.view_name, format('ran longer than its timeout of %s ms', o.timeout_ms), 'timed_out') then
      stopped := stopped + 1;
    end if;
  end loop;
  return stopped;
end $$;

-- True while the backend that claimed the request holds the lease of its group.
create function tidemark.is_working(q tidemark.request) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from pg_locks l join tidemark.refresh_group g on g.name = q.group_name
    where l.locktype = 'advisory' and l.database = (select d.oid from pg_database d where d.datname = current_database())
      and l.classid = 7425 and l.objid = g.lock_key::oid and l.objsubid = 2 and l.granted and l.pid = q.pid)
$$;

create function tidemark.pause(view text, reason text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  update tidemark.view v set paused_at = now(), paused_by = session_user, pause_reason = coalesce(nullif(reason, ''), 'no reason given')
   where v.name = tidemark.view_named(view);
end $$;

-- Ends a pause and a quarantine alike, and asks for a refresh.
create function tidemark.resume(view text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  view_name text := tidemark.view_named(view);
begin
  update tidemark.view v set paused_at = null, paused_by = null, pause_reason = null where v.name = view_name;
  update tidemark.refresh_group g
     set quarantined_at = null, quarantine_reason = null, failures = 0, not_before = null
    from tidemark.view v where v.name = view_name and g.name = v.group_name;
  perform tidemark.enqueue(v.group_name, 'manual', 'resume', 1::smallint) from tidemark.view v where v.name = view_name;
end $$;

-- system C4, C7 and B2: what ran.
create view tidemark.refresh_log as
  select run_id as id, view as view_name, started_at as refresh_started_at, duration_ms as refresh_duration_ms,
         rows_total as rows_affected, status, trigger_type, triggered_by, error, requested_at as created_at
  from tidemark.run;

create view tidemark.refresh_metrics as
  select date_trunc('hour', started_at) as hour, count(*) as total_refreshes,
         count(*) filter (where status in ('completed', 'skipped')) as successful,
         count(*) filter (where status in ('failed', 'timed_out', 'lost')) as failed,
         round(avg(duration_ms) filter (where status = 'completed')) as avg_duration_ms,
         max(duration_ms) filter (where status = 'completed') as max_duration_ms
  from tidemark.run group by 1 order by 1 desc;

create view tidemark.runs as
  select run_id, view as view_name, status, coalesce(error, reason) as message, trigger_type, triggered_by, strategy, method,
         requested_at, started_at, finished_at, duration_ms, rows_total, rows_inserted, rows_updated, rows_deleted,
         differing, waited_for, worker, changes, groups_checked
  from tidemark.run;
