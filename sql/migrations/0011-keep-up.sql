-- The short way for views with policy `eager` that are kept up from their changes: no request, no claim, one transaction
-- for each refresh. What it may not do, because something is wrong, it leaves to a request.

alter table tidemark.run add column refreshes bigint not null default 1;
alter table tidemark.run add column busy_ms double precision;
comment on column tidemark.run.busy_ms is 'what the refreshes of a row that stands for several took together';
comment on column tidemark.run.refreshes is 'how many refreshes this row stands for: those of an eager view are added up';

-- A group that can go the short way, and what is known of it while somebody looks after it.
create type tidemark.eager_group as (
  name text,
  lock_key int,
  -- tells whether it is behind (probe_text)
  probe text,
  -- what a refresh holds (relations_read)
  relations oid[],
  -- what its views reflect; null when that has to be read
  reflected pg_snapshot);

create function tidemark.eager_groups() returns setof tidemark.eager_group
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select e.name, e.lock_key, e.probe, tidemark.relations_read(e.name), null::pg_snapshot
  from (
    select g.name, g.lock_key,
           tidemark.probe_text(array(
             select distinct vs.source from tidemark.view w join tidemark.view_source vs on vs.view = w.name
              where w.group_name = g.name)) as probe
    from tidemark.view v
    join tidemark.view_state s on s.view = v.name
    join tidemark.refresh_group g on g.name = v.group_name
    where g.quarantined_at is null and (g.not_before is null or g.not_before <= clock_timestamp())
      and not exists (select from tidemark.request q where q.group_name = v.group_name)
      and tidemark.installation_problem() is null
    group by g.name, g.lock_key
    having bool_and(v.policy = 'eager' and v.strategy <> 'full' and v.paused_at is null and not v.time_dependent
                    and s.populated and s.snapshot is not null and s.let_go_reason is null)
    offset 0) e
  -- Without tables of its own a group follows other views; ticks see to that.
  where e.probe is not null
$$;

-- The snapshot that all views of a group reflect of their tables; null when they reflect different ones.
create function tidemark.reflected_by_group(group_text text) returns pg_snapshot
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case when min(m.snapshot::text) = max(m.snapshot::text) then min(m.snapshot::text)::pg_snapshot end
  from tidemark.view v join tidemark.tidemark m on m.view = v.name
  where v.group_name = group_text and m.via = ''
$$;

-- Refreshes a group by the short way, in a REPEATABLE READ transaction of its own. Returns what its views reflect then; null
-- when it is left to a request.
create function tidemark.keep_group_up(g tidemark.eager_group, worker text) returns pg_snapshot
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v tidemark.view;
  began timestamptz;
  since pg_snapshot;
  done tidemark.outcome;
begin
  if not pg_try_advisory_xact_lock(7425, g.lock_key) then
    -- Somebody else is at it.
    raise exception using errcode = '40001', message = 'another backend is refreshing ' || g.name;
  end if;
  -- Rows, tidemark and run row are lost together if the server goes down within the second, and the log has the changes still:
  -- to wait for the disk would keep readers waiting, and prove nothing (decision 68).
  perform set_config('synchronous_commit', 'off', true);
  perform tidemark.hold(g.relations, true);
  for v in select d.* from tidemark.view d where d.group_name = g.name order by d.position, d.name loop
    began := clock_timestamp();
    since := tidemark.kept_since(v.name);
    if since is null then return null; end if;
    done := tidemark.bring_up(v, true, false, since);
    if not done.skipped then perform tidemark.tell_kept_up(v, worker, began, done); end if;
  end loop;
  return done.snapshot;
end $$;

-- Adds a refresh to the run row of the last ten seconds, or begins one.
create function tidemark.tell_kept_up(v tidemark.view, worker text, began timestamptz, done tidemark.outcome) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  ms double precision := extract(epoch from clock_timestamp() - began) * 1000;
begin
  update tidemark.run r
     set refreshes = r.refreshes + 1, finished_at = clock_timestamp(), duration_ms = greatest(r.duration_ms, ms::bigint),
         busy_ms = coalesce(r.busy_ms, r.duration_ms) + ms,
         rows_total = done.rows_total, rows_inserted = coalesce(r.rows_inserted, 0) + coalesce(done.rows_inserted, 0),
         rows_updated = coalesce(r.rows_updated, 0) + coalesce(done.rows_updated, 0),
         rows_deleted = coalesce(r.rows_deleted, 0) + coalesce(done.rows_deleted, 0),
         changes = coalesce(r.changes, 0) + coalesce(done.changes, 0),
         differing = greatest(r.differing, done.differing),
         groups_checked = nullif(coalesce(r.groups_checked, 0) + coalesce(done.groups_checked, 0), 0), snapshot = done.snapshot, as_of = now()
   where r.run_id = (select x.run_id from tidemark.run x where x.view = v.name order by x.run_id desc limit 1)
     and r.triggered_by = 'eager' and r.status = 'completed' and r.worker = tell_kept_up.worker
     and r.method = done.method and r.started_at > now() - interval '10 seconds';
  if found then return; end if;
  insert into tidemark.run (group_name, view, trigger_type, triggered_by, status, strategy, method, worker, pid, started_at,
                            finished_at, duration_ms, busy_ms, rows_total, rows_inserted, rows_updated, rows_deleted, changes,
                            differing, groups_checked, snapshot, as_of)
  values (v.group_name, v.name, 'target', 'eager', 'completed',
          case when done.method in ('incremental', 'partition') then done.method else 'full' end, done.method, worker, pg_backend_pid(), began,
          clock_timestamp(), ms::bigint, ms, done.rows_total, done.rows_inserted, done.rows_updated, done.rows_deleted,
          done.changes, done.differing, done.groups_checked, done.snapshot, now());
end $$;

-- Looks after eager groups for a while: at top level only. Engines call it again and again; any number may.
create procedure tidemark.keep_up(worker text, for_ms int default 1000, look_every_ms int default 2, inout refreshes bigint default null)
language plpgsql as $$
declare
  began timestamptz := clock_timestamp();
  until timestamptz := began + for_ms * interval '1 millisecond';
  groups tidemark.eager_group[];
  -- the snapshot of a round in which no group was behind: as long as nobody commits, none is
  calm text;
  looked text;
  looked_at timestamptz;
  busy boolean;
  failure_state text;
  reflected pg_snapshot;
begin
  refreshes := null;
  commit;
  set transaction isolation level read committed;
  groups := array(select e from tidemark.eager_groups() e);
  if cardinality(groups) = 0 then return; end if;
  refreshes := 0;
  perform set_config('synchronous_commit', 'off', true);
  perform tidemark.note_kept_up(array(select e.name from unnest(groups) e));
  -- Before it began is when the clock was set back.
  while clock_timestamp() between began and until and cardinality(groups) > 0 loop
    commit;
    set transaction isolation level read committed;
    looked_at := clock_timestamp();
    looked := pg_current_snapshot()::text;
    busy := false;
    for n in reverse cardinality(groups) .. 1 loop
      exit when looked = calm;
      if groups[n].reflected is null then groups[n].reflected := tidemark.reflected_by_group(groups[n].name); end if;
      -- Views that reflect different snapshots are behind: the next refresh brings them together.
      continue when not tidemark.finds_unreflected(groups[n].probe, groups[n].reflected);
      looked := null;
      commit;
      set transaction isolation level repeatable read;
      failure_state := null;
      begin
        reflected := tidemark.keep_group_up(groups[n], worker);
      exception when query_canceled or others then
        get stacked diagnostics failure_state = returned_sqlstate;
        reflected := null;
      end;
      if reflected is not null then commit; else rollback; end if;
      set transaction isolation level read committed;
      groups[n].reflected := reflected;
      if reflected is not null then
        busy := true;
        refreshes := refreshes + 1;
      elsif failure_state is distinct from '40001' then
        -- A request finds out what it is, says it, and backs off.
        perform tidemark.enqueue(groups[n].name, 'target', 'eager');
        groups := groups[: n - 1] || groups[n + 1 :];
        commit;
      end if;
    end loop;
    if not busy then
      calm := looked;
      -- Others commit, and every look reads logs that hold nothing new: a fifth of the time is enough for that. A look that
      -- waited for a lock, or during which the clock was set on, is not slept off for longer than this was to last.
      perform pg_sleep(least(greatest(look_every_ms / 1000.0, 4 * extract(epoch from clock_timestamp() - looked_at)),
                             extract(epoch from until - looked_at)));
    end if;
  end loop;
  commit;
end $$;

create function tidemark.note_kept_up(groups text[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  update tidemark.refresh_group g set kept_up_at = clock_timestamp() where g.name = any (groups)
$$;

call tidemark.close_to_public();
