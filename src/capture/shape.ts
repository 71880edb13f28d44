import { must } from '../base/assert.ts'
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
  const { shapes, refused } = await readSourceShapes(queryable, [relation])
  const fault = refused.get(relation)
  if (fault !== undefined) throw fault
  return must(shapes.get(relation), 'a table has a shape, or a reason why it has none')
}

/** What capture has to know of tables. */
export interface SourceShapes {
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
  /** Why the others cannot be captured: `TIDEMARK_RELATION_UNSUPPORTED`. */
  readonly refused: ReadonlyMap<RelationName, TidemarkError>
}

/**
 * Reads the same of many tables at once, under the same conditions as {@link readSourceShape}.
 * Throws `TIDEMARK_RELATION_UNKNOWN`.
 */
export async function readSourceShapes(
  queryable: Queryable,
  relations: readonly RelationName[],
): Promise<SourceShapes> {
  await queryable.query(`select set_config('search_path', '', true)`)
  const parts = relations.map((relation) => partsOf(relation))
  const rows = await queryable.query<ShapeRow>(shapesQuery, [
    relations,
    parts.map(({ schema }) => schema),
    parts.map(({ name }) => name),
  ])
  const found = new Map(rows.map((row) => [row.relation, row]))
  const shapes = new Map<RelationName, SourceShape>()
  const refused = new Map<RelationName, TidemarkError>()
  for (const name of relations) {
    const row = found.get(name)
    if (row === undefined) throw unknown(name)
    const [fault] = row.tree.flatMap((table) => faultOf(table) ?? [])
    if (fault === undefined) shapes.set(name, shapeOf(row))
    else refused.set(name, fault)
  }
  return { shapes, refused }
}

const unknown = (name: RelationName): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_RELATION_UNKNOWN',
    what: `There is no table ${name}`,
    mend: 'Check the schema and the name, with the same capital letters as in the database.',
  })

function shapeOf({ relation, tree, columns }: ShapeRow): SourceShape {
  const [root, ...members] = tree
  return {
    name: relation,
    oid: root.oid,
    kind: root.kind === 'p' ? 'partitioned' : members.length > 0 ? 'inherited' : 'plain',
    subscribed: tree.some(({ subscribed }) => subscribed),
    child: tree.some(({ child }) => child),
    owner: root.owner,
    columns,
    members: members.map(({ schema, name }) => relationName(schema, name)).sort(),
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
  /** It inherits from a table that is not of this tree. */
  readonly child: boolean
  readonly subscribed: boolean
}

interface ShapeRow {
  readonly relation: RelationName
  /** The table first, then all below it. */
  readonly tree: readonly [TableFacts, ...TableFacts[]]
  readonly columns: readonly ColumnShape[]
}

/** Tables with all below them, and their columns; a domain is followed down to the type that it restricts. */
const shapesQuery = `
  with recursive tree (root, oid, depth) as (
    select c.oid, c.oid, 0
    from unnest($2::text[], $3::text[]) w (schema, name)
    join pg_namespace n on n.nspname = w.schema
    join pg_class c on c.relnamespace = n.oid and c.relname = w.name
    union
    select t.root, i.inhrelid, t.depth + 1 from pg_inherits i join tree t on t.oid = i.inhparent
  ),
  member as materialized (select root, oid, min(depth) as depth from tree group by root, oid),
  base (relid, attnum, type, typmod) as (
    select a.attrelid, a.attnum, a.atttypid, a.atttypmod
    from pg_attribute a join member m on m.root = a.attrelid and m.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
    union all
    select b.relid, b.attnum, t.typbasetype, t.typtypmod
    from base b join pg_type t on t.oid = b.type and t.typtype = 'd'
  ),
  bottom as materialized (
    select b.relid, b.attnum, b.type, b.typmod, t.typcollation, t.typlen, t.typstorage
    from base b join pg_type t on t.oid = b.type and t.typtype <> 'd'
  )
  select w.relation,
    (select json_agg(json_build_object(
       'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
       'persistence', c.relpersistence, 'owner', pg_get_userbyid(c.relowner),
       'child', exists (
         select from pg_inherits i
         where i.inhrelid = c.oid
           and not exists (select from member o where o.root = m.root and o.oid = i.inhparent)),
       'subscribed', exists (select from pg_subscription_rel s where s.srrelid = c.oid))
       order by m.depth, n.nspname, c.relname)
     from member m
     join pg_class c on c.oid = m.oid
     join pg_namespace n on n.oid = c.relnamespace
     where m.root = r.oid) as tree,
    (select coalesce(json_agg(json_build_object(
       'name', a.attname, 'attnum', a.attnum,
       'type', format_type(a.atttypid, a.atttypmod),
       'baseType', format_type(b.type, b.typmod),
       'collation', (
         select format('%I.%I', n.nspname, k.collname)
         from pg_collation k
         join pg_namespace n on n.oid = k.collnamespace
         where k.oid = a.attcollation and k.oid <> b.typcollation),
       'notNull', a.attnotnull
         -- a child of a table that is inherited from may have dropped it, and one that is not valid says nothing of rows that are there
         and not exists (
           select from member m
           join pg_attribute o on o.attrelid = m.oid and o.attname = a.attname and not o.attisdropped
           where m.root = r.oid and not o.attnotnull)
         and not exists (
           select from pg_constraint k
           where k.conrelid = r.oid and k.contype = 'n' and k.conkey = array[a.attnum] and not k.convalidated),
       'bytesMax', case when b.typlen > 0 then (b.typlen + 7) / 8 * 8 when b.typstorage <> 'p' then 24 end,
       'generatedVirtual', a.attgenerated = 'v',
       'generatedFrom', case when a.attgenerated <> 'v' then array[]::text[] else array(
         select r.attname::text
         from pg_attrdef f
         join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid
                         and d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid
         join pg_attribute r on r.attrelid = a.attrelid and r.attnum = d.refobjsubid
         where f.adrelid = a.attrelid and f.adnum = a.attnum and r.attnum <> a.attnum
         order by r.attnum) end)
       order by a.attnum), '[]')
     from pg_attribute a
     join bottom b on b.relid = a.attrelid and b.attnum = a.attnum
     where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped) as columns
  from unnest($1::text[], $2::text[], $3::text[]) w (relation, schema, name)
  join pg_namespace n on n.nspname = w.schema
  join pg_class r on r.relnamespace = n.oid and r.relname = w.name`

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

/** Why triggers on a table do not see every change of it; null where they do. */
function faultOf(table: TableFacts): TidemarkError | null {
  const name = relationName(table.schema, table.name)
  const lack = lackOf(table, name)
  if (lack === null) return null
  return new TidemarkError({
    code: 'TIDEMARK_RELATION_UNSUPPORTED',
    what: `${name} ${lack.what} and cannot be captured`,
    mend: lack.mend,
  })
}

function lackOf(
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
