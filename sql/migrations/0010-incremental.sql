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
  select changes > 300000 or (changes > 2000 and changes > 0.5 * (
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
  select changes > 300000 or (changes > 2000 and changes > 0.5 * (
    select coalesce(s.row_count, 0) from tidemark.view_state s where s.view = view_name))
$$;

-- Lets the owners of readers read what the views that they read publish. With the rights of who applies.
create function tidemark.share_changes() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare sharing record;
begin
  for sharing in
    select distinct changes.oid::regclass as changes, reader.relowner::regrole as reader
    from tidemark.view_input i
    join tidemark.view v on v.name = i.view
    join pg_class reader on reader.oid = to_regclass(v.relation)
    join pg_class changes on changes.relnamespace = 'tidemark_state'::regnamespace
      and changes.relname = tidemark.object_name('changes of ' || i.input)
    where not has_table_privilege(reader.relowner, changes.oid, 'select')
  loop
    execute format('grant select on %s to %s', sharing.changes, sharing.reader);
  end loop;
end $$;

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
  if not found or v.strategy <> 'incremental' or not v.populated or v.snapshot is null
     or v.unknown_reason is not null or v.let_go_reason is not null
     or tidemark.definition_problem(view_name) is not null
     or exists (
       select from tidemark.view_source vs
       left join tidemark.tidemark m on m.view = vs.view and m.source = vs.source and m.via = ''
       where vs.view = view_name
         and (m.snapshot is null or m.snapshot::text <> v.snapshot::text
              or tidemark.source_problem(vs.source) is not null
              or exists (select from tidemark.gap g where g.source = vs.source and not pg_visible_in_snapshot(g.xid, m.snapshot))))
     or exists (
       select from tidemark.view_input i
       join tidemark.view input on input.name = i.input
       join tidemark.view_state s on s.view = i.input
       left join tidemark.input_cursor c on c.view = i.view and c.input = i.input
       where i.view = view_name
         and (c.refresh is null or c.refresh > s.refreshes or not s.populated or input.strategy <> 'incremental'))
  then
    return null;
  end if;
  return v.snapshot;
end $$;

call tidemark.close_to_public();
-- The owners of views run these within their maintenance programs; they tell nothing.
grant execute on function tidemark.first_step(anyelement, anyelement), tidemark.first(anyelement),
  tidemark.only(anyelement, bigint), tidemark.is_bulk(text, bigint), tidemark.is_bulk_of_view(text, bigint),
  tidemark.next_refresh(text), tidemark.reflected_refresh(text, text), tidemark.reflected_by_all(text) to public;
