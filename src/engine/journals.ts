import { changesTable } from '../compile/emit/inputs.ts'
import type { DesiredView } from '../define/desired.ts'
import type { BoundLookup, Journal, JournalInput } from '../define/journal-program.ts'
import type { SourceShape } from '../model/capture.ts'
import { logsPairs } from '../model/capture.ts'
import type { Configuration } from '../model/declaration.ts'
import type { Fault } from '../model/errors.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { JournalSource, NamespaceDeclaration } from '../model/journal.ts'
import { lookupsMax } from '../model/journal.ts'
import type { Queryable } from '../postgres/connection.ts'
import { columnsRead, understandLookup } from './lookup.ts'

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
  const sources = configuration.caches.flatMap((cache) => cache.sources)
  for (const { relation, rules, lookups } of sources) {
    if (views.has(relation)) continue
    const columns = tables.get(relation) ?? new Set()
    for (const column of [...rules.flat(), ...lookups.flatMap(columnsRead)]) columns.add(column)
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
      const shape = known.shapes.get(source.relation)
      const columns =
        view?.compiled.query.columns ??
        (shape?.columns ?? []).map(({ name, baseType, generatedVirtual }) => ({
          name,
          type: generatedVirtual ? 'generated on reading' : baseType,
        }))
      const at = {
        declaration,
        source,
        types: new Map(columns.map(({ name, type }) => [name, type])),
      }
      await checkKeys(transaction, at)
      const lookups = await lookupsOf(
        transaction,
        at,
        inputs.flatMap((input) => input.lookups).length,
      )
      inputs.push({
        ...source,
        lookups,
        ...(view === undefined
          ? { kind: 'table', pairs: shape !== undefined && logsPairs(shape) }
          : { kind: 'view', published: publishedBy(view) }),
      })
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
  const place = placeOf({ declaration, source })
  const columns = [...new Set(source.rules.flat())]
  for (const column of columns) typeIn({ declaration, source, types }, column)
  await checkTypes(
    transaction,
    { source, place },
    new Map(columns.map((name) => [name, types.get(name)])),
  )
}

/** The type of a column of the source. */
function typeIn({ declaration, source, types }: Keys, column: string): string {
  const type = types.get(column)
  if (type !== undefined) return type
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_KEY_INVALID',
    what: `${source.relation} has no column ${column}`,
    mend: `Name one of ${[...types.keys()].join(', ')}, or [] where it matters only that it changed.`,
    place: placeOf({ declaration, source }),
  })
}

const placeOf = ({ declaration, source }: Pick<Keys, 'declaration' | 'source'>): string =>
  `caches.${declaration.name}.dependsOn.${source.relation}`

async function checkTypes(
  transaction: Queryable,
  { source, place }: { readonly source: JournalSource; readonly place: string },
  types: ReadonlyMap<string, string | undefined>,
): Promise<void> {
  const named = [...types].map(([column, type]) => ({ column, type }))
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

/** The lookups of a source, numbered from `first` on. Throws where they tell what cannot be told apart. */
async function lookupsOf(
  transaction: Queryable,
  at: Keys,
  first: number,
): Promise<readonly BoundLookup[]> {
  const { source } = at
  const bound: BoundLookup[] = []
  for (const [i, lookup] of source.lookups.entries()) {
    const reads = columnsRead(lookup)
    const place = `${placeOf(at)}[lookup ${String(i)}]`
    const { query, types } = await understandLookup(transaction, lookup, {
      place,
      typeOf: (column) => typeIn(at, column),
      valueOf: (column) => `($1)[${String(reads.indexOf(column) + 1)}]::${typeIn(at, column)}`,
      called: 'as entries are to name them',
    })
    await checkTypes(transaction, { source, place }, types)
    const columns = [...types.keys()].toSorted()
    const clash = columns.find((column) => at.types.has(column))
    if (clash !== undefined || reads.length === 0 || first + i >= lookupsMax) {
      throw new TidemarkError({ ...lookupFault(source, { clash, reads }), place })
    }
    bound.push({ n: first + i, reads, columns, query })
  }
  return bound
}

/** A query that tells rows apart by a column of that name would take the value that was looked up for it. */
function lookupFault(
  { relation }: JournalSource,
  { clash, reads }: { readonly clash: string | undefined; readonly reads: readonly string[] },
): Pick<Fault, 'code' | 'what' | 'mend'> {
  const code = 'TIDEMARK_CACHE_RULE_INVALID'
  if (clash !== undefined) {
    return {
      code,
      what: `The lookup tells ${clash}, which is a column of ${relation} as well`,
      mend: `Call it otherwise: select … as ${clash}_found.`,
    }
  }
  return reads.length === 0
    ? {
        code,
        what: `The lookup reads no column of ${relation}`,
        mend: 'Write $column for columns of the changed row.',
      }
    : {
        code,
        what: `There are more than ${String(lookupsMax)} lookups in this namespace`,
        mend: 'Let a maintained view join what they look up, and depend on that.',
      }
}
