/** A table that a view is, with `as: 'table'`. */
const presentsView = (alias: string): string =>
  `${alias}.relkind = 'r' and exists (select from pg_trigger g where g.tgrelid = ${alias}.oid and g.tgname = 'tidemark guard')`

/**
 * Relations by name, each with everything that reads it: at depth 0 the relation itself, then its
 * readers, each after those that it reads. `union` ends the walk; views cannot read in a circle.
 */
export const treeQuery: string = `
with recursive wanted as (
  select w.name as root, c.oid
  from unnest($1::text[], $2::text[], $3::text[]) w (name, schema, relation)
  join pg_namespace n on n.nspname = w.schema
  join pg_class c on c.relnamespace = n.oid and c.relname = w.relation
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
),
edge as (
  select distinct d.refobjid as input, r.ev_class as reader
  from pg_depend d
  join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
  where d.refclassid = 'pg_class'::regclass and r.ev_class <> d.refobjid and r.rulename = '_RETURN'
),
walk as (
  select root, oid, 0 as depth from wanted
  union
  select w.root, e.reader, w.depth + 1
  from walk w
  join edge e on e.input = w.oid
  -- The readers of plain tables are nobody's concern here: tables are not replaced.
  join pg_class i on i.oid = w.oid and (i.relkind in ('v', 'm') or ${presentsView('i')})
)
select w.root, w.oid::int8 as oid,
  coalesce((select json_agg(json_build_object('schema', n.nspname, 'name', c.relname) order by n.nspname, c.relname)
            from edge e
            join pg_class c on c.oid = e.input
            join pg_namespace n on n.oid = c.relnamespace
            where e.reader = w.oid), '[]') as reads
from walk w
group by w.root, w.oid
order by w.root, max(w.depth), w.oid`

const grantsOf = (acl: string): string => `(
    select json_agg(json_build_object(
      'grantee', case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end,
      'privilege', a.privilege_type, 'grantable', a.is_grantable) order by a.ordinality)
    from aclexplode(${acl}) with ordinality a)`

const columnsOf = `(
    select json_agg(json_build_object(
      'name', a.attname,
      'type', format_type(a.atttypid, a.atttypmod),
      'comment', col_description(c.oid, a.attnum),
      'statistics', nullif(a.attstattarget, -1),
      'storage', case when a.attstorage = t.typstorage then null
                 else case a.attstorage when 'p' then 'plain' when 'e' then 'external'
                                        when 'm' then 'main' else 'extended' end end,
      'compression', case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end,
      'fallback', (select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
                    where d.adrelid = c.oid and d.adnum = a.attnum and c.relkind = 'v'),
      'grants', coalesce(${grantsOf('a.attacl')}, '[]')) order by a.attnum)
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)`

const indexesOf = `(
    select json_agg(json_build_object(
      'name', i.relname,
      'unique', x.indisunique,
      'tail', substr(pg_get_indexdef(i.oid),
                1 + length(format('CREATE %sINDEX %s ON %s%s.%s USING ', case when x.indisunique then 'UNIQUE ' else '' end,
                                  quote_ident(i.relname), case when c.relkind = 'p' then 'ONLY ' else '' end,
                                  quote_ident(n.nspname), quote_ident(c.relname)))),
      'comment', obj_description(i.oid, 'pg_class'),
      'tablespace', (select s.spcname from pg_tablespace s where s.oid = i.reltablespace),
      'clustered', x.indisclustered,
      'statistics', coalesce((select json_agg(json_build_object('position', a.attnum, 'target', a.attstattarget) order by a.attnum)
                              from pg_attribute a where a.attrelid = i.oid and a.attstattarget >= 0), '[]')) order by i.relname)
    from pg_index x
    join pg_class i on i.oid = x.indexrelid
    where x.indrelid = c.oid and c.relkind in ('r', 'm'))`

const statisticsOf = `(
    select json_agg(json_build_object(
      'name', format('%I.%I', sn.nspname, s.stxname),
      'head', substr(def, 1, length(def) - length(from_clause)),
      'owner', pg_get_userbyid(s.stxowner),
      'comment', obj_description(s.oid, 'pg_statistic_ext'),
      'target', nullif(s.stxstattarget, -1)) order by s.stxname)
    from pg_statistic_ext s
    join pg_namespace sn on sn.oid = s.stxnamespace
    cross join lateral pg_get_statisticsobjdef(s.oid) def
    cross join lateral format(' FROM %I.%I', n.nspname, c.relname) from_clause
    where s.stxrelid = c.oid and c.relkind = 'm')`

/**
 * What would be lost or would refuse when the relation is dropped and made again: everything that
 * hangs on it or on its row type, but for readers by _RETURN rules and what is carried over.
 */
const unsupportedOf = `(
    select json_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid))
    from pg_depend d
    where (c.relkind in ('v', 'm') or ${presentsView('c')})
      and ((d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid)
           or (d.refclassid = 'pg_type'::regclass
               and d.refobjid in (select y.oid from pg_type y
                                  where y.oid = c.reltype
                                     or y.typelem = c.reltype and c.reltype <> 0)))
      and (d.deptype = 'n'
           or d.classid in ('pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_publication_rel'::regclass))
      and d.deptype <> 'i'
      and not (d.classid = 'pg_trigger'::regclass
               and exists (select from pg_trigger g where g.oid = d.objid and g.tgname = 'tidemark guard'))
      and d.classid <> 'pg_statistic_ext'::regclass
      and not (d.classid = 'pg_rewrite'::regclass
               and exists (select from pg_rewrite r where r.oid = d.objid and r.rulename = '_RETURN')))`

/** Everything about relations, by oid. */
export const factsQuery: string = `
select c.oid::int8 as oid, n.nspname as schema, c.relname as relation,
  case c.relkind when 'r' then 'table' when 'p' then 'partitioned' when 'v' then 'view'
                 when 'm' then 'matview' when 'f' then 'foreign' else 'other' end as kind,
  pg_get_userbyid(c.relowner) as owner,
  obj_description(c.oid, 'pg_class') as comment,
  to_json(coalesce(c.reloptions, '{}')) as options,
  (select s.spcname from pg_tablespace s where s.oid = c.reltablespace) as tablespace,
  (select m.amname from pg_am m
    where m.oid = c.relam and m.amname <> current_setting('default_table_access_method')) as "accessMethod",
  case when c.relkind in ('v', 'm') then rtrim(pg_get_viewdef(c.oid), ';') end as definition,
  c.relispopulated as populated,
  coalesce(${columnsOf}, '[]') as columns,
  coalesce(${indexesOf}, '[]') as indexes,
  coalesce(${statisticsOf}, '[]') as statistics,
  ${grantsOf('c.relacl')} as grants,
  coalesce((select json_agg(distinct case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end)
            from pg_default_acl d, aclexplode(d.defaclacl) a
            where d.defaclobjtype = 'r' and d.defaclnamespace in (0, c.relnamespace)
              and d.defaclrole = (select r.oid from pg_roles r where r.rolname = current_user)
              and a.grantee <> d.defaclrole), '[]') as "defaultGrantees",
  coalesce(${unsupportedOf}, '[]') as unsupported
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = any ($1::oid[])
order by c.oid`

/** Objects outside of Tidemark's schemas that use something inside; they would go with it. */
export const outsidersQuery = `
select distinct pg_describe_object(d.classid, d.objid, d.objsubid) as object
from pg_depend d
join pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'tidemark'
join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
join pg_class v on v.oid = r.ev_class
join pg_namespace vn on vn.oid = v.relnamespace and vn.nspname <> 'tidemark'
union
select distinct pg_describe_object(d.classid, d.objid, d.objsubid)
from pg_depend d
join pg_proc f on d.refclassid = 'pg_proc'::regclass and f.oid = d.refobjid
join pg_namespace n on n.oid = f.pronamespace and n.nspname = 'tidemark'
left join pg_proc g on d.classid = 'pg_proc'::regclass and g.oid = d.objid
left join pg_namespace gn on gn.oid = g.pronamespace
left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
left join pg_class v on v.oid = r.ev_class
left join pg_namespace vn on vn.oid = v.relnamespace
where gn.nspname not in ('tidemark', 'tidemark_state') or vn.nspname not in ('tidemark', 'tidemark_state')
order by object`
