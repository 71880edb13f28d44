import type { ColumnShape, SourceShape } from '../model/capture.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { partsOf, relationName } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'
import { qualifiedName } from '../postgres/identifier.ts'

/**
 * Reads what capture has to know of a table.
 *
 * The caller runs it in a transaction: types are printed under an empty search_path, set for its rest.
 * Throws `TIDEMARK_RELATION_UNKNOWN` or `TIDEMARK_RELATION_UNSUPPORTED`.
 */
export async function readSourceShape(
  queryable: Queryable,
  relation: RelationName,
): Promise<SourceShape> {
  await queryable.query(`select set_config('search_path', '', true)`)
  const tree = await readTree(queryable, relation)
  const [root] = tree
  if (root === undefined) {
    throw new TidemarkError({
      code: 'TIDEMARK_RELATION_UNKNOWN',
      what: `There is no table ${relation}`,
      mend: 'Check the schema and the name, with the same capital letters as in the database.',
    })
  }
  for (const table of tree) refuseUncapturable(table)
  const oids = tree.map(({ oid }) => oid)
  const [facts] = await queryable.query<{ child: boolean; subscribed: boolean }>(
    `select exists (select from pg_inherits i
                    where i.inhrelid = any ($1) and not i.inhparent = any ($1)) as child,
            exists (select from pg_subscription_rel s where s.srrelid = any ($1)) as subscribed`,
    [oids],
  )
  return {
    name: relation,
    oid: root.oid,
    kind: root.kind === 'p' ? 'partitioned' : tree.length > 1 ? 'inherited' : 'plain',
    subscribed: facts?.subscribed === true,
    child: facts?.child === true,
    owner: root.owner,
    columns: await queryable.query<ColumnShape>(columnsQuery, [root.oid]),
    members: tree
      .slice(1)
      .map(({ schema, name }) => relationName(schema, name))
      .sort(),
  }
}

interface TableFacts {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `pg_class.relkind`. */
  readonly kind: string
  /** `pg_class.relpersistence`. */
  readonly persistence: string
  readonly owner: string
}

/** The table first, then all below it. */
function readTree(queryable: Queryable, relation: RelationName): Promise<TableFacts[]> {
  const { schema, name } = partsOf(relation)
  return queryable.query<TableFacts>(
    `with recursive tree (oid, depth) as (
       select c.oid, 0
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = $1 and c.relname = $2
       union
       select i.inhrelid, t.depth + 1 from pg_inherits i join tree t on t.oid = i.inhparent
     )
     select c.oid::int8 as oid, n.nspname as schema, c.relname as name, c.relkind as kind,
            c.relpersistence as persistence, pg_get_userbyid(c.relowner) as owner
     from (select oid, min(depth) as depth from tree group by oid) t
     join pg_class c on c.oid = t.oid
     join pg_namespace n on n.oid = c.relnamespace
     order by t.depth, n.nspname, c.relname`,
    [schema, name],
  )
}

/** Columns of a table; a domain is followed down to the type that it restricts. */
const columnsQuery = `
  with recursive base (attnum, type, typmod) as (
    select a.attnum, a.atttypid, a.atttypmod
    from pg_attribute a where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
    union all
    select b.attnum, t.typbasetype, t.typtypmod
    from base b join pg_type t on t.oid = b.type and t.typtype = 'd'
  )
  select a.attname as name, a.attnum::int as attnum,
         format_type(a.atttypid, a.atttypmod) as type,
         (select format_type(b.type, b.typmod)
          from base b join pg_type t on t.oid = b.type and t.typtype <> 'd'
          where b.attnum = a.attnum) as "baseType",
         (select format('%I.%I', n.nspname, k.collname)
          from base b join pg_type t on t.oid = b.type and t.typtype <> 'd'
          join pg_collation k on k.oid = a.attcollation and k.oid <> t.typcollation
          join pg_namespace n on n.oid = k.collnamespace
          where b.attnum = a.attnum) as collation,
         a.attnotnull as "notNull",
         a.attgenerated = 'v' as "generatedVirtual",
         case when a.attgenerated <> 'v' then array[]::text[] else array(
           select r.attname::text
           from pg_attrdef f
           join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid
                           and d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid
           join pg_attribute r on r.attrelid = a.attrelid and r.attnum = d.refobjsubid
           where f.adrelid = a.attrelid and f.adnum = a.attnum and r.attnum <> a.attnum
           order by r.attnum)
         end as "generatedFrom"
  from pg_attribute a
  where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
  order by a.attnum`

const systemSchemas: readonly string[] = [
  'pg_catalog',
  'information_schema',
  'pg_toast',
  'tidemark',
  'tidemark_state',
]

const kinds: Readonly<Record<string, { readonly what: string; readonly mend: string }>> = {
  v: { what: 'is a view', mend: 'Name the tables that it reads; views over it find them.' },
  m: {
    what: 'is a materialized view',
    mend: 'Declare it as a view of Tidemark with adopt; views over it then follow its refreshes.',
  },
  f: {
    what: 'is a foreign table, whose changes happen elsewhere',
    mend: 'Refresh the views over it on a schedule.',
  },
  S: { what: 'is a sequence', mend: 'Name a table.' },
  c: { what: 'is a composite type', mend: 'Name a table.' },
  i: { what: 'is an index', mend: 'Name a table.' },
  I: { what: 'is an index', mend: 'Name a table.' },
}

/** Throws unless triggers on this table see every change of it. */
function refuseUncapturable(table: TableFacts): void {
  const name = relationName(table.schema, table.name)
  const fault = faultOf(table, name)
  if (fault === null) return
  throw new TidemarkError({
    code: 'TIDEMARK_RELATION_UNSUPPORTED',
    what: `${name} ${fault.what} and cannot be captured`,
    mend: fault.mend,
  })
}

function faultOf(
  table: TableFacts,
  name: RelationName,
): { readonly what: string; readonly mend: string } | null {
  const { kind, persistence, schema } = table
  if (systemSchemas.includes(schema))
    return { what: 'belongs to the system', mend: 'Name a table of your own.' }
  if (kind !== 'r' && kind !== 'p')
    return kinds[kind] ?? { what: 'is not a table', mend: 'Name a table.' }
  if (persistence === 't')
    return { what: 'is temporary', mend: 'Name a table that every session sees.' }
  // After a crash it is empty and no trigger has told so.
  if (persistence === 'u')
    return {
      what: 'is unlogged: a crash empties it unseen',
      mend: `Run alter table ${qualifiedName(name)} set logged;`,
    }
  return null
}
