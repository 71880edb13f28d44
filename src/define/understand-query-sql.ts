import { readsAnything, readsNoTables, timeFunctions } from './canonical-queries.ts'

/** The procedure, among temporary objects, by which the server is asked what a query means. */
export const procedure = 'pg_temp."tidemark query"'

const familyOf = (type: string, namespace: string): string => `case
    when ${type}.oid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) then 'integer'
    when ${type}.oid in ('text'::regtype, 'varchar'::regtype) then 'text'
    when ${type}.oid = 'bool'::regtype then 'boolean'
    when ${type}.oid in ('uuid'::regtype, 'date'::regtype) then ${type}.typname::text
    when ${type}.typtype = 'e' then 'enum ' || ${namespace}.nspname || '.' || ${type}.typname
  end`

/** Versions of relations `$1`, their rules and functions `$2`: another text when one was altered or replaced. */
export const versionsQuery = `
select coalesce(string_agg(v.version, ' ' order by v.version), '') as versions
from (
  select 'c' || c.oid || '.' || c.xmin from pg_class c where c.oid = any ($1::oid[])
  union all
  select 'w' || w.ev_class || '.' || w.xmin from pg_rewrite w where w.ev_class = any ($1::oid[])
  union all
  select 'p' || p.oid || '.' || p.xmin from pg_proc p where p.oid = any ($2::oid[])
) v (version)`

/**
 * What a query means, asked of the procedure that has it as its body; `$1`: sources whose changes are told, where the descent into
 * views ends, as it does at maintained ones. Read from parsed trees, where no word of the user's looks like a field.
 */
export const meaningQuery: string = `
with recursive rule (view, tree) as (
  select null::oid, p.prosqlbody::text from pg_proc p where p.oid = '${procedure}'::regproc
  union
  select c.oid, w.ev_action::text
  from rule
  cross join lateral regexp_matches(rule.tree, ':relid (\\d+)', 'g') as found (relid)
  join pg_class c on c.oid = found.relid[1]::oid and c.relkind = 'v' and c.oid is distinct from rule.view
  join pg_namespace n on n.oid = c.relnamespace
  join pg_rewrite w on w.ev_class = c.oid and w.ev_type = '1'
  where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname || '.' || c.relname <> all ($1::text[])
    and not exists (
      select from regexp_matches(w.ev_action::text, ':relid (\\d+)', 'g') as state (relid)
      join pg_class s on s.oid = state.relid[1]::oid and s.relnamespace = to_regnamespace('tidemark_state'))
),
named as materialized (
  select distinct rule.view, found.parts[1] as field, found.parts[2]::oid as oid
  from rule
  cross join lateral regexp_matches(rule.tree, ':(relid|funcid|opfuncid|aggfnoid|winfnoid|opno) (\\d+)', 'g') as found (parts)
),
relation as (
  select distinct c.oid, n.nspname || '.' || c.relname as name, coalesce(pg_partition_root(c.oid), c.oid)::regclass as root,
         c.relkind as kind, n.nspname in ('pg_catalog', 'information_schema') as system, c.relpersistence = 't' as temporary,
         c.oid in (select rule.view from rule) as expanded, row_security_active(c.oid) as row_security
  from named
  join pg_class c on c.oid = named.oid
  join pg_namespace n on n.oid = c.relnamespace
  where named.field = 'relid' and named.oid is distinct from named.view
),
called as materialized (
  select distinct case field when 'opno' then o.oprcode::oid else named.oid end as oid
  from named
  left join pg_operator o on named.field = 'opno' and o.oid = named.oid
  where named.field <> 'relid'
),
run as (
  select oid from called
  union
  select part
  from called
  join pg_aggregate g on g.aggfnoid = called.oid
  cross join lateral unnest(array[g.aggtransfn, g.aggfinalfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn]::oid[]) as part
),
fact as materialized (
  select p.oid, p.provolatile as volatility, p.oid::regprocedure::text as signature, p.proname, n.nspname = 'pg_catalog' as builtin,
    exists (
      select from pg_depend d join pg_extension e on e.oid = d.refobjid
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid
        and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname in (${readsNoTables})) as harmless
  from run
  join pg_proc p on p.oid = run.oid
  join pg_namespace n on n.oid = p.pronamespace
)
select
  pg_get_function_sqlbody('${procedure}'::regproc) as body,
  (
    select coalesce(json_agg(json_build_object('family', ${familyOf('t', 'n')}, 'elementFamily', ${familyOf('e', 'm')})
                             order by a.place), '[]')
    from pg_proc p
    cross join lateral unnest(p.proargtypes::oid[]) with ordinality as a (type, place)
    join pg_type t on t.oid = a.type
    join pg_namespace n on n.oid = t.typnamespace
    left join pg_type e on e.oid = t.typelem and t.typelem <> 0 and t.typlen = -1
    left join pg_namespace m on m.oid = e.typnamespace
    where p.oid = '${procedure}'::regproc
  ) as parameters,
  (
    select coalesce(json_agg(json_build_object(
      'name', r.name, 'source', (select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                                  where c.oid = r.root),
      'kind', r.kind, 'system', r.system, 'temporary', r.temporary, 'rowSecurity', r.row_security,
      'definition', case when r.expanded then pg_get_viewdef(r.oid) end,
      'columns', (
        select coalesce(json_agg(json_build_object(
          'name', a.attname, 'family', case when k.collisdeterministic is not false then ${familyOf('t', 'n')} end) order by a.attnum), '[]')
        from pg_attribute a
        join pg_type t on t.oid = a.atttypid
        join pg_namespace n on n.oid = t.typnamespace
        left join pg_collation k on k.oid = a.attcollation
        where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped)) order by r.name), '[]')
    from relation r
  ) as relations,
  array(select signature from fact where volatility = 'v' order by signature) as volatile,
  array(
    select signature from fact
    where volatility <> 'v' and ((not builtin and volatility <> 'i' and not harmless) or (builtin and proname in (${readsAnything})))
    order by signature) as opaque,
  array(select signature from fact where volatility = 's' and builtin and signature in (${timeFunctions}) order by signature)
    || array(select 'current_date and its like' where exists (select from rule where tree ~ '\\{SQLVALUEFUNCTION :op [0-8] ')) as clock,
  array(
    select signature from fact where volatility = 's' and signature not in (${timeFunctions}) order by signature)
    || array(select 'current_user and its like' where exists (select from rule where tree ~ '\\{SQLVALUEFUNCTION :op (9|1[0-9]) ')) as settings,
  exists (select from rule where tree ~ ':varattno -[1-5] ') as hidden_columns,
  exists (select from rule where tree ~ '\\{TABLESAMPLECLAUSE ') as samples,
  array(select oid::int8 from relation union select root::oid::int8 from relation) as relation_oids,
  array(select oid::int8 from fact where not builtin) as function_oids
`
