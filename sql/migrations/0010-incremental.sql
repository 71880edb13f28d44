-- What maintenance programs of incremental views need beside their own objects.

-- The first of some values that is not NULL. With an order it makes one of values that are equal and look different;
-- without rows, or over NULLs alone, it is NULL.
create function tidemark.first_step(anyelement, anyelement) returns anyelement
language sql immutable strict parallel safe as 'select $1';
create aggregate tidemark.first(anyelement) (sfunc = tidemark.first_step, stype = anyelement, parallel = safe);

-- The value of a scalar subquery: PostgreSQL's own error where there is more than one row.
create function tidemark.only(value anyelement, row_count bigint) returns anyelement
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  if row_count > 1 then
    raise exception using errcode = 'cardinality_violation',
      message = 'more than one row returned by a subquery used as an expression';
  end if;
  return value;
end $$;

-- Whether to keep up or to compute afresh is decided by what either took before.
alter table tidemark.view_state add column fixed_ms double precision;
alter table tidemark.view_state add column learnt_ms double precision;
alter table tidemark.view_state add column learnt_changes double precision;
alter table tidemark.view_state add column learnt_effort double precision;
alter table tidemark.view_state add column full_ms double precision;
alter table tidemark.view_state add column full_rows double precision;
comment on column tidemark.view_state.fixed_ms is 'what a refresh takes however little has changed';
comment on column tidemark.view_state.learnt_ms is 'what refreshes of many changes took beyond that; older ones count half as much each time';
comment on column tidemark.view_state.learnt_changes is 'of how many changes that was';
comment on column tidemark.view_state.learnt_effort is 'the effort of that many';
comment on column tidemark.view_state.full_ms is 'what the last refresh in full took, without gathering statistics';
comment on column tidemark.view_state.full_rows is 'how many rows its sources had then, as the planner knows it';

-- What so many changes of a view that reads so many rows take, in proportion: as much each as long as they are few. The more there
-- are, the more of them meet the same groups, keys and pages; from a quarter of the rows on each takes as much as the last. In
-- bench/incremental ten times 1.6 % of the rows take 4 to 7 times as long, three times 16 % 1.2 to 2.2 times; this says 5.7 and 1.9.
create function tidemark.effort(changes double precision, source_rows double precision) returns double precision
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select ln(1 + 15 * least(0.25, share)) + greatest(0, share - 0.25) * 15 / 4.75 from (select changes / greatest(1, source_rows)) s (share)
$$;

-- The number of changes of which that is the effort; none of what is less than none. (exp() of far less would be an error.)
create function tidemark.changes_of(effort double precision, source_rows double precision) returns double precision
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select source_rows * case when effort < ln(4.75) then (exp(greatest(0, effort)) - 1) / 15 else 0.25 + (effort - ln(4.75)) * 4.75 / 15 end
$$;

-- The number of changes from which on a refresh in full is sooner done: that whose effort is
--
--   (full_ms, for as many rows as there are now, - fixed_ms) / (learnt_ms / learnt_effort)
--
-- Before anything is known of keeping the view up it is a quarter of the rows that it reads (an eighth to all of them in
-- bench/incremental). From 1,000 on, for fewer are soon done either way.
create function tidemark.full_from(source_rows double precision, s tidemark.view_state) returns bigint
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select least(1e15, greatest(1001, case when s.full_ms is not null and s.learnt_ms > 0 and s.learnt_effort > 0
    then tidemark.changes_of(
      (s.full_ms * greatest(1, source_rows / nullif(s.full_rows, 0)) - coalesce(s.fixed_ms, 0)) / (greatest(s.learnt_ms, 1e-3) / s.learnt_effort),
      source_rows)
    else source_rows / 4 end))::bigint
$$;

-- Rows of the tables and views that a view reads: as the planner knows them, and of a table of which it knows nothing as its
-- writers have told. (Its size would be known, but to whoever waits for its locks: tidemark.why() waits for nobody.)
create function tidemark.source_rows(view_name text) returns double precision
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce((select sum(case when c.reltuples < 0 then pg_stat_get_live_tuples(c.oid) else c.reltuples end)
                     from tidemark.view_source vs join tidemark.source s on s.name = vs.source,
                     lateral tidemark.members(s.relation) m join pg_class c on c.oid = m and c.relkind = 'r'
                    where vs.view = view_name), 0)
       + coalesce((select sum(s.row_count) from tidemark.view_input i join tidemark.view_state s on s.view = i.input
                    where i.view = view_name), 0)
$$;

-- What a maintenance program asks when it knows how many changes there are, and how large in memory. They are noted for who
-- called it. What does not fit is not followed, whatever that takes.
create function tidemark.prefers_full(view_name text, changes bigint, bytes double precision default 0) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  s tidemark.view_state;
begin
  perform set_config('tidemark.changes', changes::text, true);
  if changes <= 1000 then return false; end if;
  if bytes > 128 * 1024 * 1024 then return true; end if;
  select * into s from tidemark.view_state x where x.view = view_name;
  return changes >= tidemark.full_from(tidemark.source_rows(view_name), s);
end $$;

-- How a view is chosen to be refreshed, with the numbers: for people.
create function tidemark.choice(view_name text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'full_from', tidemark.full_from(r.source_rows, s), 'source_rows', r.source_rows::bigint,
    'fixed_ms', round(s.fixed_ms::numeric, 1), 'change_ms', round((s.learnt_ms / nullif(s.learnt_changes, 0))::numeric, 4),
    'full_ms', round(s.full_ms::numeric, 1))
  from tidemark.view v
  join tidemark.view_state s on s.view = v.name
  cross join lateral (select tidemark.source_rows(v.name) as source_rows offset 0) r
  where v.name = view_name and v.strategy = 'incremental'
$$;

-- How many rows a table has, for gather_statistics(): as statistics have it, counted where it was emptied since; null where
-- there are none.
create function tidemark.known_rows(relation regclass) returns bigint
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  known bigint;
begin
  select c.reltuples into known
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.oid = relation
     and exists (select from pg_stats s where s.schemaname = n.nspname and s.tablename = c.relname);
  if known <= 0 then execute format('select count(*) from %s', relation) into known; end if;
  return known;
end $$;

-- Gathers the statistics of a table that had `known` rows and has `rows` now, where there are none or these differ by a fifth:
-- that takes a tenth to a fifth of computing a view afresh. Returns how long it took.
create function tidemark.gather_statistics(relation regclass, known bigint, rows bigint) returns interval
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  began timestamptz := clock_timestamp();
begin
  if known is null or abs(rows - known) > known / 5 then execute format('analyze %s', relation); end if;
  return clock_timestamp() - began;
end $$;

-- Learns from a refresh what the next ones will take. Who never tries the other way again would never learn that it has become
-- cheaper: what is thought of it falls, by so little that it is seldom tried in vain. It stops falling at a microsecond: a
-- number that is halved for ever ends in an error.
create function tidemark.learn(view_name text, done tidemark.outcome, took_ms double precision) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  source_rows double precision := tidemark.source_rows(view_name);
begin
  if done.method = 'diff' then
    update tidemark.view_state s
       set full_ms = took_ms, full_rows = source_rows,
           -- What holds for views as such is what is thought of one of which nothing is known.
           learnt_ms = case when done.changes is null then s.learnt_ms else greatest(1e-3, coalesce(s.learnt_ms, took_ms) * 0.98) end,
           learnt_changes = case when done.changes is null then s.learnt_changes else coalesce(s.learnt_changes, source_rows / 4) end,
           learnt_effort = case when done.changes is null then s.learnt_effort
                                else coalesce(s.learnt_effort, tidemark.effort(source_rows / 4, source_rows)) end
     where s.view = view_name;
  else
    update tidemark.view_state s
       set learnt_ms = case when s.learnt_ms > 1e-3 then s.learnt_ms / 2 else 0 end + greatest(0, took_ms - coalesce(s.fixed_ms, 0)),
           learnt_changes = coalesce(s.learnt_changes / 2, 0) + done.changes,
           learnt_effort = coalesce(s.learnt_effort / 2, 0) + tidemark.effort(done.changes, source_rows),
           full_ms = case when s.full_ms > 1e-3 and done.changes * 4 > tidemark.full_from(source_rows, s) then s.full_ms * 0.98 else s.full_ms end
     where s.view = view_name;
  end if;
end $$;

alter table tidemark.view_state add column computed_as_of timestamptz;
comment on column tidemark.view_state.computed_as_of is 'now() of the refresh that computed what is stored';

-- Views on views. A view that others read publishes what changed in it with each refresh, numbered by the refresh. A reader
-- remembers the number that it reflects: refreshes of one view come one after the other, and a snapshot that sees one sees
-- all before it, so a number says all; the reader's own transaction is no special case (decision 0062).
create table tidemark.input_cursor (
  view text not null,
  input text not null,
  refresh bigint not null,
  primary key (view, input),
  foreign key (view, input) references tidemark.view_input (view, input) on delete cascade on update cascade
);
comment on table tidemark.input_cursor is 'the refresh of an input that the reader last reflected';

-- The number that the refresh in course will have.
create function tidemark.next_refresh(view_name text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.refreshes + 1 from tidemark.view_state s where s.view = view_name
$$;

-- The refresh of an input that a reader reflects; null when that is not known.
create function tidemark.reflected_refresh(view_name text, input_name text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select c.refresh from tidemark.input_cursor c where c.view = view_name and c.input = input_name
$$;

-- Notes what a view reflects of the views that it reads, as this transaction sees them.
create function tidemark.move_cursors(view_name text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into tidemark.input_cursor as c (view, input, refresh)
  select i.view, i.input, s.refreshes
  from tidemark.view_input i join tidemark.view_state s on s.view = i.input where i.view = view_name
  on conflict (view, input) do update set refresh = excluded.refresh where c.refresh <> excluded.refresh
$$;

-- Whether the owner of a program may read what it learns from the change logs: PostgreSQL asks when a table is read, and a
-- program that is content with its log would not notice that a right was taken away or rows are hidden by now.
create function tidemark.may_read_sources(owner oid, view_name text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return not exists (
    select from tidemark.view_source vs
    join tidemark.source s on s.name = vs.source
    join pg_class c on c.oid = s.relation
    where vs.view = view_name
      and (c.relrowsecurity and (c.relforcerowsecurity or not pg_has_role(owner, c.relowner, 'usage'))
             and not (select r.rolsuper or r.rolbypassrls from pg_roles r where r.oid = owner)
           or not has_table_privilege(owner, c.oid, 'select')
             and (not has_any_column_privilege(owner, c.oid, 'select')
                  or exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = any (vs.columns)
                               and not has_column_privilege(owner, c.oid, a.attnum, 'select')))));
end $$;

-- Gives the owners of incremental views what their programs read beside what they own, column by column, and takes back
-- what no program needs any more. Changes nothing where nothing is missing or left over. With the rights of who applies.
create function tidemark.share_with_owners() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  change record;
  role_left oid;
  leaving oid[] := '{}';
begin
  for change in
    with program (view, owner) as materialized (
      select v.name, p.proowner
      from tidemark.view v
      join tidemark.artifact made on made.kind = 'function' and made.owner_noun = 'view' and made.owner_name = v.name
      join pg_proc p on p.oid = to_regprocedure(made.name)
      where v.strategy in ('incremental', 'partition')
        and p.proowner <> (select n.nspowner from pg_namespace n where n.nspname = 'tidemark')
    ),
    shared (relation) as materialized (
      select to_regclass(l)::oid from tidemark.source s, unnest(tidemark.log_tables(s.name)) l
      union all
      select to_regclass(substr(a.name, 7))::oid from tidemark.artifact a
      where a.kind = 'part' and a.name = format('table tidemark_state.%I', tidemark.object_name('changes of ' || a.owner_name))
    ),
    wanted (relation, role, attname) as (
      select a.attrelid, p.owner, a.attname
      from program p
      join tidemark.view_source vs on vs.view = p.view
      cross join unnest(tidemark.log_tables(vs.source)) l
      join pg_attribute a on a.attrelid = to_regclass(l) and a.attnum > 0 and not a.attisdropped
      where a.attname in ('xid', 'w')
         -- the image of a column, and that of before an update, as src/model/names.ts calls them
         or a.attname = any (array(
              select n.name
              from unnest(vs.columns) c
              cross join lateral (select case when c ~ '^\.*(xid$|w$|before )' then tidemark.object_name('.' || c) else c end as logged) l
              cross join lateral (values (l.logged), (tidemark.object_name('before ' || l.logged))) n (name)))
      union
      select a.attrelid, p.owner, a.attname
      from program p
      join tidemark.view_input i on i.view = p.view
      join pg_attribute a on a.attrelid = to_regclass(format('tidemark_state.%I', tidemark.object_name('changes of ' || i.input)))
        and a.attnum > 0 and not a.attisdropped
      join pg_class c on c.oid = a.attrelid and c.relowner <> p.owner
    ),
    granted (relation, role, attname) as (
      select a.attrelid, g.grantee, a.attname
      from shared s
      join pg_attribute a on a.attrelid = s.relation and not a.attisdropped
      cross join aclexplode(a.attacl) g
      where g.privilege_type = 'SELECT'
    ),
    change (verb, relation, role, attname) as (
      select 'grant', w.* from (select * from wanted except select * from granted) w
      union all
      select 'revoke', w.* from (select * from granted except select * from wanted) w
    )
    select verb, role, format('select (%s) on %s', string_agg(quote_ident(attname), ', '), relation::regclass) as what
    from change group by verb, relation, role
    union all
    select case when w.role is null then 'revoke' else 'grant' end, coalesce(w.role, g.role),
           format('execute on function %s', coalesce(w.function, g.function)::regprocedure)
    from (select f.oid, p.owner from unnest(tidemark.program_functions()) f (oid), (select distinct owner from program) p) w (function, role)
    full join (select f.oid, a.grantee from pg_proc f, aclexplode(f.proacl) a
               where f.oid = any (tidemark.program_functions()) and a.grantee not in (0, f.proowner)) g (function, role)
      on g.function = w.function and g.role = w.role
    where w.role is null or g.role is null
    union all
    select 'grant', p.owner, 'usage on schema tidemark'
    from (select distinct owner from program) p
    where not exists (select from pg_namespace n, aclexplode(n.nspacl) a
                      where n.nspname = 'tidemark' and a.grantee = p.owner and a.privilege_type = 'USAGE')
  loop
    execute format('%s %s %s %s', change.verb, change.what, case change.verb when 'grant' then 'to' else 'from' end,
                   change.role::regrole);
    if change.verb = 'revoke' then leaving := leaving || change.role; end if;
  end loop;
  -- The schema stays open to who has other business in it.
  for role_left in
    select distinct l from unnest(leaving) l
    where not exists (select from tidemark.artifact a where a.kind = 'grant' and a.owner_name = pg_get_userbyid(l))
      and not exists (select from pg_proc f, aclexplode(f.proacl) a where f.oid = any (tidemark.program_functions()) and a.grantee = l)
  loop
    execute format('revoke usage on schema tidemark from %s', role_left::regrole);
  end loop;
end $$;

-- What maintenance programs call; whoever owns one may.
create function tidemark.program_functions() returns oid[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select array_agg(p.oid) from pg_proc p
  where p.pronamespace = 'tidemark'::regnamespace
    and p.proname in ('clock_margin', 'ended_since', 'first', 'first_step', 'gather_statistics', 'known_rows', 'next_refresh', 'only', 'prefers_full', 'reflected_by_all', 'reflected_refresh')
$$;

-- The snapshot that what a view stores reflects, if it can be kept up from the change logs alone; null when it has to be
-- computed afresh: it was never filled or cut loose, the last refresh failed to keep it up, its definition moved, capture did not
-- hold, its tables were read at different snapshots, or a view that it reads does not tell its changes.
create function tidemark.kept_since(view_name text) returns pg_snapshot
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v record;
begin
  select d.strategy, d.unknown_reason, s.* into v
  from tidemark.view d join tidemark.view_state s on s.view = d.name where d.name = view_name;
  if not found or v.strategy = 'full' or not v.populated or v.snapshot is null
     -- What refreshes alone see changed, they see.
     or v.unknown_reason is not null and v.unknown_reason not like 'seen_by_refreshes:%'
     or v.let_go_reason is not null
     or v.afresh
     or tidemark.reliance_problem(view_name) is not null
     or exists (
       select from pg_proc p
       where p.pronamespace = 'tidemark_state'::regnamespace and p.proname = tidemark.object_name('maintain ' || view_name)
         and not tidemark.may_read_sources(p.proowner, view_name))
     or exists (
       select from tidemark.view_source vs
       left join tidemark.tidemark m on m.view = vs.view and m.source = vs.source and m.via = ''
       where vs.view = view_name
         and (m.snapshot is null or m.snapshot::text <> v.snapshot::text
              -- what functions alone read has no part in the program
              or v.strategy = 'partition' and vs.columns = '{}' and tidemark.has_unreflected(vs.source, m.snapshot)
              or exists (select from tidemark.gap g where g.source = vs.source and not pg_visible_in_snapshot(g.xid, m.snapshot))))
     or exists (
       select from tidemark.view_input i
       join tidemark.view input on input.name = i.input
       join tidemark.view_state s on s.view = i.input
       left join tidemark.input_cursor c on c.view = i.view and c.input = i.input
       where i.view = view_name
         and (c.refresh is null or c.refresh > s.refreshes or not s.populated or input.strategy = 'full'))
  then
    return null;
  end if;
  return v.snapshot;
end $$;

call tidemark.close_to_public();
