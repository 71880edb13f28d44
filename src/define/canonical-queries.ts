/** Functions of pg_catalog that ask the clock. */
export const timeFunctions: string = `'now()', 'transaction_timestamp()', 'statement_timestamp()', 'clock_timestamp()',
    'timeofday()', 'age(timestamp without time zone)', 'age(timestamp with time zone)'`

/** Stable ones that read what no trigger sees. */
export const readsAnything: string = `'table_to_xml', 'query_to_xml', 'cursor_to_xml', 'schema_to_xml', 'database_to_xml',
    'table_to_xml_and_xmlschema', 'query_to_xml_and_xmlschema', 'schema_to_xml_and_xmlschema',
    'database_to_xml_and_xmlschema', 'txid_current', 'txid_current_if_assigned',
    'txid_current_snapshot', 'pg_current_xact_id', 'pg_current_xact_id_if_assigned',
    'pg_current_snapshot', 'lo_get'`

/** Extensions whose stable functions read dictionaries and settings, not tables. */
export const readsNoTables: string = `'unaccent', 'pg_trgm', 'citext', 'fuzzystrmatch', 'hstore', 'ltree', 'intarray', 'pgcrypto'`

/** A list of the columns of a relation, in order, with their types; null if there is none. */
const typedColumns = (relation: 'c' | 'v'): string => `select json_agg(json_build_object(
        'name', a.attname,
        'type', format_type(a.atttypid, a.atttypmod),
        'collation', (select format('%I.%I', k_in.nspname, k.collname)
                      from pg_collation k join pg_namespace k_in on k_in.oid = k.collnamespace
                      where k.oid = a.attcollation and k.oid <> t.typcollation)) order by a.attnum)
      from pg_attribute a join pg_type t on t.oid = a.atttypid
      where a.attrelid = ${relation}.oid and a.attnum > 0 and not a.attisdropped`

/** The names of the columns of a relation `c`, in order. */
const columnNames = `select a.attname::text from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum`

/**
 * Everything that is read of the queries of views, one row for each; `$1`: oids of the views; `$2`: names of declared
 * views, where the descent ends.
 *
 * Each part is read from the parsed rules of the view (its root) and of the ordinary views that it reads, at any depth.
 * Relations are taken from there, for pg_depend leaves out the system's own; columns from pg_depend. A whole row, which
 * pg_depend does not tell from no column, is seen in the rule as attribute 0 and makes it all columns. The text of a rule
 * escapes blanks inside names and texts, so that a word of the user's never looks like a field.
 */
export const queriesQuery: string = `
with recursive rule (root, view, id) as (
  select w.ev_class, w.ev_class, w.oid
  from pg_rewrite w
  where w.ev_class = any ($1::oid[]) and w.ev_type = '1'
  union
  select rule.root, w.ev_class, w.oid
  from rule
  join pg_rewrite own on own.oid = rule.id
  cross join lateral regexp_matches(own.ev_action::text, ':relid (\\d+)', 'g') as found (relid)
  join pg_class c on c.oid = found.relid[1]::oid and c.relkind = 'v'
  join pg_namespace n on n.oid = c.relnamespace
  join pg_rewrite w on w.ev_class = c.oid and w.ev_type = '1'
  where n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname || '.' || c.relname <> all ($2::text[])
    and c.oid <> rule.view
),
parsed as materialized (
  select w.oid as id, w.ev_class as view, w.ev_action::text as tree
  from pg_rewrite w
  where w.oid in (select id from rule)
),
named as materialized (
  select distinct parsed.id, parsed.view, found.parts[1] as field, found.parts[2]::oid as oid
  from parsed
  cross join lateral
    regexp_matches(parsed.tree, ':(relid|funcid|opfuncid|aggfnoid|winfnoid|opno) (\\d+)', 'g') as found (parts)
),
reached as materialized (
  select rule.root, rule.id, named.oid, coalesce(pg_partition_root(named.oid), named.oid) as whole
  from rule
  join named on named.id = rule.id and named.field = 'relid' and named.oid <> named.view
),
used as materialized (
  select distinct reached.root, reached.whole, a.attname
  from reached
  join parsed on parsed.id = reached.id
  join pg_attribute a on a.attrelid = reached.oid and a.attnum > 0 and not a.attisdropped
  where parsed.tree ~ ':varattno 0 '
     or exists (
       select
       from pg_depend d
       left join pg_attribute read on read.attrelid = d.refobjid and read.attnum = d.refobjsubid
       where d.classid = 'pg_rewrite'::regclass and d.objid = reached.id
         and d.refclassid = 'pg_class'::regclass and d.refobjid = reached.oid
         -- A column computed on reading (PostgreSQL 18) may come from any other.
         and (d.refobjsubid = a.attnum or read.attgenerated = 'v')
     )
),
relation as (
  select r.root, c.oid,
    case when c.relpersistence = 't' then 'pg_temp' else n.nspname end || '.' || c.relname as name,
    c.relkind as kind,
    c.relpersistence = 't' as temporary,
    n.nspname in ('pg_catalog', 'information_schema', 'tidemark', 'tidemark_state') as system,
    n.nspname || '.' || c.relname = any ($2::text[]) as declared,
    exists (
      select
      from reached s
      join parsed on parsed.id = s.id
      where s.root = r.root and s.whole = c.oid
        -- ctid, xmin and their like change without any column changing; tableoid (-6) does not.
        and parsed.tree ~ ':varattno -[1-5] '
    ) as hidden_columns,
    array(
      select a.attname::text
      from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and a.attname in (select used.attname from used where used.root = r.root and used.whole = c.oid)
      order by a.attnum
    ) as columns,
    case when c.relkind = 'm' or n.nspname || '.' || c.relname = any ($2::text[]) then (
      ${typedColumns('c')}
    ) end as typed
  from (select distinct root, whole from reached) r
  join pg_class c on c.oid = r.whole
  join pg_namespace n on n.oid = c.relnamespace
),
called as materialized (
  select distinct rule.root, case field when 'opno' then o.oprcode::oid else named.oid end as oid, field
  from rule
  join named on named.id = rule.id and named.field <> 'relid'
  left join pg_operator o on named.field = 'opno' and o.oid = named.oid
),
run as (
  select root, oid from called
  union
  select root, part
  from called
  join pg_aggregate g on g.aggfnoid = called.oid
  cross join lateral unnest(array[
    g.aggtransfn, g.aggfinalfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn
  ]::oid[]) as part
),
fact as materialized (
  select
    run.root, p.provolatile, p.oid::regprocedure::text as signature, n.nspname = 'pg_catalog' as builtin, p.proname,
    exists (
      select
      from pg_depend d
      join pg_extension e on e.oid = d.refobjid
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid
        and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
        and e.extname in (${readsNoTables})
    ) as harmless
  from run
  join pg_proc p on p.oid = run.oid
  join pg_namespace n on n.oid = p.pronamespace
)
select
  v.oid::int8 as oid,
  regexp_replace(pg_get_viewdef(v.oid), ';\\s*$', '') as sql,
  coalesce((
    ${typedColumns('v')}
  ), '[]') as columns,
  (
    select coalesce(json_agg(json_build_object(
      'name', name, 'kind', kind, 'temporary', temporary, 'system', system, 'declared', declared,
      'hiddenColumns', hidden_columns, 'columns', columns, 'typed', typed) order by name), '[]')
    from relation where root = v.oid
  ) as relations,
  (
    select coalesce(json_agg(json_build_object(
      'name', n.nspname || '.' || c.relname,
      'root', (select rn.nspname || '.' || rc.relname from pg_class rc join pg_namespace rn on rn.oid = rc.relnamespace
               where rc.oid = part.whole),
      'allColumns', array(${columnNames})) order by n.nspname, c.relname), '[]')
    from (select distinct oid, whole from reached where root = v.oid and oid <> whole) part
    join pg_class c on c.oid = part.oid
    join pg_namespace n on n.oid = c.relnamespace
  ) as parts,
  -- The ordinary views that a query reads, with what the server prints of them.
  (
    select coalesce(json_agg(json_build_object(
      'name', n.nspname || '.' || c.relname,
      'sql', regexp_replace(pg_get_viewdef(c.oid), ';\\s*$', ''),
      'columns', array(${columnNames})) order by n.nspname || '.' || c.relname), '[]')
    from (select distinct view from rule where root = v.oid and view <> v.oid) as r
    join pg_class c on c.oid = r.view
    join pg_namespace n on n.oid = c.relnamespace
  ) as views,
  -- Aggregates and functions that return sets, by the names that the server prints.
  (
    select coalesce(json_agg(json_build_object(
      'name', case when n.nspname = 'pg_catalog' then p.proname else n.nspname || '.' || p.proname end,
      'aggregate', p.prokind = 'a', 'returnsSet', p.proretset)
      order by case when n.nspname = 'pg_catalog' then p.proname else n.nspname || '.' || p.proname end), '[]')
    from (select distinct oid from called where root = v.oid and field in ('funcid', 'aggfnoid', 'winfnoid')) as called
    join pg_proc p on p.oid = called.oid
    join pg_namespace n on n.oid = p.pronamespace
    where p.prokind = 'a' or p.proretset
  ) as calls,
  -- Columns of its tables that are unique and not null.
  (
    select coalesce(json_agg(json_build_object('relation', r.name, 'columns', array(
      select a.attname::text from unnest(i.indkey) with ordinality as k (attnum, place)
      join pg_attribute a on a.attrelid = r.oid and a.attnum = k.attnum
      where k.place <= i.indnkeyatts order by k.place)) order by r.name, i.indexrelid), '[]')
    from relation r
    join pg_index i on i.indrelid = r.oid
    where r.root = v.oid
      and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
      -- The rows of its children are not in the index of a parent that is inherited from.
      and not (r.kind = 'r' and exists (select from pg_inherits h where h.inhparent = r.oid))
      and not exists (
        select from unnest(i.indkey) with ordinality as k (attnum, place)
        join pg_attribute a on a.attrelid = r.oid and a.attnum = k.attnum
        where k.place <= i.indnkeyatts and not a.attnotnull)
  ) as uniques,
  array(
    select distinct signature from fact
    where root = v.oid
      and ((not builtin and provolatile <> 'i' and not harmless) or (builtin and proname in (${readsAnything})))
    order by signature
  ) as opaque,
  exists (
    select from fact where root = v.oid and builtin and signature in (
    ${timeFunctions})
  )
  -- current_date and its like; 9 and above are current_user and its like.
  or exists (select from rule join parsed using (id) where root = v.oid and tree ~ '\\{SQLVALUEFUNCTION :op [0-8] ') as time_dependent,
  exists (select from fact where root = v.oid and provolatile = 'v')
  or exists (select from rule join parsed using (id) where root = v.oid and tree ~ '\\{TABLESAMPLECLAUSE ') as volatile,
  coalesce((
    -- The outermost query comes first in the text.
    select substring(tree from ':hasTargetSRFs (\\w+)') = 'true' from parsed where view = v.oid limit 1
  ), false) as returns_sets
from unnest($1::oid[]) as v (oid)
`
