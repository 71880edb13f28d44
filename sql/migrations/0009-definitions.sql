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

-- Why the query of a view no longer means what apply saw; null when it does.
create function tidemark.definition_problem(view_name text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select format('definition_changed: a view or function that %s reads was replaced; run tidemark apply', view_name)
  from tidemark.definition d
  where d.view = view_name and d.digest is distinct from tidemark.definition_digest(view_name)
$$;

call tidemark.close_to_public();
