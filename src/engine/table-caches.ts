import { readSourceShape } from '../capture/shape.ts'
import type { BoundCacheRule, KeyColumn, NeededColumn, TableCache } from '../define/table-cache.ts'
import type { SourceShape } from '../model/capture.ts'
import type { Configuration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { CacheRule, TableCacheDeclaration } from '../model/table-cache.ts'
import type { Queryable } from '../postgres/connection.ts'
import { identifier } from '../postgres/identifier.ts'
import type { UnderstoodLookup } from './lookup.ts'
import { columnsRead, understandLookup } from './lookup.ts'

/** Where something stands in the configuration, and the table that it is about. */
interface Place {
  readonly place: string
  readonly shape: SourceShape
}

/**
 * The cache tables of a configuration with their tables and columns found. Leaves nothing in the database.
 * Throws `TIDEMARK_CACHE_RULE_INVALID`, and what is wrong with a table or a view.
 */
export async function tableCachesOf(
  transaction: Queryable,
  configuration: Configuration,
  captured: ReadonlyMap<RelationName, SourceShape>,
): Promise<readonly TableCache[]> {
  const caches: TableCache[] = []
  for (const declaration of configuration.cacheTables) {
    const { name, views } = declaration
    const at = { place: `cacheTables.${name}`, shape: await readSourceShape(transaction, name) }
    const unknown = views.find((view) => !configuration.views.some((known) => known.name === view))
    if (unknown !== undefined) {
      throw new TidemarkError({
        code: 'TIDEMARK_VIEW_UNKNOWN',
        what: `${unknown} is no view of this configuration`,
        mend: 'Declare it under views: what a fill reads of it is then known.',
        place: `${at.place}.views`,
      })
    }
    const key = declaration.key.map((column) => ({ name: column, type: typeOf(column, at) }))
    const rules: BoundCacheRule[] = []
    for (const [i, rule] of declaration.rules.entries()) {
      const place = `${at.place}.rules[${String(i)}]`
      const shape = await readSourceShape(transaction, rule.on)
      rules.push({
        ...(await boundRule(transaction, rule, { key, at: { place, shape } })),
        captured: captured.has(rule.on),
      })
    }
    caches.push({ ...settingsOf(declaration, at), key, rules, timeZone: configuration.timeZone })
  }
  return caches
}

function settingsOf(
  { name, views, updatedAt, ttlMs, fillWithinMs, unfenced, roles }: TableCacheDeclaration,
  at: Place,
): Omit<TableCache, 'key' | 'rules' | 'timeZone'> {
  if (updatedAt !== null && !/^timestamp/.test(typeOf(updatedAt, at))) {
    throw invalid(
      `Column ${updatedAt} of ${name} is ${typeOf(updatedAt, at)}, which says nothing about time`,
      'Name a column of type timestamptz or timestamp.',
      at.place,
    )
  }
  return { name, views, updatedAt, ttlMs, fillWithinMs, unfenced, roles }
}

const invalid = (what: string, mend: string, place: string): TidemarkError =>
  new TidemarkError({ code: 'TIDEMARK_CACHE_RULE_INVALID', what, mend, place })

function typeOf(column: string, { shape, place }: Place): string {
  const found = shape.columns.find(({ name }) => name === column)
  if (found !== undefined) return found.baseType
  const names = shape.columns.map(({ name }) => name).join(', ')
  throw invalid(`${shape.name} has no column ${column}`, `Name one of ${names}.`, place)
}

interface Bound {
  readonly key: readonly KeyColumn[]
  readonly at: Place
}

async function boundRule(
  transaction: Queryable,
  rule: CacheRule,
  { key, at }: Bound,
): Promise<Omit<BoundCacheRule, 'captured'>> {
  const { shape } = at
  for (const column of rule.columns ?? []) typeOf(column, at)
  const { query, types } =
    rule.lookup === null
      ? ofColumns(rule.key ?? {}, at)
      : await understandLookup(transaction, rule.lookup, {
          place: at.place,
          typeOf: (column) => typeOf(column, at),
          valueOf: (column) => `($1).${identifier(column)}`,
          called: 'like columns of the key',
        })
  const known = key.filter(({ name }) => types.has(name))
  const stray = [...types.keys()].find((name) => !key.some((column) => column.name === name))
  if (stray !== undefined || known.length === 0) {
    throw invalid(
      stray === undefined
        ? 'The rule tells no column of the key'
        : `The rule tells ${stray}, which is no column of the key`,
      `The key is ${key.map(({ name }) => name).join(', ')}: name one of these, or several.`,
      at.place,
    )
  }
  return {
    on: rule.on,
    firing: shape.kind === 'plain' && !shape.subscribed && !shape.child ? 'statement' : 'row',
    needs: needsOf(rule, shape),
    columns: rule.columns,
    known,
    query,
    mayFail: rule.lookup !== null || known.some(({ name, type }) => types.get(name) !== type),
  }
}

/** Columns that the query of a rule reads, and those that it watches. */
function needsOf({ key, lookup, columns }: CacheRule, shape: SourceShape): readonly NeededColumn[] {
  const reads = new Set(lookup === null ? Object.values(key ?? {}) : columnsRead(lookup))
  return shape.columns
    .filter(({ name }) => reads.has(name) || columns?.includes(name) === true)
    .map(({ name, attnum, baseType, collation }) => ({
      name,
      attnum,
      type: baseType,
      collation,
      read: reads.has(name),
    }))
}

function ofColumns(columns: Readonly<Record<string, string>>, at: Place): UnderstoodLookup {
  const entries = Object.entries(columns)
  return {
    query: `select ${entries.map(([key, column]) => `($1).${identifier(column)} as ${identifier(key)}`).join(', ')}`,
    types: new Map(entries.map(([key, column]) => [key, typeOf(column, at)])),
  }
}
