-- The short way for views with policy `eager` that are kept up from their changes: no request, no claim, one transaction
-- for each refresh. What it may not do, because something is wrong or has to be computed afresh, it leaves to a request.

alter table tidemark.run add column refreshes bigint not null default 1;
alter table tidemark.run add column busy_ms double precision;
comment on column tidemark.run.busy_ms is 'what the refreshes of a row that stands for several took together';
comment on column tidemark.run.refreshes is 'how many refreshes this row stands for: those of an eager view are added up';

-- Groups that can go the short way.
create function tidemark.eager_groups() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select v.group_name
  from tidemark.view v
  join tidemark.view_state s on s.view = v.name
  join tidemark.refresh_group g on g.name = v.group_name
  where g.quarantined_at is null and (g.not_before is null or g.not_before <= clock_timestamp())
    and not exists (select from tidemark.request q where q.group_name = v.group_name)
    and tidemark.installation_problem() is null
  group by v.group_name
  having bool_and(v.policy = 'eager' and v.strategy <> 'full' and v.paused_at is null and not v.time_dependent
                  and s.populated and s.snapshot is not null and s.let_go_reason is null)
$$;

-- Whether a table of a group has a commit that the group does not reflect. `probe` is the text for all its sources.
-- Views that reflect different snapshots are behind: the next refresh of the group brings them together.
create function tidemark.is_behind(group_text text, probe text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  reflected text;
  others boolean;
  found_one boolean;
begin
  select min(m.snapshot::text), min(m.snapshot::text) <> max(m.snapshot::text) into reflected, others
  from tidemark.view v join tidemark.tidemark m on m.view = v.name
  where v.group_name = group_text and m.via = '';
  if reflected is null or others then return reflected is not null; end if;
  execute probe into found_one
  using pg_snapshot_xmax(reflected::pg_snapshot), array(select pg_snapshot_xip(reflected::pg_snapshot));
  return found_one;
end $$;

-- Refreshes a group by the short way, in a REPEATABLE READ transaction of its own. False: left to a request.
create function tidemark.keep_group_up(group_text text, worker text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v tidemark.view;
  began timestamptz;
  since pg_snapshot;
  done tidemark.outcome;
  ms double precision;
begin
  if not pg_try_advisory_xact_lock(7425, (select g.lock_key from tidemark.refresh_group g where g.name = group_text)) then
    return true;  -- somebody else is at it
  end if;
  -- Rows, tidemark and run row are lost together if the server goes down within the second, and the log has the changes still:
  -- to wait for the disk would keep readers waiting, and prove nothing (decision 68).
  perform set_config('synchronous_commit', 'off', true);
  perform from tidemark.view_state s join tidemark.view d on d.name = s.view
   where d.group_name = group_text order by s.view for update of s;
  perform tidemark.hold_sources(group_text, true);
  for v in select d.* from tidemark.view d where d.group_name = group_text order by d.position, d.name loop
    began := clock_timestamp();
    since := tidemark.kept_since(v.name);
    if since is null then return false; end if;
    done := tidemark.bring_up(v, true, false, since);
    continue when done.skipped;
    ms := extract(epoch from clock_timestamp() - began) * 1000;
    update tidemark.run r
       set refreshes = r.refreshes + 1, finished_at = clock_timestamp(), duration_ms = greatest(r.duration_ms, ms::bigint),
           busy_ms = coalesce(r.busy_ms, r.duration_ms) + ms,
           rows_total = done.rows_total, rows_inserted = coalesce(r.rows_inserted, 0) + coalesce(done.rows_inserted, 0),
           rows_updated = coalesce(r.rows_updated, 0) + coalesce(done.rows_updated, 0),
           rows_deleted = coalesce(r.rows_deleted, 0) + coalesce(done.rows_deleted, 0),
           differing = greatest(r.differing, done.differing), snapshot = done.snapshot, as_of = now()
     where r.run_id = (select max(x.run_id) from tidemark.run x where x.view = v.name)
       and r.triggered_by = 'eager' and r.status = 'completed' and r.worker = keep_group_up.worker
       and r.method = done.method and r.started_at > now() - interval '10 seconds';
    if not found then
      insert into tidemark.run (group_name, view, trigger_type, triggered_by, status, strategy, method, worker, pid, started_at,
                                finished_at, duration_ms, busy_ms, rows_total, rows_inserted, rows_updated, rows_deleted, differing,
                                snapshot, as_of)
      values (group_text, v.name, 'target', 'eager', 'completed',
              case when done.method in ('incremental', 'partition') then done.method else 'full' end, done.method, worker, pg_backend_pid(), began,
              clock_timestamp(), ms::bigint, ms, done.rows_total, done.rows_inserted, done.rows_updated, done.rows_deleted, done.differing,
              done.snapshot, now());
    end if;
  end loop;
  return true;
end $$;

-- Looks after eager groups for a while: at top level only. Engines call it again and again; any number may.
create procedure tidemark.keep_up(worker text, for_ms int default 1000, look_every_ms int default 2, inout refreshes bigint default null)
language plpgsql as $$
declare
  until timestamptz := clock_timestamp() + for_ms * interval '1 millisecond';
  groups text[];
  probes text[];
  -- the snapshot of a round in which no group was behind: as long as nobody commits, none is
  calm text;
  looked text;
  busy boolean;
  failure_state text;
  failure_message text;
  kept boolean;
begin
  refreshes := null;
  commit;
  set transaction isolation level read committed;
  select array_agg(e.group_name), array_agg(e.probe) into groups, probes from tidemark.eager_probes() e;
  if groups is null then return; end if;
  refreshes := 0;
  perform tidemark.note_kept_up(groups);
  while clock_timestamp() < until and cardinality(groups) > 0 loop
    commit;
    set transaction isolation level read committed;
    looked := pg_current_snapshot()::text;
    busy := false;
    for n in reverse cardinality(groups) .. 1 loop
      exit when looked = calm;
      continue when not tidemark.is_behind(groups[n], probes[n]);
      busy := true;
      commit;
      set transaction isolation level repeatable read;
      failure_state := null;
      begin
        kept := tidemark.keep_group_up(groups[n], worker);
      exception when query_canceled or others then
        get stacked diagnostics failure_state = returned_sqlstate, failure_message = message_text;
        kept := false;
      end;
      if failure_state is null and kept then commit; else rollback; end if;
      set transaction isolation level read committed;
      if kept then
        refreshes := refreshes + 1;
      elsif failure_state is distinct from '40001' then
        -- A request finds out what it is, says it, and backs off.
        perform tidemark.enqueue(groups[n], 'target', 'eager');
        groups := groups[: n - 1] || groups[n + 1 :];
        probes := probes[: n - 1] || probes[n + 1 :];
        commit;
      end if;
    end loop;
    if not busy then
      calm := looked;
      perform pg_sleep(look_every_ms / 1000.0);
    end if;
  end loop;
  commit;
end $$;

-- Groups that can go the short way, each with the statement that tells whether it is behind.
create function tidemark.eager_probes() returns table (group_name text, probe text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select e.g, e.p from (
    select g, tidemark.probe_text(array(
             select distinct vs.source from tidemark.view v join tidemark.view_source vs on vs.view = v.name
              where v.group_name = g)) as p
    from tidemark.eager_groups() g offset 0) e
  where e.p is not null
$$;

create function tidemark.note_kept_up(groups text[]) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  update tidemark.refresh_group g set kept_up_at = clock_timestamp() where g.name = any (groups)
$$;

call tidemark.close_to_public();
