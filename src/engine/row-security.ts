import { parseQuery } from '../compile/syntax/parse.ts'
import { sqlName } from '../compile/syntax/sql-text.ts'
import { nodesOf } from '../compile/syntax/walk.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { partsOf, relationName } from '../model/ids.ts'
import type { CanonicalQuery } from '../model/view.ts'
import type { Queryable } from '../postgres/connection.ts'
import { qualifiedName } from '../postgres/identifier.ts'

/** A query, and the role as which it is computed. */
export interface Reading {
  readonly role: string
  readonly query: CanonicalQuery
}

/** A table of which row-level security hides rows from a role. */
export interface HiddenRows {
  readonly table: RelationName
  readonly tableOwner: string
  /** The policies hold for the owner of the table too. */
  readonly forced: boolean
  readonly role: string
  /** Policies that say which rows the role sees; without one it sees none. */
  readonly policies: readonly string[]
}

/** What is hidden from who computes a query. */
export interface HiddenFrom {
  /** From the roles as which PostgreSQL would read each table: the query cannot be computed. */
  readonly query: readonly HiddenRows[]
  /** From who owns the view: what changed in these tables may not be shown. */
  readonly changes: readonly HiddenRows[]
}

/** What policies hide from the readers of queries, in their order. Reads only. */
export async function hiddenRows(
  queryable: Queryable,
  readings: readonly Reading[],
): Promise<readonly HiddenFrom[]> {
  const asked = await Promise.all(
    readings.map(async ({ role, query }, reading) =>
      [
        ...(await relationsIn(query.sql)).map((relation) => ({ relation, through: true })),
        ...query.sources.map(({ relation }) => ({ relation, through: false })),
      ].map(({ relation, through }) => ({
        reading,
        role,
        relation: qualifiedName(relation),
        through,
      })),
    ),
  )
  const rows = await queryable.query<HiddenRows & { reading: number; through: boolean }>(
    hiddenQuery,
    [JSON.stringify(asked.flat())],
  )
  const found = (at: number, through: boolean): readonly HiddenRows[] =>
    rows.filter((row) => row.reading === at && row.through === through)
  return readings.map((_, at) => ({ query: found(at, true), changes: found(at, false) }))
}

/** The relations that a query as the server prints it names. */
async function relationsIn(sql: string): Promise<readonly RelationName[]> {
  const { select } = await parseQuery(sql)
  return nodesOf(select).flatMap(({ kind, node: { schemaname, relname } }) =>
    kind === 'RangeVar' && typeof schemaname === 'string' && typeof relname === 'string'
      ? [relationName(schemaname, relname)]
      : [],
  )
}

/**
 * An ordinary view is read as its owner, one of `security_invoker` as who runs the query, wherever it is read. Policies are
 * those of the relation that is named: those of a partition do not hold for who reads the whole table.
 */
const hiddenQuery = `
with recursive asked as (
  select * from json_to_recordset($1) a (reading int, role text, relation text, through boolean)
),
read (reading, through, runner, role, relation) as (
  select a.reading, a.through, r.oid, r.oid, to_regclass(a.relation)::oid
  from asked a join pg_roles r on r.rolname = a.role
  where to_regclass(a.relation) is not null
  union
  select read.reading, read.through, read.runner,
         case when coalesce((select o.option_value::boolean from pg_options_to_table(v.reloptions) o
                              where o.option_name = 'security_invoker'), false)
              then read.runner else v.relowner end,
         d.refobjid
  from read
  join pg_class v on v.oid = read.relation and v.relkind = 'v'
  join pg_rewrite w on w.ev_class = v.oid and w.ev_type = '1'
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
                  and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
  where read.through
)
select distinct read.reading, read.through, n.nspname || '.' || c.relname as "table",
       pg_get_userbyid(c.relowner)::text as "tableOwner", c.relforcerowsecurity as forced, r.rolname::text as role,
       array(select p.polname::text from pg_policy p
              where p.polrelid = c.oid and p.polcmd in ('r', '*')
                and exists (select from unnest(p.polroles) as bound
                             where bound = 0 or pg_has_role(r.oid, bound, 'usage'))
              order by p.polname) as policies
from read
join pg_class c on c.oid = read.relation and c.relrowsecurity
join pg_namespace n on n.oid = c.relnamespace
join pg_roles r on r.oid = read.role and not (r.rolsuper or r.rolbypassrls)
where c.relforcerowsecurity or not pg_has_role(r.oid, c.relowner, 'usage')
order by 1, 2, 3`

/** Why a view is not maintained from what changes in tables of which rows are hidden from its owner. */
export const hiddenReason = (owner: string, hidden: readonly HiddenRows[]): string =>
  `row-level security of ${hidden.map(({ table }) => table).join(', ')} hides rows from ${owner}, who owns it`

/** The fault of a view that would be computed as a role from which rows are hidden. */
export function rowSecurityFault(view: RelationName, hidden: HiddenRows): TidemarkError {
  const { table, tableOwner, forced, role, policies } = hidden
  const by =
    policies.length === 0
      ? 'no policy shows it any'
      : `${policies.length === 1 ? 'policy' : 'policies'} ${policies.join(', ')}`
  const { schema, name } = partsOf(table)
  const noForce = `alter table ${sqlName(schema)}.${sqlName(name)} no force row level security`
  const unbound =
    role === tableOwner
      ? `not force the policies on who owns the table ('${noForce}')`
      : `let it be computed as ${tableOwner}, who owns the table${forced ? ` ('${noForce}')` : ''}`
  return new TidemarkError({
    code: 'TIDEMARK_ROW_SECURITY',
    what: `${view} would be computed with what ${role} may see of ${table}, of which row-level security hides rows from that role (${by})`,
    mend: `Let ${role} see all rows ('alter role ${sqlName(role)} bypassrls'), or ${unbound}; declared as: 'matview', a view holds what its owner may see.`,
  })
}
