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

-- True when so much of a source has changed that a look at each change costs more than a look at the whole.
create function tidemark.is_bulk(source_name text, changes bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select changes > 300000 or (changes > 2000 and changes > 0.15 * (
    select coalesce(sum(greatest(c.reltuples, 0)), 0)
    from tidemark.source s, lateral tidemark.members(s.relation) m join pg_class c on c.oid = m
    where s.name = source_name))
$$;

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

-- The refresh of a view that all its readers reflect: changes up to it are not needed again. A reader without a cursor
-- computes everything afresh and needs none.
create function tidemark.reflected_by_all(view_name text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(min(c.refresh), (select s.refreshes from tidemark.view_state s where s.view = view_name))
  from tidemark.input_cursor c where c.input = view_name
$$;

-- Notes what a view reflects of the views that it reads, as this transaction sees them.
create function tidemark.move_cursors(view_name text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into tidemark.input_cursor as c (view, input, refresh)
  select i.view, i.input, s.refreshes
  from tidemark.view_input i join tidemark.view_state s on s.view = i.input where i.view = view_name
  on conflict (view, input) do update set refresh = excluded.refresh where c.refresh <> excluded.refresh
$$;

-- True when so much of a view has changed that a look at each change costs more than a look at the whole.
create function tidemark.is_bulk_of_view(view_name text, changes bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select changes > 300000 or (changes > 2000 and changes > 0.15 * (
    select coalesce(s.row_count, 0) from tidemark.view_state s where s.view = view_name))
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
         or a.attname = any (array(select case when c ~ '^\.*(xid|w)$' then '.' || c else c end from unnest(vs.columns) c))
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
    and p.proname in ('clock_margin', 'first', 'first_step', 'is_bulk', 'is_bulk_of_view', 'next_refresh', 'only', 'reflected_by_all', 'reflected_refresh')
$$;

-- The snapshot that what a view stores reflects, if it can be kept up from the change logs alone; null when it has to be
-- computed afresh: it was never filled or cut loose, its definition moved, capture did not hold, its tables were read at
-- different snapshots, or a view that it reads does not tell its changes.
create function tidemark.kept_since(view_name text) returns pg_snapshot
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v record;
begin
  select d.strategy, d.unknown_reason, s.* into v
  from tidemark.view d join tidemark.view_state s on s.view = d.name where d.name = view_name;
  if not found or v.strategy = 'full' or not v.populated or v.snapshot is null
     or v.unknown_reason is not null or v.let_go_reason is not null
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
