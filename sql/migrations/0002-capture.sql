-- Reading the change logs, and distrusting what capture relies on.
--
-- A change log is three tables ("log 0..2 <source>"), chosen by the writer's transaction id, so that writers
-- share nothing. A row belongs to a commit; whether a snapshot reflects it is decided by (xid, snapshot) alone:
-- rows not reflected by snapshot s are those with xid >= pg_snapshot_xmax(s) or xid = any (pg_snapshot_xip(s)).

alter table tidemark.source add column saved_capture text;
comment on column tidemark.source.saved_capture is 'definitions of the capture functions while they are bypassed';

-- The TypeScript twin is src/model/names.ts; a test holds both equal.
create function tidemark.object_name(text text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare head text := text;
begin
  if octet_length(text) <= 63 then return text; end if;
  while octet_length(head) > 54 loop head := left(head, -1); end loop;
  return head || '~' || left(encode(sha256(convert_to(text, 'UTF8')), 'hex'), 8);
end $$;

-- What the functions of a source's capture triggers are called, those that there may be: of a statement each for an insert, an
-- update and a delete, and one for all else. The TypeScript twin is src/model/names.ts; a test holds both equal.
create function tidemark.capture_functions(source text) returns name[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select array[tidemark.object_name('capture ' || source), tidemark.object_name('capture insert of ' || source),
               tidemark.object_name('capture update of ' || source), tidemark.object_name('capture delete of ' || source)]::name[]
$$;

-- The three buckets of a source's change log, quoted; an empty array when they are gone.
create function tidemark.log_tables(source text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(format('tidemark.%I', c.relname) order by c.relname), '{}')
  from pg_class c
  where c.relnamespace = 'tidemark'::regnamespace
    and c.relname in (tidemark.object_name('log 0 ' || source), tidemark.object_name('log 1 ' || source),
                      tidemark.object_name('log 2 ' || source))
$$;

-- Which transactions one snapshot sees and an earlier one does not, so that a look at a log touches no row of one that is
-- still open, however many rows it has written: ranges of ids from `lows` to below `highs`, and the buckets of a log that these
-- transactions wrote to.
create type tidemark.ended_xids as (lows xid8[], highs xid8[], buckets boolean[]);

-- Expressions alone: a refresh asks several times, and a query would cost more than all of this.
create function tidemark.ended_between(earlier pg_snapshot, later pg_snapshot) returns tidemark.ended_xids
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  -- More open transactions than this are looked at like ended ones: a look between each two would cost more.
  open_max constant int := 24;
  low bigint := pg_snapshot_xmax(earlier)::text::bigint;
  high bigint := pg_snapshot_xmax(later)::text::bigint;
  -- Open at the one and at the other: what the text of a snapshot ends with, in ascending order.
  open_then bigint[] := string_to_array(split_part(earlier::text, ':', 3), ',');
  open_now bigint[] := string_to_array(split_part(later::text, ':', 3), ',');
  lows bigint[] := '{}';
  highs bigint[] := '{}';
  buckets boolean[] := '{f,f,f}';
  x bigint;
  turn bigint;
  last_turn bigint;
  result tidemark.ended_xids;
begin
  -- All that came since, but for those that are still open …
  foreach x in array open_now loop
    continue when x < low;
    lows := lows || low;
    highs := highs || x;
    low := x + 1;
  end loop;
  if cardinality(lows) > open_max then
    low := pg_snapshot_xmax(earlier)::text::bigint;
    lows := '{}';
    highs := '{}';
  end if;
  lows := lows || low;
  highs := highs || high;
  -- … and those that were open then and are no more.
  foreach x in array open_then loop
    continue when not pg_visible_in_snapshot(x::text::xid8, later);
    lows := lows || x;
    highs := highs || x + 1;
  end loop;
  for n in 1 .. cardinality(lows) loop
    continue when lows[n] >= highs[n];
    result.lows := result.lows || lows[n]::text::xid8;
    result.highs := result.highs || highs[n]::text::xid8;
    -- The bucket that a transaction writes to is told by its id; see src/capture.
    turn := lows[n] >> 14;
    last_turn := (highs[n] - 1) >> 14;
    buckets[turn % 3 + 1] := true;
    buckets[last_turn % 3 + 1] := true;
    if last_turn - turn >= 2 then buckets := '{t,t,t}'; end if;
  end loop;
  result.buckets := buckets;
  return result;
end $$;

-- What `snap` does not reflect and a statement sees now, what the caller's own transaction has done among it.
create function tidemark.ended_since(snap pg_snapshot) returns tidemark.ended_xids
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  seen pg_snapshot := pg_current_snapshot();
  me xid8 := pg_current_xact_id_if_assigned();
  result tidemark.ended_xids := tidemark.ended_between(snap, seen);
  buckets boolean[] := result.buckets;
begin
  if me >= pg_snapshot_xmax(seen) then
    result.lows := result.lows || me;
    result.highs := result.highs || (me::text::bigint + 1)::text::xid8;
    buckets[(me::text::bigint >> 14) % 3 + 1] := true;
    result.buckets := buckets;
  end if;
  return result;
end $$;

-- A query of the transactions in a log that are in the ranges from $1 to below $2. One may have written many rows: the index is
-- read in steps of a few, each beginning behind the last transaction of the one before.
create function tidemark.unreflected_text(log text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select format($q$
    select found.xid
    from unnest($1, $2) r (low, high)
    cross join lateral (
      with recursive step (xids) as (
        select array(select xid from %1$s where xid >= r.low and xid < r.high order by xid limit 64)
        union all
        select array(select xid from %1$s where xid > s.xids[cardinality(s.xids)] and xid < r.high order by xid limit 64)
        from step s where s.xids <> '{}'
      )
      select unnest(xids) as xid from step) found$q$, log)
$$;

-- Transactions in the logs of `sources` that are visible now and not reflected by `snap`.
-- Never misses one: an uncommitted transaction is not visible yet and will be found once it commits,
-- because it is then still in xip or above xmax of `snap`.
create function tidemark.unreflected_of_all(sources text[], snap pg_snapshot) returns xid8[]
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- So many ids are asked for one by one, which is planned in a fraction of the time: nearly all of what it takes.
  few constant int := 64;
  ended tidemark.ended_xids := tidemark.ended_since(snap);
  logs text[] := '{}';
  log regclass;
  width bigint := 0;
  ids xid8[] := '{}';
  found_xids xid8[];
begin
  if ended.lows is null then return '{}'; end if;
  for n in 1 .. cardinality(sources) loop
    for b in 0 .. 2 loop
      continue when not ended.buckets[b + 1];
      log := to_regclass('tidemark.' || quote_ident(tidemark.object_name(format('log %s %s', b, sources[n]))));
      if log is not null then logs := logs || log::text; end if;
    end loop;
  end loop;
  if cardinality(logs) = 0 then return '{}'; end if;
  for n in 1 .. cardinality(ended.lows) loop
    width := width + (ended.highs[n]::text::bigint - ended.lows[n]::text::bigint);
  end loop;
  if width > few then
    execute (select 'select array_agg(distinct xid) from (' || string_agg(tidemark.unreflected_text(l), ' union all ') || ') l'
             from unnest(logs) l)
    into found_xids
    using ended.lows, ended.highs;
    return coalesce(found_xids, '{}');
  end if;
  for n in 1 .. cardinality(ended.lows) loop
    for id in ended.lows[n]::text::bigint .. ended.highs[n]::text::bigint - 1 loop
      ids := ids || id::text::xid8;
    end loop;
  end loop;
  -- A range of one id, for PostgreSQL might read all of a log to compare with its ids.
  execute (select 'select array(select x from unnest($1) x where '
             || string_agg(format('exists (select from %s where xid >= x and xid <= x order by xid limit 1)', l), ' or ') || ')'
             from unnest(logs) l)
  into found_xids
  using ids;
  return found_xids;
end $$;

create function tidemark.unreflected(source text, snap pg_snapshot) returns xid8[]
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select tidemark.unreflected_of_all(array[source], snap)
$$;

-- A statement that tells whether one of `logs` has a row of a transaction in the ranges from $1 to below $2; one is enough. Null
-- when there is no log.
create function tidemark.probe_of(logs text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select 'select exists (select from unnest($1, $2) r (low, high) where '
    || string_agg(format('exists (select from %s where xid >= r.low and xid < r.high order by xid limit 1)', l), ' or ') || ')'
  from unnest(logs) l
$$;

-- The same for the logs of `sources`.
create function tidemark.probe_text(sources text[]) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select tidemark.probe_of(array_agg(l)) from unnest(sources) s, unnest(tidemark.log_tables(s)) l
$$;

-- Whether a probe finds a commit that is not reflected by `snap`; null where one of them is null.
create function tidemark.finds_unreflected(probe text, snap pg_snapshot) returns boolean
language plpgsql volatile strict security definer set search_path = pg_catalog, pg_temp as $$
declare
  ended tidemark.ended_xids := tidemark.ended_since(snap);
  found_one boolean;
begin
  if ended.lows is null then return false; end if;
  execute probe into found_one using ended.lows, ended.highs;
  return found_one;
end $$;

create function tidemark.has_unreflected(source text, snap pg_snapshot) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(tidemark.finds_unreflected(tidemark.probe_text(array[source]), snap), false)
$$;

-- A lower bound of the instant at which the first of `xids` became visible; exact where
-- track_commit_timestamp is on. Else the last look that saw none of them, and `not_before` when there was no look.
-- The look's own time was read before its snapshot, so the bound is never after the commit:
-- staleness is never understated, and overstated by the distance of two looks at most.
create function tidemark.first_commit_at(xids xid8[], not_before timestamptz) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  exact timestamptz;
  high timestamptz := clock_timestamp();
  -- Nothing is from a time that has yet to come: the clock may have been set back.
  low timestamptz := least(not_before, high);
  look tidemark.sample;
begin
  if cardinality(xids) = 0 then return null; end if;
  if current_setting('track_commit_timestamp') = 'on' then
    begin
      select min(pg_xact_commit_timestamp(x::xid)) into exact from unnest(xids) x
      having bool_and(pg_xact_commit_timestamp(x::xid) is not null);
    exception when others then exact := null;  -- older than what the server remembers
    end;
    if exact is not null then return least(exact, high); end if;
  end if;
  -- Halve the time between a look that saw none and one that saw some, until no look lies between.
  for step in 1 .. 64 loop
    select s.* into look from tidemark.sample s
    where s.at > low and s.at < high and s.at >= low + (high - low) / 2
    order by s.at limit 1;
    if not found then
      select s.* into look from tidemark.sample s where s.at > low and s.at < high order by s.at desc limit 1;
      exit when not found;
    end if;
    if exists (select from unnest(xids) x where pg_visible_in_snapshot(x, look.snapshot)) then
      high := look.at;
    else
      low := look.at;
    end if;
  end loop;
  return low;
end $$;

-- When the first commit that a snapshot does not reflect became visible. It never changes once there is one: commits
-- that come later are younger. Ticks remember it, so that nobody scans the log again for a view that waits to be refreshed.
create table tidemark.first_unreflected (
  source text not null,
  snapshot text not null,
  at timestamptz not null,
  primary key (source, snapshot)
);

create function tidemark.first_unreflected_at(source_name text, snap pg_snapshot, not_before timestamptz) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare remembered timestamptz;
begin
  select f.at into remembered from tidemark.first_unreflected f
   where f.source = source_name and f.snapshot = snap::text;
  if found then return remembered; end if;
  return tidemark.first_commit_at(tidemark.unreflected(source_name, snap), not_before);
end $$;

-- The same over all that a view reflects.
create function tidemark.oldest_unreflected_at(view_name text) returns timestamptz
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select min(case when t.remembered is null
                  then tidemark.first_commit_at(tidemark.unreflected_of_all(t.sources, t.snapshot::pg_snapshot), t.as_of)
                  else t.remembered end)
  from (
    select m.snapshot::text as snapshot, f.at as remembered, array_agg(m.source) as sources, max(m.as_of) as as_of
    from tidemark.tidemark m
    left join tidemark.first_unreflected f on f.source = m.source and f.snapshot = m.snapshot::text
    where m.view = view_name
    group by 1, 2
    offset 0) t
$$;

create function tidemark.remember_first_unreflected() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into tidemark.first_unreflected (source, snapshot, at)
  select w.source, w.snapshot, w.at
  from (
    select t.source, t.snapshot, tidemark.first_commit_at(tidemark.unreflected(t.source, t.snapshot::pg_snapshot), t.as_of) as at
    from (select m.source, m.snapshot::text as snapshot, max(m.as_of) as as_of
            from tidemark.tidemark m group by 1, 2) t
    where not exists (select from tidemark.first_unreflected f where f.source = t.source and f.snapshot = t.snapshot)
    offset 0) w
  where w.at is not null
  on conflict do nothing
$$;

-- Why this database is not the one that was set up; null when it is.
create function tidemark.installation_problem() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  i tidemark.installation;
  identifier bigint := 0;
begin
  select * into i from tidemark.installation;
  if not found then return 'not_installed: run tidemark apply'; end if;
  begin
    select c.system_identifier into identifier from pg_control_system() c;
  exception when insufficient_privilege then identifier := i.system_identifier;
  end;
  if identifier <> i.system_identifier and i.system_identifier <> 0 then
    return 'database_copied: this is another server than the one that was set up; run tidemark apply';
  end if;
  if i.database_oid <> (select d.oid from pg_database d where d.datname = current_database()) then
    return 'database_copied: this is a copy of the database that was set up; run tidemark apply';
  end if;
  if not pg_is_in_recovery() and left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) <> i.timeline then
    return 'database_promoted: this server was a standby when Tidemark was set up; run tidemark apply';
  end if;
  if pg_snapshot_xmax(pg_current_snapshot()) < i.highest_xid then
    return 'database_set_back: transaction ids are below those already seen; run tidemark apply';
  end if;
  return null;
end $$;

-- Every table of a partition or inheritance tree, the root included.
create function tidemark.members(root regclass) returns setof oid
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive tree as (
    select root::oid as oid
    union
    select i.inhrelid from pg_inherits i join tree t on i.inhparent = t.oid
  )
  select oid from tree
$$;

-- Digest of all that capture of a source relies on. Row versions (xmin) of the triggers and functions are
-- part of it, so that a trigger that was disabled and enabled again between two looks is found as well.
create function tidemark.source_fingerprint(source_name text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select md5(concat_ws('|',
    (select string_agg(m::text, ',' order by m) from tidemark.members(s.relation) m),
    (select string_agg(concat_ws(':', t.tgrelid, t.tgname, t.tgenabled, t.tgtype, t.xmin), ',' order by t.tgrelid, t.tgname)
       from tidemark.members(s.relation) m
       join pg_trigger t on t.tgrelid = m
       join pg_proc p on p.oid = t.tgfoid
      where p.pronamespace = 'tidemark'::regnamespace and p.proname = any (f.functions)),
    (select string_agg(concat_ws(':', p.proname, p.oid, p.xmin), ',' order by p.proname)
       from pg_proc p
      where p.pronamespace = 'tidemark'::regnamespace
        and p.proname = any (f.functions || array[tidemark.object_name('image of ' || s.name),
                                                  tidemark.object_name(s.name || ' is captured; run tidemark plan')]::name[])),
    -- With triggers and rules: one may keep rows from being written.
    (select string_agg(concat_ws(' ', c.oid, c.relpersistence,
              (select string_agg(concat_ws(':', t.tgname, t.tgenabled, t.xmin), ' ' order by t.tgname) from pg_trigger t where t.tgrelid = c.oid),
              (select string_agg(concat_ws(':', w.rulename, w.xmin), ' ' order by w.rulename) from pg_rewrite w where w.ev_class = c.oid)),
            ',' order by c.relname)
       from unnest(tidemark.log_tables(s.name)) l join pg_class c on c.oid = to_regclass(l)),
    -- What logical replication applies fires triggers for rows alone.
    (select string_agg(distinct r.srrelid::text, ',' order by r.srrelid::text)
       from tidemark.members(s.relation) m
       join pg_subscription_rel r on r.srrelid = m
      where not exists (
        select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
        where t.tgrelid = m and (t.tgtype & 1) <> 0 and p.pronamespace = 'tidemark'::regnamespace
          and p.proname = tidemark.object_name('capture ' || s.name)))))
  from tidemark.source s, lateral (select tidemark.capture_functions(s.name) as functions offset 0) f
  where s.name = source_name
$$;

-- Why the log of a source cannot be believed; null when every commit is in it.
create function tidemark.source_problem(source_name text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  s tidemark.source;
  holder text := tidemark.object_name(source_name || ' is captured; run tidemark plan');
  functions name[] := tidemark.capture_functions(source_name);
begin
  select * into s from tidemark.source where name = source_name;
  if not found then return format('not_captured: %s', source_name); end if;
  if s.status <> 'captured' then
    return format('%s: %s, %s', s.status, s.name, coalesce(s.status_reason, 'no reason given'));
  end if;
  if not exists (select from pg_class c where c.oid = s.relation) then
    return format('source_dropped: %s no longer exists; run tidemark plan', s.name);
  end if;
  if not exists (select from pg_proc p where p.pronamespace = 'tidemark'::regnamespace and p.proname = holder) then
    return format('column_dropped: a captured column of %s was dropped; run tidemark plan', s.name);
  end if;
  -- The fields of an image and the columns that the holder reads are in one order, that of the table.
  if exists (
    select
    from (select d.refobjsubid as attnum, row_number() over (order by d.refobjsubid) as place
          from pg_depend d join pg_proc p on p.oid = d.objid
          where d.classid = 'pg_proc'::regclass and p.pronamespace = 'tidemark'::regnamespace and p.proname = holder
            and d.refclassid = 'pg_class'::regclass and d.refobjid = s.relation and d.refobjsubid > 0) held
    join (select f.attname, row_number() over (order by f.attnum) as place
          from pg_attribute f join pg_type t on t.typrelid = f.attrelid
          where t.typnamespace = 'tidemark'::regnamespace and t.typname = tidemark.object_name('image ' || source_name) and not f.attisdropped) named
      on named.place = held.place
    join pg_attribute a on a.attrelid = s.relation and a.attname = named.attname and not a.attisdropped
    where a.attnum <> held.attnum) then
    return format('column_renamed: a column of %s has the name that a captured one had; run tidemark apply', s.name);
  end if;
  if exists (select from pg_class c where c.oid in (select tidemark.members(s.relation)) and c.relpersistence = 'u') then
    return format('unlogged: a crash empties %s unseen; run alter table … set logged, then tidemark apply', s.name);
  end if;
  if exists (
    select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where t.tgrelid in (select tidemark.members(s.relation)) and t.tgenabled <> 'A'
      and p.pronamespace = 'tidemark'::regnamespace and p.proname = any (functions)) then
    return format('trigger_disabled: a capture trigger of %s is disabled; run tidemark apply', s.name);
  end if;
  if s.fingerprint is distinct from tidemark.source_fingerprint(s.name) then
    return format('capture_changed: a trigger, a function or a partition that capture of %s relies on has changed; run tidemark apply', s.name);
  end if;
  return null;
end $$;

-- A change log is appended to, and emptied by whoever has looked that every view reflects it. What somebody else took out of it, no
-- refresh would ever know of. Like the guard of a state it keeps people from mistakes, and is no fence against its owner.
create function tidemark.guard_log() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('tidemark.emptying', true) = 'on' then return null; end if;
  raise exception using errcode = 'object_not_in_prerequisite_state',
    message = format('the change log %I is emptied by Tidemark alone', tg_table_name),
    hint = 'Ticks empty it once every view reflects it: select tidemark.tick()';
end $$;

create function tidemark.guard_logs(source_name text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare bucket text;
begin
  foreach bucket in array tidemark.log_tables(source_name) loop
    continue when exists (
      select from pg_trigger t where t.tgrelid = to_regclass(bucket) and t.tgname = 'tidemark guard' and t.tgenabled = 'A');
    execute format('drop trigger if exists "tidemark guard" on %s', bucket);
    execute format('create trigger "tidemark guard" before update or delete or truncate on %s '
                   'for each statement execute function tidemark.guard_log()', bucket);
    execute format('alter table %s enable always trigger "tidemark guard"', bucket);
  end loop;
end $$;

-- Takes what is there now for right: after capture was installed or mended, in the same transaction.
-- Whatever was done before is a gap: views of the source are unknown until refreshed after it.
create function tidemark.trust(source_name text, gap_reason text default null) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  perform tidemark.guard_logs(source_name);
  update tidemark.source
     set status = 'captured', status_reason = null, saved_capture = null, captured_at = now(),
         fingerprint = tidemark.source_fingerprint(source_name)
   where name = source_name;
  if not found then
    raise exception 'no captured source is called % (TIDEMARK_RELATION_UNKNOWN)', source_name;
  end if;
  if gap_reason is not null then
    insert into tidemark.gap (source, reason) values (source_name, gap_reason);
  end if;
end $$;

-- The table of a source has another name. `rename_logs` comes before what captures it is taken away, `rename_source` before it is
-- made anew; what is in the logs stays, and what views reflect of it. The caller has locked the table against writers.
create function tidemark.rename_logs(former text, present text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  problem text := tidemark.source_problem(former);
begin
  if problem is not null then
    raise exception '% (TIDEMARK_PLAN_STALE)', problem;
  end if;
  for bucket in 0..2 loop
    execute format('alter table tidemark.%I rename to %I',
      tidemark.object_name(format('log %s %s', bucket, former)), tidemark.object_name(format('log %s %s', bucket, present)));
    execute format('alter index tidemark.%I rename to %I',
      tidemark.object_name(format('log %s by xid %s', bucket, former)), tidemark.object_name(format('log %s by xid %s', bucket, present)));
  end loop;
  update tidemark.gap set source = present where source = former;
end $$;

create function tidemark.rename_source(former text, present text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  update tidemark.source set name = present where name = former;
  update tidemark.tidemark set source = present where source = former;
  delete from tidemark.first_unreflected where source = former;
end $$;

-- Follows partitions that came or went since capture was set up: row triggers were cloned by PostgreSQL,
-- TRUNCATE triggers are added here. Attached rows came without a trigger, so the change is a gap.
-- Returns what it did; null when there was nothing to follow.
create function tidemark.follow(source_name text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  s tidemark.source;
  truncate_trigger text;
  leaf regclass;
begin
  select * into s from tidemark.source where name = source_name for update;
  if s.status <> 'captured' or not exists (select from pg_class c where c.oid = s.relation and c.relkind = 'p') then
    return null;
  end if;
  if s.fingerprint is not distinct from tidemark.source_fingerprint(s.name) then return null; end if;
  -- Only a changed tree is followed: triggers and functions of the root must be as they were made.
  select t.tgname into truncate_trigger from pg_trigger t join pg_proc p on p.oid = t.tgfoid
   where t.tgrelid = s.relation and (t.tgtype & 32) <> 0
     and p.proname = tidemark.object_name('capture ' || s.name);
  if truncate_trigger is null then return null; end if;
  for leaf in
    select m::regclass from tidemark.members(s.relation) m
    where not exists (select from pg_trigger t where t.tgrelid = m and t.tgname = truncate_trigger)
      and exists (select from pg_class c where c.oid = m and c.relkind in ('r', 'p'))
  loop
    execute format('create trigger %I after truncate on %s for each statement execute function tidemark.%I()',
                   truncate_trigger, leaf, tidemark.object_name('capture ' || s.name));
    execute format('alter table %s enable always trigger %I', leaf, truncate_trigger);
  end loop;
  perform tidemark.trust(s.name, 'partitions: a partition was attached, detached, created or dropped');
  return format('%s: followed its partitions', s.name);
end $$;

-- Finds a source by what people call it: its captured name, its present name, or its bare name.
create function tidemark.source_named(text text) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare found_names text[];
begin
  select array_agg(s.name) into found_names from tidemark.source s
  where s.name = text or s.relation::text = text or s.name = 'public.' || text;
  if found_names is null then
    select array_agg(s.name) into found_names from tidemark.source s
    where split_part(s.name, '.', 2) = text;
  end if;
  if cardinality(found_names) = 1 then return found_names[1]; end if;
  raise exception using errcode = 'undefined_table',
    message = format('no captured source is called %s (TIDEMARK_RELATION_UNKNOWN)', text),
    hint = 'List them with: select name from tidemark.source;';
end $$;

-- Stops capture of a table at once. Replaces the capture functions by ones that do nothing: that waits for
-- no writer. Every view of the table is unknown until tidemark apply captures it again.
create function tidemark.bypass(table_name text, reason text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  source_name text := tidemark.source_named(table_name);
  functions oid[];
  definitions text;
  capture oid;
begin
  select array_agg(p.oid order by p.proname), string_agg(pg_get_functiondef(p.oid), ';' order by p.proname) into functions, definitions
    from pg_proc p
   where p.pronamespace = 'tidemark'::regnamespace and p.proname = any (tidemark.capture_functions(source_name));
  update tidemark.source
     set status = 'bypassed', status_reason = coalesce(reason, 'no reason given'),
         saved_capture = coalesce(saved_capture, definitions)
   where name = source_name;
  insert into tidemark.gap (source, reason) values (source_name, 'bypassed: ' || coalesce(reason, 'no reason given'));
  foreach capture in array coalesce(functions, '{}') loop
    execute format(
      'create or replace function %s returns trigger language plpgsql security definer '
      'set search_path = pg_catalog, pg_temp as $f$ begin return null; end $f$', capture::regprocedure);
  end loop;
  return format('%s is no longer captured; its views are unknown until tidemark apply', source_name);
end $$;

-- The way back from bypass and from a released log, without Node: under a lock that waits out open writers.
create function tidemark.capture_again(table_name text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  source_name text := tidemark.source_named(table_name);
  s tidemark.source;
begin
  select * into s from tidemark.source where name = source_name;
  if s.saved_capture is null then
    return format('%s has nothing to take back; run tidemark plan', source_name);
  end if;
  execute format('lock table %s in share row exclusive mode', s.relation);
  execute s.saved_capture;
  perform tidemark.trust(source_name, 'captured again');
  return format('%s is captured again; its views are unknown until their next refresh', source_name);
end $$;

-- A copy, a restore or a promotion starts a new life: ids of transactions of the former one mean nothing here.
create function tidemark.renew_installation() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  s record;
  l text;
  identifier bigint := 0;
begin
  begin
    select c.system_identifier into identifier from pg_control_system() c;
  exception when insufficient_privilege then null;
  end;
  perform set_config('tidemark.emptying', 'on', true);
  for s in select name from tidemark.source loop
    foreach l in array tidemark.log_tables(s.name) loop execute 'truncate ' || l; end loop;
  end loop;
  perform set_config('tidemark.emptying', '', true);
  truncate tidemark.sample, tidemark.gap, tidemark.tidemark, tidemark.event, tidemark.first_unreflected;
  delete from tidemark.request;
  update tidemark.run set status = 'lost', finished_at = clock_timestamp(), error = 'the database was copied or promoted'
   where status = 'running';
  update tidemark.view_state set snapshot = null, as_of = null;
  delete from tidemark.installation;
  insert into tidemark.installation (system_identifier, database_oid, timeline, highest_xid)
  select identifier, d.oid, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), pg_snapshot_xmax(pg_current_snapshot())
  from pg_database d where d.datname = current_database();
  update tidemark.source src set fingerprint = tidemark.source_fingerprint(src.name) where src.status = 'captured';
  perform tidemark.renew_caches();
  perform tidemark.renew_cache_tables();
  -- What was restored has other numbers, and everything is computed anew.
  perform tidemark.note_parts(v.name) from tidemark.view v;
end $$;

-- Bytes that the change log of a source takes.
create function tidemark.log_bytes(source_name text) returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(sum(pg_total_relation_size(to_regclass(l))), 0)::bigint from unnest(tidemark.log_tables(source_name)) l
$$;

-- True when a snapshot reflects every row of a bucket.
create function tidemark.is_consumed_by(bucket text, snap pg_snapshot) returns boolean
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select not tidemark.finds_unreflected(tidemark.probe_of(array[bucket]), snap)
$$;

-- True when every row of a bucket is reflected by every view and cache that reads the source: nobody needs it again.
create function tidemark.bucket_consumed(bucket text, source_name text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare horizon pg_snapshot;
begin
  -- as text: snapshots know no equality
  for horizon in select distinct t.snapshot::text from tidemark.tidemark t where t.source = source_name
                 union select h::text from tidemark.cache_horizons(source_name) h loop
    if not tidemark.is_consumed_by(bucket, horizon) then return false; end if;
  end loop;
  return true;
end $$;

-- Bytes of the change log of a source that some view has still to see: what is beyond them, the cleaner empties.
create function tidemark.needed_log_bytes(source_name text) returns bigint
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(sum(pg_total_relation_size(to_regclass(l))), 0)::bigint
  from unnest(tidemark.log_tables(source_name)) l where not tidemark.bucket_consumed(l, source_name)
$$;

-- Empties buckets that nobody needs. Each in a transaction of its own: waits 20 ms at most for its lock, during
-- which new writers of that bucket queue behind it, and looks again in a new snapshot once it has the lock.
-- Readers of a log hold ACCESS SHARE on all of it before they take their snapshot, so none can be surprised.
-- READ COMMITTED whatever the default of the role is: elsewhere the second look would be that of before the lock.
create procedure tidemark.clean(inout cleaned int default 0)
language plpgsql as $$
declare
  todo record;
begin
  cleaned := 0;
  for todo in select * from tidemark.dirty_buckets() loop
    commit;
    set transaction isolation level read committed;
    begin
      if tidemark.empty_bucket(todo.bucket, todo.source) then cleaned := cleaned + 1; end if;
    exception when lock_not_available or query_canceled then null;  -- a writer is at work; next time
    end;
  end loop;
  commit;
  set transaction isolation level read committed;
  perform tidemark.forget();
  commit;
end $$;

-- The bucket that writers write now is left to grow a little, so that they seldom meet the cleaner.
create function tidemark.dirty_buckets() returns table (bucket text, source text)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  current_bucket int := (pg_snapshot_xmax(pg_current_snapshot())::text::bigint >> 14) % 3;
  left_bytes bigint := least(4194304, (select x.value::bigint / 4 from tidemark.setting x where x.name = 'max_log_bytes'));
begin
  return query
    select l, s.name
    from tidemark.source s, unnest(tidemark.log_tables(s.name)) with ordinality as logs (l, n)
    where pg_relation_size(to_regclass(l)) > case when n - 1 = current_bucket then left_bytes else 0 end
      and tidemark.bucket_consumed(l, s.name);
end $$;

create function tidemark.empty_bucket(bucket text, source_name text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '20ms' as $$
begin
  if not bucket = any (tidemark.log_tables(source_name)) then
    raise exception 'not a bucket of %', source_name;
  end if;
  execute format('lock table %s in access exclusive mode', bucket);
  if not tidemark.bucket_consumed(bucket, source_name) then return false; end if;
  perform set_config('tidemark.emptying', 'on', true);
  execute format('truncate %s', bucket);
  perform set_config('tidemark.emptying', '', true);
  return true;
end $$;

-- Bounded memory: looks are kept at full density for two hours and every ten seconds for two days,
-- gaps while some view still has to see them, runs and decided slots for 35 days, of a view no more than 100,000 runs.
create function tidemark.forget() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from tidemark.sample s where s.at < now() - interval '2 days';
  delete from tidemark.sample s
   where s.at < now() - interval '2 hours' and s.at > now() - interval '3 hours'
     and exists (select from tidemark.sample e
                  where e.at < s.at and date_bin('10 seconds', e.at, 'epoch') = date_bin('10 seconds', s.at, 'epoch'));
  delete from tidemark.first_unreflected f
   where not exists (select from tidemark.tidemark t where t.source = f.source and t.snapshot::text = f.snapshot);
  delete from tidemark.gap g
   where g.at < now() - interval '1 hour'
     and not exists (select from tidemark.tidemark t
                      where t.source = g.source and not pg_visible_in_snapshot(g.xid, t.snapshot))
     and not exists (select from tidemark.cache_horizons(g.source) h where not pg_visible_in_snapshot(g.xid, h))
     -- nor a refresh that began before it: its snapshot may not see the gap
     and not exists (select from tidemark.request q where q.status = 'running' and q.claimed_at < g.at);
  delete from tidemark.run r where r.started_at < now() - interval '35 days' and r.status <> 'running';
  -- Counting is dear, so it is done now and then.
  if random() < 0.05 then
    delete from tidemark.run r using (
      select v.name, (select o.run_id from tidemark.run o where o.view = v.name order by o.run_id desc offset 100000 limit 1) as last_id
        from tidemark.view v) b
     where r.view = b.name and r.run_id <= b.last_id;
  end if;
  delete from tidemark.slot s where s.slot_at < now() - interval '35 days';
  delete from tidemark.target_window w where w.ends_at < now() - interval '1 day';
  -- a database set back in time is found by this
  update tidemark.installation i set highest_xid = pg_snapshot_xmin(pg_current_snapshot())
   where i.highest_xid < pg_snapshot_xmin(pg_current_snapshot()) and tidemark.installation_problem() is null;
end $$;
