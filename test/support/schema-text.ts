import { inject } from 'vitest'
import { dumpSchema } from './dump.ts'
import type { TestDatabase } from './database.ts'

/**
 * Everything that is defined in a database as text, the same for the same definitions: what its catalogs say and, where
 * there is a program for the server's version, what `pg_dump` prints.
 */
export async function schemaOf({ sql, url }: TestDatabase): Promise<string> {
  const rows = await sql<{ line: string }>(definitions)
  const dumped = inject('serverName') === '15-debian' ? [dumpSchema(url)] : []
  return [...rows.map(({ line }) => line), ...dumped].join('\n')
}

/** Rights in the same words whether they were granted or are those that a new object has. */
const grants = (acl: string, kind: string, owner: string): string => `(
  select string_agg(format('%s:%s%s', case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee) end,
                           a.privilege_type, case when a.is_grantable then '*' end), ' ' order by 1)
  from aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) a)`

const definitions = `
with own as (
  select n.oid, n.nspname from pg_namespace n
  where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
)
select format('schema %s of %s: %s', n.nspname, pg_get_userbyid(n.nspowner), ${grants('n.nspacl', 'n', 'n.nspowner')}) as line
from pg_namespace n where n.oid in (select oid from own)
union all
select format('relation %s.%s %s%s of %s with %s %s: %s; %s', o.nspname, c.relname, c.relkind, c.relpersistence, pg_get_userbyid(c.relowner),
  c.reloptions, concat(c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relispopulated),
  ${grants('c.relacl', 'r', 'c.relowner')}, obj_description(c.oid, 'pg_class'))
from pg_class c join own o on o.oid = c.relnamespace
union all
select format('query of %s.%s: %s', o.nspname, c.relname, pg_get_viewdef(c.oid))
from pg_class c join own o on o.oid = c.relnamespace where c.relkind in ('v', 'm')
union all
select format('column %s.%s %s %s %s %s null %s default %s: %s; %s', o.nspname, c.relname, row_number() over (partition by c.oid order by a.attnum),
  a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, concat(a.attidentity, a.attgenerated, a.attstorage, a.attcollation::regcollation),
  pg_get_expr(d.adbin, d.adrelid), ${grants(`nullif(a.attacl, '{}')`, 'c', 'c.relowner')}, col_description(c.oid, a.attnum))
from pg_attribute a join pg_class c on c.oid = a.attrelid join own o on o.oid = c.relnamespace
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped
union all
select format('index %s', pg_get_indexdef(c.oid)) from pg_class c join own o on o.oid = c.relnamespace where c.relkind in ('i', 'I')
union all
select format('constraint %s.%s of %s: %s', o.nspname, k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid))
from pg_constraint k join own o on o.oid = k.connamespace
union all
select format('trigger %s %s', pg_get_triggerdef(t.oid), t.tgenabled) from pg_trigger t where not t.tgisinternal
union all
select format('rule %s', pg_get_ruledef(r.oid)) from pg_rewrite r
join pg_class c on c.oid = r.ev_class join own o on o.oid = c.relnamespace where r.rulename <> '_RETURN'
union all
select format('function %s of %s: %s; %s', case when p.prokind = 'a' then p.oid::regprocedure::text else pg_get_functiondef(p.oid) end,
  pg_get_userbyid(p.proowner), ${grants('p.proacl', 'f', 'p.proowner')}, obj_description(p.oid, 'pg_proc'))
from pg_proc p join own o on o.oid = p.pronamespace
union all
select format('type %s.%s %s of %s: %s', o.nspname, t.typname, t.typtype, pg_get_userbyid(t.typowner), ${grants('t.typacl', 'T', 't.typowner')})
from pg_type t join own o on o.oid = t.typnamespace
union all
select format('statistics %s', pg_get_statisticsobjdef(s.oid)) from pg_statistic_ext s
union all
select format('policy %s of %s: %s %s', p.polname, p.polrelid::regclass, pg_get_expr(p.polqual, p.polrelid), p.polroles::regrole[]) from pg_policy p
union all
select format('default rights %s of %s in %s: %s', d.defaclobjtype, pg_get_userbyid(d.defaclrole), d.defaclnamespace::regnamespace, d.defaclacl) from pg_default_acl d
union all
select format('event trigger %s on %s calls %s %s', e.evtname, e.evtevent, e.evtfoid::regproc, e.evtenabled) from pg_event_trigger e
union all
select format('extension %s %s', e.extname, e.extversion) from pg_extension e
union all
select format('publication %s %s', p.pubname, p.puballtables) from pg_publication p
order by line`
