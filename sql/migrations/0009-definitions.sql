-- What a view's query means depends on more than its text. Each view has a live view of its query
-- (tidemark_state."source of <view>"), which PostgreSQL binds to objects and not to names; the maintenance program reads
-- that one, so that renames and swaps of names change nothing. What can change is what lies between it and the captured
-- tables: an ordinary view or a function replaced. Their row versions are digested when apply makes the live view. When the
-- digest moves, other tables may be read than those that are captured: the view is unknown until apply has looked again.
create table tidemark.definition (
  view text primary key,
  digest text not null,
  -- the live view as printed: another text with the same digest means that names moved
  printed text not null
);

create function tidemark.definition_digest(view_name text) returns text
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
  select md5(string_agg(part, '|' order by part)) from (
    select concat_ws(':', 'relation',
             -- a maintained view is made anew by apply; by name it is the same
             case when exists (select from tidemark.view v where to_regclass(v.relation) = c.oid) then 'maintained ' || c.relname
                  else concat_ws(':', c.oid, (select w.xmin from pg_rewrite w where w.ev_class = c.oid and c.relkind = 'v')) end) as part
    from reads r join pg_class c on r.kind = 'pg_class'::regclass and c.oid = r.oid
    union all
    select concat_ws(':', 'function', p.oid, p.xmin)
    from reads r join pg_proc p on r.kind = 'pg_proc'::regclass and p.oid = r.oid
    where p.pronamespace <> 'pg_catalog'::regnamespace) parts
$$;

create function tidemark.definition_printed(view_name text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select md5(pg_get_viewdef(c.oid)) from pg_class c
  where c.relnamespace = 'tidemark_state'::regnamespace and c.relname = tidemark.object_name('source of ' || view_name)
$$;

-- Takes the definition for right; called by apply when it has made the live view.
create function tidemark.note_definition(view_name text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare fresh_digest text := tidemark.definition_digest(view_name);
begin
  if exists (select from tidemark.definition d where d.view = view_name and d.digest <> fresh_digest) then
    update tidemark.view_state s set let_go_reason = 'not_refreshed: not since a view or function that it reads was replaced'
     where s.view = view_name;
  end if;
  insert into tidemark.definition (view, digest, printed)
  values (view_name, fresh_digest, tidemark.definition_printed(view_name))
  on conflict (view) do update set digest = excluded.digest, printed = excluded.printed;
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
        -- by its row version: one that was disabled and enabled again between two looks is found as well
        select concat_ws(':', t.oid, t.tgenabled, t.xmin) from pg_trigger t
        where t.tgrelid = to_regclass(n.object) and t.tgname = 'tidemark guard' and t.tgenabled <> 'D')
      else (
        select md5(concat_ws('|', c.oid, c.relkind, c.relpersistence,
          (select string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation), ',' order by a.attnum)
             from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
          (select string_agg(concat_ws(' ', w.rulename, w.xmin), ',' order by w.rulename) from pg_rewrite w where w.ev_class = c.oid)))
        from pg_class c where c.oid = to_regclass(n.object))
    end
  from unnest(names) u (name), lateral (select u.name, substr(u.name, 1 + strpos(u.name, ' ')) as object) n;
end $$;

-- Takes what refreshes of a view rely on for right; called by apply when it has made it.
create function tidemark.note_parts(view_name text) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
  update tidemark.view_state s
     set parts = (
       select coalesce(jsonb_object_agg(d.name, coalesce(d.digest, 'missing')), '{}')
       from tidemark.part_digests(array(
         select case a.kind when 'part' then a.name else concat_ws(' ', a.kind, a.name) end from tidemark.artifact a
         where a.owner_noun = 'view' and a.owner_name = view_name and a.kind in ('part', 'table', 'guard', 'function')
           -- columns are those of the state table
           and a.name not like 'column %')) d)
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

-- Why the query of a view no longer means what apply saw, or its refreshes cannot be relied on; null when all is well.
create function tidemark.definition_problem(view_name text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select format('definition_changed: a view or function that %s reads was replaced; run tidemark apply', view_name)
     from tidemark.definition d
     where d.view = view_name and d.digest is distinct from tidemark.definition_digest(view_name)),
    (select format('parts_changed: somebody altered or dropped what refreshes of %s rely on (%s); run tidemark apply', view_name, p[1])
     from tidemark.altered_parts(view_name) p where cardinality(p) > 0))
$$;

call tidemark.close_to_public();
