-- What a view's query means depends on more than its text. Each view has a live view of its query
-- (tidemark_state."source of <view>"), which PostgreSQL binds to objects and not to names; the maintenance program reads
-- that one, so that renames and swaps of names change nothing. What can change is what lies between it and the captured
-- tables: an ordinary view or a function replaced; and what the program takes for granted of columns and types, or names in its
-- text. All that is digested when apply makes the live view. When the digest moves, other tables may be read than those that are
-- captured, or the program counts wrong: the view is unknown until apply has looked again.
create table tidemark.definition (
  view text primary key,
  digest text not null,
  -- the live view as printed: another text with the same digest means that names moved
  printed text not null,
  -- the tables and views of which whole rows are values, whose columns are part of what the query means
  row_types oid[] not null default '{}',
  -- columns that the query reads and that were NOT NULL, which its program may rely on: `<oid of the table> <number>`
  not_null text[] not null default '{}',
  -- keys of the tables that it reads, which its program may rely on where a subquery gives one value: `<oid of the table> <numbers>`
  unique_keys text[] not null default '{}',
  -- values of the enums that it reads: one may be given another name, of which no row of any table tells
  labels oid[] not null default '{}'
);

-- What the live view of a view reads, through whatever lies between it and tables: relations, with the numbers of the columns,
-- functions, operators, types, collations and text search configurations; the functions behind aggregates, operators and functions with a body that PostgreSQL has parsed.
-- What a function calls whose body is a text nobody can know.
-- This and the next three that read it are in PL/pgSQL: before PostgreSQL 18 a function in SQL is planned anew for each view that is
-- looked at, which takes five times as long as to run it.
create function tidemark.definition_reads(view_name text) returns table (kind oid, oid oid, number int)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
    with recursive reads (kind, oid, number) as (
      select 'pg_class'::regclass::oid, c.oid, 0
      from pg_class c
      where c.relnamespace = 'tidemark_state'::regnamespace and c.relname = tidemark.object_name('source of ' || view_name)
      union
      select d.refclassid, d.refobjid, d.refobjsubid
      from reads r
      left join pg_rewrite w on r.kind = 'pg_class'::regclass and w.ev_class = r.oid and w.rulename = '_RETURN'
      join pg_depend d
        on (d.classid, d.objid) = (case when r.kind = 'pg_class'::regclass then 'pg_rewrite'::regclass::oid else r.kind end,
                                   case when r.kind = 'pg_class'::regclass then w.oid else r.oid end)
        and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass,
                             'pg_collation'::regclass, 'pg_ts_config'::regclass, 'pg_ts_dict'::regclass)
      -- what a maintained view stands for is its own affair, and so is what a type is made of
      where r.kind <> 'pg_type'::regclass
        and not exists (select from tidemark.view v where to_regclass(v.relation) = r.oid and r.kind = 'pg_class'::regclass)
    )
    select r.kind, r.oid, r.number from reads r;
end $$;

-- Columns that a view reads, by number, and whether they are NOT NULL, in the children of a table as well.
create function tidemark.definition_columns(view_name text) returns table (relation oid, number int, not_null boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
    select r.oid, r.number,
      a.attnotnull and not exists (
        select from tidemark.members(r.oid) m
        join pg_attribute b on b.attrelid = m and b.attname = a.attname and not b.attisdropped
        where not b.attnotnull)
    from (
      select d.oid, d.number from tidemark.definition_reads(view_name) d where d.kind = 'pg_class'::regclass and d.number > 0
      union
      -- a whole row is a value of all of them
      select a.attrelid, a.attnum
      from tidemark.definition d join pg_attribute a on a.attrelid = any (d.row_types) and a.attnum > 0 and not a.attisdropped
      where d.view = view_name) r
    join pg_attribute a on a.attrelid = r.oid and a.attnum = r.number
    join pg_class c on c.oid = r.oid and c.relkind in ('r', 'p');
end $$;

-- Columns that a view reads and that may be NULL since, which its program may not know of.
create function tidemark.lost_not_null(view_name text) returns table (name text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select format('column %s of %s', a.attname, n.nspname || '.' || c.relname)
  from tidemark.definition d
  cross join lateral tidemark.definition_columns(view_name) k
  join pg_class c on c.oid = k.relation
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = k.relation and a.attnum = k.number
  where d.view = view_name and not k.not_null and concat_ws(' ', k.relation, k.number) = any (d.not_null)
$$;

-- The parsed rules of views among some relations. Found by index, one relation after the other: those of all views of the database,
-- which a join may read first, are long texts kept beside the table.
create function tidemark.definition_rules(relations oid[]) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select w.rule
  from (select distinct unnest(relations) as relation) r
  cross join lateral (select w.ev_action::text as rule from pg_rewrite w where w.ev_class = r.relation offset 0) w
$$;

-- What words are made of and text is ordered by, of what a view reads: collations, its columns' included, text search configurations
-- and dictionaries. Of those that no rule can depend on, for PostgreSQL pins them, `simple` is one that can be altered.
create function tidemark.definition_words(view_name text) returns table (kind oid, oid oid)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
    with reads as materialized (select r.kind, r.oid, r.number from tidemark.definition_reads(view_name) r),
    generated as materialized (
      select a.attrelid, d.oid, d.adbin::text as expression
      from reads r
      join pg_attribute a on r.kind = 'pg_class'::regclass and a.attrelid = r.oid and a.attnum = r.number and a.attgenerated <> ''
      join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum),
    named as (
      select r.kind, r.oid from reads r
      union
      select d.refclassid, d.refobjid from generated g join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = g.oid
      union
      select 'pg_collation'::regclass, a.attcollation
      from reads r join pg_attribute a on r.kind = 'pg_class'::regclass and a.attrelid = r.oid and a.attnum = r.number
      where a.attcollation <> 0
      union
      select 'pg_ts_config'::regclass, 'pg_catalog.simple'::regconfig
      where exists (
        select from tidemark.definition_rules(array(select r.oid from reads r where r.kind = 'pg_class'::regclass)) u (rule)
        where strpos(u.rule, ':consttype 3734 ') > 0
        union all
        select from generated g where strpos(g.expression, ':consttype 3734 ') > 0)
    ),
    words as (
      select n.kind, n.oid from named n
      union
      select 'pg_ts_dict'::regclass, m.mapdict
      from named n join pg_ts_config_map m on n.kind = 'pg_ts_config'::regclass and m.mapcfg = n.oid
    )
    select w.kind, w.oid from words w
    where w.kind in ('pg_collation'::regclass, 'pg_ts_config'::regclass, 'pg_ts_dict'::regclass);
end $$;

-- Columns by which rows of a table that a view reads are told apart, where all of them are read: a subquery that gives one value may
-- be known by them to find one row at most. Where the view has no such subquery, nothing is relied on.
create function tidemark.definition_keys(view_name text) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (
    with reads as materialized (select r.kind, r.oid, r.number from tidemark.definition_reads(view_name) r)
    select case when exists (
        select from tidemark.definition_rules(array(select r.oid from reads r where r.kind = 'pg_class'::regclass)) u (rule)
        where strpos(u.rule, ':subLinkType 4 ') > 0)
      then array(
        select distinct concat_ws(' ', i.indrelid, k.numbers)
        from pg_index i
        cross join lateral (
          select string_agg(a.attnum::text, ' ' order by a.attnum) as numbers,
            bool_and(a.attnotnull and exists (select from reads r where (r.oid, r.number) = (i.indrelid, a.attnum))) as relied_on
          from unnest(i.indkey::int2[]) with ordinality as u (attnum, place)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.attnum
          where u.place <= i.indnkeyatts) k
        where i.indrelid in (select r.oid from reads r where r.kind = 'pg_class'::regclass)
          and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
          and k.relied_on
        order by 1)
      else '{}' end);
end $$;

-- Tables that a view reads, rows of which were told apart by a key that is no more.
create function tidemark.lost_keys(view_name text) returns table (name text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select distinct n.nspname || '.' || c.relname
  from tidemark.definition d
  cross join lateral (select unnest(d.unique_keys) except select unnest(tidemark.definition_keys(view_name))) k (lost)
  join pg_class c on c.oid = split_part(k.lost, ' ', 1)::oid
  join pg_namespace n on n.oid = c.relnamespace
  where d.view = view_name
$$;

-- The enums among the types of what a view reads, and among what these are made of.
create function tidemark.definition_enums(view_name text) returns table (oid oid)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with recursive reads as materialized (select r.kind, r.oid, r.number from tidemark.definition_reads(view_name) r),
  made_of (oid) as (
    select r.oid from reads r where r.kind = 'pg_type'::regclass
    union
    select a.atttypid from reads r join pg_attribute a on r.kind = 'pg_class'::regclass and a.attrelid = r.oid and a.attnum = r.number
    where r.number > 0
    union
    select part
    from made_of m
    join pg_type t on t.oid = m.oid
    cross join lateral (
      select part from unnest(array[t.typbasetype, t.typelem, (select g.rngsubtype from pg_range g where g.rngtypid = t.oid)]) part
      union all
      select a.atttypid from pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ) parts
    where part <> 0
  )
  select t.oid from made_of m join pg_type t on t.oid = m.oid where t.typtype = 'e'
$$;

-- Their values. One that is added changes nothing for any row that is there.
create function tidemark.definition_labels(view_name text) returns oid[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select array(select e.oid from tidemark.definition_enums(view_name) t join pg_enum e on e.enumtypid = t.oid order by 1)
$$;

-- `labels`: the values of enums that are told apart; those that are noted unless given.
create function tidemark.definition_digest(view_name text, labels oid[] default null) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with reads as materialized (select r.kind, r.oid, r.number from tidemark.definition_reads(view_name) r),
  words as materialized (select w.kind, w.oid from tidemark.definition_words(view_name) w),
  noted as materialized (
    select d.row_types, coalesce(definition_digest.labels, d.labels) as labels from tidemark.definition d where d.view = view_name)
  select md5(string_agg(part, '|' order by part)) from (
    select distinct concat_ws(':', 'relation',
             -- a maintained view is made anew by apply; by name it is the same
             case when exists (select from tidemark.view v where to_regclass(v.relation) = c.oid) then 'maintained ' || c.relname
                  -- a partition by its name is captured with its root, for as long as it belongs to it
                  else concat_ws(':', c.oid, case when c.relispartition then pg_partition_root(c.oid)::oid end,
                                 (select w.xmin from pg_rewrite w where w.ev_class = c.oid and c.relkind = 'v')) end) as part
    from reads r join pg_class c on r.kind = 'pg_class'::regclass and c.oid = r.oid
    union all
    -- programs name functions and types, and nothing renames them there
    select concat_ws(':', 'function', p.oid, p.xmin, n.nspname)
    from reads r
    join pg_proc p on r.kind = 'pg_proc'::regclass and p.oid = r.oid
    join pg_namespace n on n.oid = p.pronamespace
    where n.nspname <> 'pg_catalog'
    union all
    select concat_ws(':', 'type', t.oid, n.nspname, t.typname)
    from reads r join pg_type t on r.kind = 'pg_type'::regclass and t.oid = r.oid join pg_namespace n on n.oid = t.typnamespace
    -- the rows of a table are named by the table, which may be renamed
    where not exists (select from pg_class c where c.relkind <> 'c' and c.reltype <> 0 and c.reltype in (t.oid, t.typelem))
    union all
    select concat_ws(':', 'operator', o.oid, n.nspname, o.oprname)
    from reads r join pg_operator o on r.kind = 'pg_operator'::regclass and o.oid = r.oid join pg_namespace n on n.oid = o.oprnamespace
    union all
    -- what a column is generated by may be replaced, and every row with it, without a trigger
    select concat_ws(':', 'generated', d.adrelid, d.adnum, md5(d.adbin::text))
    from reads r
    join pg_attribute a on r.kind = 'pg_class'::regclass and a.attrelid = r.oid and a.attnum = r.number and a.attgenerated <> ''
    join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    select concat_ws(':', 'nullable', l.name) from tidemark.lost_not_null(view_name) l
    union all
    select concat_ws(':', 'not unique', l.name) from tidemark.lost_keys(view_name) l
    union all
    -- programs name these as well
    select concat_ws(':', 'collation', c.oid, n.nspname, c.collname, c.collversion)
    from words w join pg_collation c on w.kind = 'pg_collation'::regclass and c.oid = w.oid
    join pg_namespace n on n.oid = c.collnamespace
    union all
    -- the version that the database's own collation has since PostgreSQL 15
    select concat_ws(':', 'collation of the database', to_jsonb(d) ->> 'datcollversion')
    from pg_database d
    where d.datname = current_database() and exists (select from words w where w.kind = 'pg_collation'::regclass and w.oid = 100)
    union all
    select concat_ws(':', 'configuration', c.oid, n.nspname, c.cfgname, c.cfgparser,
             (select string_agg(concat_ws(' ', m.maptokentype, m.mapseqno, m.mapdict), ',' order by m.maptokentype, m.mapseqno)
                from pg_ts_config_map m where m.mapcfg = c.oid))
    from words w join pg_ts_config c on w.kind = 'pg_ts_config'::regclass and c.oid = w.oid
    join pg_namespace n on n.oid = c.cfgnamespace
    union all
    select concat_ws(':', 'dictionary', d.oid, n.nspname, d.dictname, d.dicttemplate, d.dictinitoption)
    from words w join pg_ts_dict d on w.kind = 'pg_ts_dict'::regclass and d.oid = w.oid
    join pg_namespace n on n.oid = d.dictnamespace
    union all
    select concat_ws(':', 'label', e.oid, e.enumlabel) from noted join pg_enum e on e.oid = any (noted.labels)
    union all
    select concat_ws(':', 'row', c.oid::regclass,
             (select string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod), ',' order by a.attnum)
                from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped))
    from noted join pg_class c on c.oid = any (noted.row_types)) parts
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
  update tidemark.definition d
     set labels = tidemark.definition_labels(view_name),
         unique_keys = tidemark.definition_keys(view_name),
         not_null = array(
           select concat_ws(' ', k.relation, k.number) from tidemark.definition_columns(view_name) k where k.not_null order by 1)
   where d.view = view_name;
  update tidemark.definition d set digest = tidemark.definition_digest(view_name) where d.view = view_name;
  if before <> tidemark.definition_digest(view_name) then
    update tidemark.view_state s set let_go_reason = 'not_refreshed: not since what it reads was replaced'
     where s.view = view_name;
  end if;
end $$;

-- What refreshes rely on beside the query: the program, the state table with its guard, and what the program keeps in
-- tables and reads through views of its own. As apply left them; somebody may alter them afterwards.
alter table tidemark.view_state add column parts jsonb not null default '{}';
comment on column tidemark.view_state.parts is 'digests of what refreshes rely on, by kind and name, as apply left them';

-- What has the name of a view: by its number it is found under another one.
alter table tidemark.view add column relation_oid oid;
comment on column tidemark.view.relation_oid is 'the relation that users read, as apply left it; it may be called otherwise by now';

-- What a view is called now; null where it is called as it is declared, or is not there.
create function tidemark.present_name(view_name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select c.oid::regclass::text
  from tidemark.view v join pg_class c on c.oid = v.relation_oid
  where v.name = view_name and to_regclass(v.relation) is null
$$;

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
        where t.tgrelid = to_regclass(n.object)
          -- of others only where they have no business: a table that a view is may have triggers of its readers
          and (t.tgname like 'tidemark %'
               or exists (select from pg_class c where c.oid = t.tgrelid and c.relnamespace = 'tidemark_state'::regnamespace)))
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
  types oid[] not null,
  -- of collations, and of text search configurations and dictionaries
  words oid[] not null,
  versions xid[] not null
);
comment on table tidemark.relied_on is 'row versions in the catalogues of what refreshes rely on, when a close look last found nothing';

-- Versions of all rows that describe these objects, in an order that is always the same.
create function tidemark.catalogue_versions(view_name text, relations oid[], functions oid[], types oid[], words oid[]) returns xid[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return array(select c.xmin from pg_class c where c.oid = any (relations) order by c.oid)
    || array(select a.xmin from pg_attribute a where a.attrelid = any (relations) and a.attnum > 0 order by a.attrelid, a.attnum)
    || array(select t.xmin from pg_trigger t where t.tgrelid = any (relations) order by t.tgrelid, t.tgname)
    || array(select w.xmin from pg_rewrite w where w.ev_class = any (relations) order by w.ev_class, w.rulename)
    || array(select i.xmin from pg_inherits i where i.inhparent = any (relations) order by i.inhparent, i.inhrelid)
    || array(select i.xmin from pg_index i where i.indrelid = any (relations) order by i.indexrelid)
    || array(select r.xmin from pg_subscription_rel r where r.srrelid = any (relations) order by r.srrelid, r.srsubid)
    || array(select p.xmin from pg_proc p where p.oid = any (functions) order by p.oid)
    || array(select d.xmin from pg_attrdef d where d.adrelid = any (relations) order by d.adrelid, d.adnum)
    || array(select t.xmin from pg_type t where t.oid = any (types) order by t.oid)
    || array(select e.xmin from pg_enum e where e.enumtypid = any (types) order by e.oid)
    || array(select n.xmin from pg_namespace n
              where n.oid in (select p.pronamespace from pg_proc p where p.oid = any (functions)
                              union all select t.typnamespace from pg_type t where t.oid = any (types)) order by n.oid)
    || case when words = '{}' then '{}' else
         array(select c.xmin from pg_collation c where c.oid = any (words) order by c.oid)
         || array(select c.xmin from pg_ts_config c where c.oid = any (words) order by c.oid)
         || array(select m.xmin from pg_ts_config_map m where m.mapcfg = any (words) order by m.mapcfg, m.maptokentype, m.mapseqno)
         || array(select d.xmin from pg_ts_dict d where d.oid = any (words) order by d.oid)
         || array(select d.xmin from pg_database d where d.datname = current_database()) end
    || array(select s.xmin from tidemark.view_source vs join tidemark.source s on s.name = vs.source
              where vs.view = view_name order by s.name)
    || array(select d.xmin from tidemark.definition d where d.view = view_name);
end $$;

-- Whether all that a refresh of the view relies on is the version that a close look found nothing wrong with.
create function tidemark.is_as_looked_at(view_name text) returns boolean
-- In PL/pgSQL, which plans it once.
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  known tidemark.relied_on;
begin
  select r.* into known from tidemark.relied_on r where r.view = view_name;
  return found and known.versions = tidemark.catalogue_versions(view_name, known.relations, known.functions, known.types, known.words);
end $$;

-- Why what a refresh of the view relies on does not hold; null when all does: its definition, its own objects, and capture of
-- its sources. Looks closely only where something is another version than when it last did.
create function tidemark.reliance_problem(view_name text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  problem text;
begin
  if tidemark.is_as_looked_at(view_name) then return null; end if;
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
        and f.proname = any (tidemark.capture_functions(vs.source) || array[tidemark.object_name('image of ' || vs.source),
              tidemark.object_name(vs.source || ' is captured; run tidemark plan')]::name[])
      where vs.view = view_name) r
    where o is not null order by o);
  known.types := array(
    select r.oid from tidemark.definition_reads(view_name) r where r.kind = 'pg_type'::regclass
    union
    select t.oid from tidemark.definition_enums(view_name) t
    order by 1);
  known.words := array(select distinct w.oid from tidemark.definition_words(view_name) w order by 1);
  -- Values that were added since: from now on one of them may be given another name. By one snapshot, or what is altered
  -- meanwhile would be taken for right.
  update tidemark.definition d set labels = n.labels, digest = tidemark.definition_digest(view_name, n.labels)
  from (select tidemark.definition_labels(view_name) as labels) n
   where d.view = view_name and d.labels <> n.labels and d.digest = tidemark.definition_digest(view_name);
  known.versions := tidemark.catalogue_versions(view_name, known.relations, known.functions, known.types, known.words);
  -- A row that this very transaction wrote could be written again by it, and look the same.
  if pg_current_xact_id()::xid = any (known.versions) then return; end if;
  insert into tidemark.relied_on values (known.*)
  on conflict (view) do update
    set relations = excluded.relations, functions = excluded.functions, types = excluded.types, words = excluded.words,
        versions = excluded.versions;
end $$;

-- Takes what refreshes of a view rely on for right; called by apply when it has made it.
create function tidemark.note_parts(view_name text) returns void
language sql volatile set search_path = pg_catalog, pg_temp as $$
  delete from tidemark.relied_on r where r.view = view_name;
  update tidemark.view v set relation_oid = to_regclass(v.relation) where v.name = view_name;
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
              'definition_changed: ' || (select string_agg(l.name, ', ' order by l.name) from tidemark.lost_not_null(view_name) l)
                || format(', which %s reads, may be NULL now; run tidemark apply', view_name),
              'definition_changed: a unique index of ' || (select string_agg(l.name, ', ' order by l.name) from tidemark.lost_keys(view_name) l)
                || format(', by which %s finds one row, was dropped; run tidemark apply', view_name),
              'definition_changed: ' || tidemark.missing_columns(view_name)
                || format(', which %s reads, was dropped or renamed; run tidemark apply', view_name),
              format('definition_changed: a view, function, type, generated column, collation or text search configuration that %s reads was replaced, altered or renamed, or the columns of a table that it shows whole rows of; run tidemark apply', view_name))
     from tidemark.definition d
     where d.view = view_name and d.digest is distinct from tidemark.definition_digest(view_name)),
    (select format('parts_changed: somebody altered or dropped what refreshes of %s rely on (%s); run tidemark apply', view_name, p[1])
     from tidemark.altered_parts(view_name) p where cardinality(p) > 0))
$$;

call tidemark.close_to_public();
