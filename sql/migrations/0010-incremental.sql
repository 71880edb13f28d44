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

-- The snapshot that what a view stores reflects, if it can be kept up from the change logs alone; null when it has to be
-- computed afresh: it was never filled or cut loose, its definition moved, capture did not hold, or its tables were read at
-- different snapshots.
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
  then
    return null;
  end if;
  return v.snapshot;
end $$;

call tidemark.close_to_public();
-- The owners of views run these within their maintenance programs; they tell nothing.
grant execute on function tidemark.first_step(anyelement, anyelement), tidemark.first(anyelement),
  tidemark.only(anyelement, bigint), tidemark.is_bulk(text, bigint) to public;
