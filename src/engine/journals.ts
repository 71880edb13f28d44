import { changesTable } from '../compile/emit/inputs.ts'
import type { DesiredView } from '../define/desired.ts'
import type { Journal, JournalInput } from '../define/journal-program.ts'
import type { SourceShape } from '../model/capture.ts'
import type { Configuration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { JournalSource, NamespaceDeclaration } from '../model/journal.ts'
import type { Queryable } from '../postgres/connection.ts'

/** What a namespace may depend on. */
interface Known {
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
  readonly views: readonly DesiredView[]
}

/** Tables that caches depend on, with the columns by which they tell changes apart. */
export function cachedTables(
  configuration: Configuration,
): ReadonlyMap<RelationName, ReadonlySet<string>> {
  const views = new Set(configuration.views.map(({ name }) => name))
  const tables = new Map<RelationName, Set<string>>()
  for (const { relation, rules } of configuration.caches.flatMap(({ sources }) => sources)) {
    if (views.has(relation)) continue
    const columns = tables.get(relation) ?? new Set()
    for (const column of rules.flat()) columns.add(column)
    tables.set(relation, columns)
  }
  return tables
}

/** Whether a cache wants to know which rows of a view changed. */
export const isCached = ({ caches }: Configuration, view: RelationName): boolean =>
  caches.some(({ sources }) => sources.some(({ relation }) => relation === view))

/**
 * The namespaces of a configuration with all that their functions are made of.
 * Throws `TIDEMARK_CACHE_KEY_INVALID` where changes cannot be told apart as declared.
 */
export async function journalsOf(
  transaction: Queryable,
  configuration: Configuration,
  known: Known,
): Promise<readonly Journal[]> {
  const journals: Journal[] = []
  for (const declaration of configuration.caches) {
    const inputs: JournalInput[] = []
    for (const source of declaration.sources) {
      const view = known.views.find(({ compiled }) => compiled.name === source.relation)
      const columns =
        view?.compiled.query.columns ??
        (known.shapes.get(source.relation)?.columns ?? []).map(
          ({ name, baseType, generatedVirtual }) => ({
            name,
            type: generatedVirtual ? 'generated on reading' : baseType,
          }),
        )
      await checkKeys(transaction, {
        declaration,
        source,
        types: new Map(columns.map(({ name, type }) => [name, type])),
      })
      inputs.push(
        view === undefined
          ? { ...source, kind: 'table' }
          : { ...source, kind: 'view', published: publishedBy(view) },
      )
    }
    const { name, retainMs, roles } = declaration
    journals.push({ name, inputs, retainMs, roles })
  }
  return journals
}

/** Where a view tells its changes row by row; null when it does not. */
function publishedBy({ compiled }: DesiredView): ReturnType<typeof changesTable> | null {
  if (compiled.incremental?.publishes !== true) return null
  return changesTable({ name: compiled.name, columns: compiled.query.columns })
}

interface Keys {
  readonly declaration: NamespaceDeclaration
  readonly source: JournalSource
  /** Columns of the source, with their types as PostgreSQL prints them. */
  readonly types: ReadonlyMap<string, string>
}

const usable = 'smallint, integer, bigint, uuid, text, varchar, boolean, date and enums'

/** A value has to look the same wherever it is printed: a number with a scale, a float or a time does not. */
async function checkKeys(
  transaction: Queryable,
  { declaration, source, types }: Keys,
): Promise<void> {
  const place = `caches.${declaration.name}.dependsOn.${source.relation}`
  const columns = [...new Set(source.rules.flat())]
  const missing = columns.find((column) => !types.has(column))
  if (missing !== undefined) {
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_KEY_INVALID',
      what: `${source.relation} has no column ${missing}`,
      mend: `Name one of ${[...types.keys()].join(', ')}, or [] where it matters only that it changed.`,
      place,
    })
  }
  const named = columns.map((column) => ({ column, type: types.get(column) }))
  const [refused] = await transaction.query<{ column: string; type: string }>(
    `select u.column, u.type
     from json_to_recordset($1) u ("column" text, type text)
     left join pg_type t on t.oid = to_regtype(u.type)
     where (t.typtype = 'e'
            or t.oid = any ('{int2,int4,int8,uuid,text,varchar,bool,date}'::regtype[])) is not true
     limit 1`,
    [JSON.stringify(named)],
  )
  if (refused === undefined) return
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_KEY_INVALID',
    what: `Changes of ${source.relation} cannot be told apart by ${refused.column}, which is ${refused.type}`,
    mend: `Name columns of the types ${usable}, or [] where it matters only that it changed.`,
    place,
  })
}
