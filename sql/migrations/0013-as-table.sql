-- Views whose name is an ordinary table (`as: 'table'`). The state table stays what it is, and stands beside: the refresh
-- writes it, its triggers note every row that came or went, and the same transaction does the same to the user's table.
-- As bags, the user's table is the visible columns of the state table: it was when it was made, and what is done to one is
-- done to the other (decision 0065).

-- On a state table, after every statement that writes: notes its rows in the table of the difference, which is empty
-- between transactions. Arguments: that table, and its columns, as SQL.
create function tidemark.note_difference() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'TRUNCATE' then
    execute format('insert into %s ("weight of change") values (0)', tg_argv[0]);
    return null;
  end if;
  if tg_op <> 'INSERT' then
    execute format('insert into %s (%s, "weight of change") select %2$s, -1 from old_rows', tg_argv[0], tg_argv[1]);
  end if;
  if tg_op <> 'DELETE' then
    execute format('insert into %s (%s, "weight of change") select %2$s, 1 from new_rows', tg_argv[0], tg_argv[1]);
  end if;
  return null;
end $$;

-- What would keep a refresh from writing a user's table exactly, or at all: said before it is tried.
create function tidemark.refuse_unwritable(view_name text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  t record;
  before_row text;
begin
  select c.oid, c.relhasrules, c.relforcerowsecurity and c.relrowsecurity as forced, p.proowner as owner, c.relowner
  into t
  from tidemark.view v
  join pg_class c on c.oid = to_regclass(v.relation)
  join pg_proc p on p.oid = to_regprocedure(
    format('tidemark_state.%I(boolean, boolean, boolean)', tidemark.object_name('present ' || v.name)))
  where v.name = view_name;
  if not found then
    perform tidemark.fail('TIDEMARK_TABLE_UNWRITABLE', format('The table %s, or the program that writes it, is not there', view_name),
      'Run tidemark apply: it makes it again.');
  end if;
  if t.relowner <> t.owner then
    perform tidemark.fail('TIDEMARK_TABLE_UNWRITABLE',
      format('%s belongs to %s, and its refreshes run as %s', view_name, t.relowner::regrole, t.owner::regrole),
      format('alter table %s owner to %s;', t.oid::regclass, t.owner::regrole));
  end if;
  if t.forced and not (select r.rolsuper or r.rolbypassrls from pg_roles r where r.oid = t.owner) then
    perform tidemark.fail('TIDEMARK_TABLE_UNWRITABLE',
      format('%s forces its policies on its owner, as whom refreshes run', view_name),
      format('alter table %s no force row level security; or: alter role %s bypassrls;', t.oid::regclass, t.owner::regrole));
  end if;
  if t.relhasrules and exists (select from pg_rewrite w where w.ev_class = t.oid) then
    perform tidemark.fail('TIDEMARK_TABLE_UNWRITABLE', format('%s has rules, which would write something else', view_name),
      'Drop them; a trigger FOR EACH ROW, after the event, may do what they do.');
  end if;
  select string_agg(quote_ident(g.tgname), ', ' order by g.tgname) into before_row
  from pg_trigger g
  where g.tgrelid = t.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 3 = 3;
  if before_row is not null then
    perform tidemark.fail('TIDEMARK_TABLE_UNWRITABLE',
      format('%s has triggers that could change rows before they are written: %s', view_name, before_row),
      'Make them AFTER triggers.');
  end if;
end $$;

-- True when every unique index of a table holds the whole key: rows whose key stays may then be changed in place.
create function tidemark.in_place(relation regclass, key_columns text[]) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select not exists (
    select from pg_index i
    where i.indrelid = relation and i.indisunique
      and not key_columns <@ array(select a.attname::text from pg_attribute a
                                   where a.attrelid = relation and a.attnum = any (i.indkey::smallint[])))
$$;

-- Brings the table of a view to what its refresh, in the same transaction, has stored; returns how many rows differed
-- that should not have, with those that the refresh found itself. Null: nobody has looked.
create function tidemark.present(view_name text, verify boolean, differing bigint) returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v record;
  found_differing bigint;
begin
  perform tidemark.refuse_unwritable(view_name);
  select d.relation, d.key_columns, not s.populated or s.let_go_reason is not null as whole into v
  from tidemark.view d join tidemark.view_state s on s.view = d.name where d.name = view_name;
  execute format('select tidemark_state.%I($1, $2, $3)', tidemark.object_name('present ' || view_name)) into found_differing
  using v.whole, verify, tidemark.in_place(v.relation::regclass, coalesce(v.key_columns, '{}'));
  return case when found_differing is null then differing else coalesce(differing, 0) + found_differing end;
end $$;

call tidemark.close_to_public();
