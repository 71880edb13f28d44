/** The rules of a view and of the ordinary views that it reads, at any depth; parameters as those of {@link relationsQuery}. */
const ruleTrees = `rule (view, tree, id) as (
  select w.ev_class, w.ev_action::text, w.oid
  from pg_rewrite w
  where w.ev_class = $1 and w.ev_type = '1'
  union
  select w.ev_class, w.ev_action::text, w.oid
  from rule
  cross join lateral regexp_matches(rule.tree, ':relid (\\d+)', 'g') as found (relid)
  join pg_class c on c.oid = found.relid[1]::oid and c.relkind = 'v'
  join pg_namespace n on n.oid = c.relnamespace
  join pg_rewrite w on w.ev_class = c.oid and w.ev_type = '1'
  where n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname || '.' || c.relname <> all ($2::text[])
    and c.oid <> rule.view
)`

/**
 * Every relation that the query of a view reads, through ordinary views too, with the columns used.
 * `$1`: oid of the view whose rule is read; `$2`: names of declared views, where the descent ends.
 *
 * Relations are taken from the parsed rule, for pg_depend leaves out the system's own; columns from
 * pg_depend. A whole row, which pg_depend does not tell from no column, is seen in the rule as
 * attribute 0 and makes it all columns. The text of a rule escapes blanks inside names and texts, so
 * that a word of the user's never looks like a field.
 */
export const relationsQuery: string = `
with recursive ${ruleTrees},
reached as (
  select distinct rule.id as rule, rule.tree, found.relid[1]::oid as oid
  from rule
  cross join lateral regexp_matches(rule.tree, ':relid (\\d+)', 'g') as found (relid)
  where found.relid[1]::oid <> rule.view
),
used as (
  select reached.oid, a.attname
  from reached
  join pg_attribute a on a.attrelid = reached.oid and a.attnum > 0 and not a.attisdropped
  where reached.tree ~ ':varattno 0 '
     or exists (
       select
       from pg_depend d
       left join pg_attribute read on read.attrelid = d.refobjid and read.attnum = d.refobjsubid
       where d.classid = 'pg_rewrite'::regclass and d.objid = reached.rule
         and d.refclassid = 'pg_class'::regclass and d.refobjid = reached.oid
         -- A column computed on reading (PostgreSQL 18) may come from any other.
         and (d.refobjsubid = a.attnum or read.attgenerated = 'v')
     )
)
select
  case when c.relpersistence = 't' then 'pg_temp' else n.nspname end || '.' || c.relname as name,
  c.relkind::text as kind,
  c.relpersistence = 't' as temporary,
  n.nspname in ('pg_catalog', 'information_schema', 'tidemark', 'tidemark_state') as system,
  n.nspname || '.' || c.relname = any ($2::text[]) as declared,
  exists (
    select from reached
    where reached.oid in (select s.oid from reached s where coalesce(pg_partition_root(s.oid), s.oid) = c.oid)
      -- ctid, xmin and their like change without any column changing; tableoid (-6) does not.
      and reached.tree ~ ':varattno -[1-5] '
  ) as hidden_columns,
  coalesce(array(
    select a.attname::text
    from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      and a.attname in (
        select used.attname from used where coalesce(pg_partition_root(used.oid), used.oid) = c.oid
      )
    order by a.attnum
  ), '{}') as columns
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid in (select coalesce(pg_partition_root(reached.oid), reached.oid) from reached)
order by name
`

/** The ordinary views that a query reads, with what the server prints of them. */
export const nestedViewsQuery: string = `
with recursive ${ruleTrees}
select n.nspname || '.' || c.relname as name,
  regexp_replace(pg_get_viewdef(c.oid), ';\\s*$', '') as sql,
  array(select a.attname::text from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns
from (select distinct view from rule where view <> $1) as r
join pg_class c on c.oid = r.view
join pg_namespace n on n.oid = c.relnamespace
order by name
`

/** Aggregates and functions that return sets, by the names that the server prints. */
export const callsQuery: string = `
with recursive ${ruleTrees},
called as (
  select distinct found.oid[1]::oid as oid
  from rule
  cross join lateral regexp_matches(rule.tree, ':(?:funcid|aggfnoid|winfnoid) (\\d+)', 'g') as found (oid)
)
select case when n.nspname = 'pg_catalog' then p.proname else n.nspname || '.' || p.proname end as name,
  p.prokind = 'a' as aggregate, p.proretset as returns_set
from called
join pg_proc p on p.oid = called.oid
join pg_namespace n on n.oid = p.pronamespace
where p.prokind = 'a' or p.proretset
order by name
`

/** Columns of tables that are unique and not null; `$1`: names of tables. */
export const uniquesQuery = `
select n.nspname || '.' || c.relname as relation,
  array(select a.attname::text from unnest(i.indkey) with ordinality as k (attnum, place)
         join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
        where k.place <= i.indnkeyatts order by k.place) as columns
from pg_index i
join pg_class c on c.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
where i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
  and n.nspname || '.' || c.relname = any ($1)
  -- The rows of its children are not in the index of a parent that is inherited from.
  and not exists (select from pg_inherits h where h.inhparent = c.oid and c.relkind = 'r')
  and not exists (
    select from unnest(i.indkey) with ordinality as k (attnum, place)
    join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where k.place <= i.indnkeyatts and not a.attnotnull)
order by relation, i.indexrelid
`

/** Functions of pg_catalog that ask the clock. */
const timeFunctions = `'now()', 'transaction_timestamp()', 'statement_timestamp()', 'clock_timestamp()',
    'timeofday()', 'age(timestamp without time zone)', 'age(timestamp with time zone)'`

/** Stable ones that read what no trigger sees. */
const readsAnything = `'table_to_xml', 'query_to_xml', 'cursor_to_xml', 'schema_to_xml', 'database_to_xml',
    'table_to_xml_and_xmlschema', 'query_to_xml_and_xmlschema', 'schema_to_xml_and_xmlschema',
    'database_to_xml_and_xmlschema', 'txid_current', 'txid_current_if_assigned',
    'txid_current_snapshot', 'pg_current_xact_id', 'pg_current_xact_id_if_assigned',
    'pg_current_snapshot', 'lo_get'`

/** Extensions whose stable functions read dictionaries and settings, not tables. */
const readsNoTables = `'unaccent', 'pg_trgm', 'citext', 'fuzzystrmatch', 'hstore', 'ltree', 'intarray', 'pgcrypto'`

/**
 * What a query calls, through ordinary views too, read from the parsed rules: functions, the functions
 * of operators, the parts of aggregates. Parameters as those of {@link relationsQuery}.
 */
export const functionsQuery: string = `
with recursive ${ruleTrees},
named as (
  select found.oid[1]::oid as oid
  from rule
  cross join lateral
    regexp_matches(rule.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g') as found (oid)
  union
  select o.oprcode::oid
  from rule
  cross join lateral regexp_matches(rule.tree, ':opno (\\d+)', 'g') as found (oid)
  join pg_operator o on o.oid = found.oid[1]::oid
),
called as (
  select oid from named
  union
  select part
  from named
  join pg_aggregate g on g.aggfnoid = named.oid
  cross join lateral unnest(array[
    g.aggtransfn, g.aggfinalfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn
  ]::oid[]) as part
),
fact as (
  select
    p.oid, p.provolatile, p.oid::regprocedure::text as signature, n.nspname = 'pg_catalog' as builtin,
    p.proname,
    exists (
      select
      from pg_depend d
      join pg_extension e on e.oid = d.refobjid
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid
        and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
        and e.extname in (${readsNoTables})
    ) as harmless
  from called
  join pg_proc p on p.oid = called.oid
  join pg_namespace n on n.oid = p.pronamespace
)
select
  array(
    select distinct signature from fact
    where (not builtin and provolatile <> 'i' and not harmless)
       or (builtin and proname in (${readsAnything}))
    order by signature
  ) as opaque,
  exists (
    select from fact where builtin and signature in (
    ${timeFunctions})
  )
  -- current_date and its like; 9 and above are current_user and its like.
  or exists (select from rule where tree ~ '\\{SQLVALUEFUNCTION :op [0-8] ') as time_dependent,
  exists (select from fact where provolatile = 'v')
  or exists (select from rule where tree ~ '\\{TABLESAMPLECLAUSE ') as volatile,
  coalesce((
    -- The outermost query comes first in the text.
    select substring(tree from ':hasTargetSRFs (\\w+)') = 'true' from rule where view = $1 limit 1
  ), false) as returns_sets
`
