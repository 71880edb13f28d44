-- What a view's query means depends on more than its text. Each view has a live view of its query
-- (tidemark_state."source of <view>"), which PostgreSQL binds to objects and not to names; the maintenance program reads
-- that one, so that renames and swaps of names change nothing. What can change is what lies between it and the captured
-- tables: an ordinary view or a function replaced. Their row versions are digested when apply makes the live view. When the
-- digest moves, other tables may be read than those that are captured: the view is unknown until apply has looked again.
create table tidemark.definition (
  view text primary key,
  digest text not null,
  -- the live view as printed: another text with the same digest means that names moved
  printed text not null,
  -- the tables and views of which whole rows are values, whose columns are part of what the query means
  row_types oid[] not null default '{}'
);

-- What the live view of a view reads, through whatever lies between it and tables: relations and functions.
create function tidemark.definition_reads(view_name text) returns table (kind oid, oid oid)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with recursive reads (kind, oid) as (
    select 'pg_class'::regclass::oid, c.oid
    from pg_class c
    where c.relnamespace = 'tidemark_state'::regnamespace and c.relname = tidemark.object_name('source of ' || view_name)
    union
    select d.refclassid, d.refobjid
    from reads r
    join pg_rewrite w on r.kind = 'pg_class'::regclass and w.ev_class = r.oid and w.rulename = '_RETURN'
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
      and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)
    -- what a maintained view stands for is its own affair
    where not exists (select from tidemark.view v where to_regclass(v.relation) = r.oid)
  )
  select r.kind, r.oid from reads r
$$;

create function tidemark.definition_digest(view_name text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with reads as materialized (select r.kind, r.oid from tidemark.definition_reads(view_name) r)
  select md5(string_agg(part, '|' order by part)) from (
    select concat_ws(':', 'relation',
             -- a maintained view is made anew by apply; by name it is the same
             case when exists (select from tidemark.view v where to_regclass(v.relation) = c.oid) then 'maintained ' || c.relname
                  -- a partition by its name is captured with its root, for as long as it belongs to it
                  else concat_ws(':', c.oid, case when c.relispartition then pg_partition_root(c.oid)::oid end,
                                 (select w.xmin from pg_rewrite w where w.ev_class = c.oid and c.relkind = 'v')) end) as part
    from reads r join pg_class c on r.kind = 'pg_class'::regclass and c.oid = r.oid
    union all
    select concat_ws(':', 'function', p.oid, p.xmin)
    from reads r join pg_proc p on r.kind = 'pg_proc'::regclass and p.oid = r.oid
    where p.pronamespace <> 'pg_catalog'::regnamespace
    union all
    select concat_ws(':', 'row', c.oid::regclass,
             (select string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod), ',' order by a.attnum)
                from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped))
    from tidemark.definition d join pg_class c on c.oid = any (d.row_types)
    where d.view = view_name) parts
$$;

create function tidemark.definition_printed(view_name text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select md5(pg_get_viewdef(c.oid)) from pg_class c
  where c.relnamespace = 'tidemark_state'::regnamespace and c.relname = tidemark.object_name('source of ' || view_name)
$$;

-- Takes the definition for right; called by apply when it has made the live view. `row_types` are the tables and views of
-- which whole rows are values: the columns of others may be added to and renamed.
create function tidemark.note_definition(view_name text, variadic row_types text[] default '{}') returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  before text := (select d.digest from tidemark.definition d where d.view = view_name);
begin
  insert into tidemark.definition (view, digest, printed, row_types)
  values (view_name, '', tidemark.definition_printed(view_name), row_types::regclass[]::oid[])
  on conflict (view) do update set printed = excluded.printed, row_types = excluded.row_types;
  update tidemark.definition d set digest = tidemark.definition_digest(view_name) where d.view = view_name;
  if before <> tidemark.definition_digest(view_name) then
    update tidemark.view_state s set let_go_reason = 'not_refreshed: not since what it reads was replaced'
     where s.view = view_name;
  end if;
end $$;

-- True when apply would bind the query anew: names moved, or something between it and the captured tables was replaced.
create function tidemark.definition_moved(view_name text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from tidemark.definition d
    where d.view = view_name
      and (d.digest, d.printed) is distinct from (tidemark.definition_digest(view_name), tidemark.definition_printed(view_name)))
$$;

-- What refreshes rely on beside the query: the program, the state table with its guard, and what the program keeps in
-- tables and reads through views of its own. As apply left them; somebody may alter them afterwards.
alter table tidemark.view_state add column parts jsonb not null default '{}';
comment on column tidemark.view_state.parts is 'digests of what refreshes rely on, by kind and name, as apply left them';

-- Digests of the present; null where there is nothing of this name.
create function tidemark.part_digests(names text[]) returns table (name text, digest text)
-- In PL/pgSQL, which plans it once.
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query select n.name,
    case split_part(n.name, ' ', 1)
      when 'function' then (
        select md5(concat_ws('|', p.prosecdef, p.proconfig, p.prosrc)) from pg_proc p where p.oid = to_regprocedure(n.object))
      when 'guard' then (
        -- by its row version: one that was disabled and enabled again between two looks is found as well; with it the
        -- triggers by which a table follows its state
        select string_agg(concat_ws(':', t.oid, t.tgenabled, t.xmin), ',' order by t.tgname) from pg_trigger t
        where t.tgrelid = to_regclass(n.object) and t.tgname like 'tidemark %')
      else (
        select md5(concat_ws('|', c.oid, c.relkind, c.relpersistence,
          (select string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation), ',' order by a.attnum)
             from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
          (select string_agg(concat_ws(' ', w.rulename, w.xmin), ',' order by w.rulename) from pg_rewrite w where w.ev_class = c.oid)))
        from pg_class c where c.oid = to_regclass(n.object))
    end
  from unnest(names) u (name), lateral (select u.name, substr(u.name, 1 + strpos(u.name, ' ')) as object) n;
end $$;

-- The objects of a view that refreshes rely on, by kind and name.
create function tidemark.part_names(view_name text) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select array(
    select case a.kind when 'part' then a.name else concat_ws(' ', a.kind, a.name) end from tidemark.artifact a
    where a.owner_noun = 'view' and a.owner_name = view_name and a.kind in ('part', 'table', 'guard', 'function')
      -- columns are those of the state table
      and a.name not like 'column %')
$$;

-- To look closely at all that a refresh relies on takes longer than a small refresh. Every object of it has rows in the
-- catalogues, and whoever alters one makes a new version of a row: as long as the versions are those that were there when
-- a close look found nothing, a close look would find nothing again.
create table tidemark.relied_on (
  view text primary key references tidemark.view (name) on delete cascade on update cascade,
  relations oid[] not null,
  functions oid[] not null,
  versions xid[] not null
);
comment on table tidemark.relied_on is 'row versions in the catalogues of what refreshes rely on, when a close look last found nothing';

-- Versions of all rows that describe these objects, in an order that is always the same.
create function tidemark.catalogue_versions(view_name text, relations oid[], functions oid[]) returns xid[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return array(select c.xmin from pg_class c where c.oid = any (relations) order by c.oid)
    || array(select a.xmin from pg_attribute a where a.attrelid = any (relations) and a.attnum > 0 order by a.attrelid, a.attnum)
    || array(select t.xmin from pg_trigger t where t.tgrelid = any (relations) order by t.tgrelid, t.tgname)
    || array(select w.xmin from pg_rewrite w where w.ev_class = any (relations) order by w.ev_class, w.rulename)
    || array(select i.xmin from pg_inherits i where i.inhparent = any (relations) order by i.inhparent, i.inhrelid)
    || array(select p.xmin from pg_proc p where p.oid = any (functions) order by p.oid)
    || array(select s.xmin from tidemark.view_source vs join tidemark.source s on s.name = vs.source
              where vs.view = view_name order by s.name)
    || array(select d.xmin from tidemark.definition d where d.view = view_name);
end $$;

-- Why what a refresh of the view relies on does not hold; null when all does: its definition, its own objects, and capture of
-- its sources. Looks closely only where something is another version than when it last did.
create function tidemark.reliance_problem(view_name text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  known tidemark.relied_on;
  problem text;
begin
  select r.* into known from tidemark.relied_on r where r.view = view_name;
  if found and known.versions = tidemark.catalogue_versions(view_name, known.relations, known.functions) then
    return null;
  end if;
  problem := coalesce(
    tidemark.definition_problem(view_name),
    (select tidemark.source_problem(vs.source) from tidemark.view_source vs
      where vs.view = view_name and tidemark.source_problem(vs.source) is not null limit 1));
  if problem is null then perform tidemark.note_reliance(view_name); end if;
  return problem;
end $$;

-- Remembers the present versions of all that a close look looks at.
create function tidemark.note_reliance(view_name text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  parts text[] := tidemark.part_names(view_name);
  known tidemark.relied_on;
begin
  known.view := view_name;
  known.relations := array(
    select o from (
      select r.oid as o from tidemark.definition_reads(view_name) r where r.kind = 'pg_class'::regclass
      union
      select to_regclass(substr(p, 1 + strpos(p, ' '))) from unnest(parts) p where p not like 'function %'
      union
      select tidemark.members(s.relation) from tidemark.view_source vs join tidemark.source s on s.name = vs.source
      where vs.view = view_name
      union
      select to_regclass(l) from tidemark.view_source vs, unnest(tidemark.log_tables(vs.source)) l where vs.view = view_name) r
    where o is not null order by o);
  known.functions := array(
    select o from (
      select r.oid as o from tidemark.definition_reads(view_name) r where r.kind = 'pg_proc'::regclass
      union
      select to_regprocedure(substr(p, 10)) from unnest(parts) p where p like 'function %'
      union
      select f.oid from tidemark.view_source vs
      join pg_proc f on f.pronamespace = 'tidemark'::regnamespace
        and f.proname in (tidemark.object_name('capture ' || vs.source), tidemark.object_name(vs.source || ' is captured; run tidemark plan'))
      where vs.view = view_name) r
    where o is not null order by o);
  known.versions := tidemark.catalogue_versions(view_name, known.relations, known.functions);
  -- A row that this very transaction wrote could be written again by it, and look the same.
  if pg_current_xact_id()::xid = any (known.versions) then return; end if;
  insert into tidemark.relied_on values (known.*)
  on conflict (view) do update
    set relations = excluded.relations, functions = excluded.functions, versions = excluded.versions;
end $$;

-- Takes what refreshes of a view rely on for right; called by apply when it has made it.
create function tidemark.note_parts(view_name text) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
  delete from tidemark.relied_on r where r.view = view_name;
  update tidemark.view_state s
     set parts = (
       select coalesce(jsonb_object_agg(d.name, coalesce(d.digest, 'missing')), '{}')
       from tidemark.part_digests(tidemark.part_names(view_name)) d)
   where s.view = view_name
$$;

-- What refreshes of a view rely on and somebody has altered or dropped since apply.
create function tidemark.altered_parts(view_name text) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select coalesce(array_agg(d.name order by d.name), '{}')
    from tidemark.view_state s, tidemark.part_digests(array(select jsonb_object_keys(s.parts))) d
    where s.view = view_name and d.digest is distinct from s.parts ->> d.name);
end $$;

-- Captured columns of what a view reads that are no longer there under their names; null when all are.
create function tidemark.missing_columns(view_name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(format('column %s of %s', c.name, s.name), ', ' order by s.name, c.name)
  from tidemark.view_source vs
  join tidemark.source s on s.name = vs.source
  cross join unnest(s.columns) as c (name)
  where vs.view = view_name
    and not exists (select from pg_attribute a
                    where a.attrelid = s.relation and a.attname = c.name and a.attnum > 0 and not a.attisdropped)
$$;

-- Why the query of a view no longer means what apply saw, or its refreshes cannot be relied on; null when all is well.
create function tidemark.definition_problem(view_name text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select coalesce(
              'definition_changed: ' || tidemark.missing_columns(view_name)
                || format(', which %s reads, was dropped or renamed; run tidemark apply', view_name),
              format('definition_changed: a view or function that %s reads was replaced, or the columns of a table that it shows whole rows of; run tidemark apply', view_name))
     from tidemark.definition d
     where d.view = view_name and d.digest is distinct from tidemark.definition_digest(view_name)),
    (select format('parts_changed: somebody altered or dropped what refreshes of %s rely on (%s); run tidemark apply', view_name, p[1])
     from tidemark.altered_parts(view_name) p where cardinality(p) > 0))
$$;

call tidemark.close_to_public();
