import type { PlanStep } from '../model/plan.ts'
import { literal, qualifiedName } from '../postgres/identifier.ts'
import type { Actual, CatalogueRow } from './actual.ts'
import { digestOf } from './actual.ts'
import type { Row } from './catalogue-rows.ts'
import { differing, upsert } from './catalogue-rows.ts'
import type { TableCache } from './table-cache.ts'
import { tableCacheProgram } from './table-cache-program.ts'
import { stepOf } from './view-steps.ts'

/**
 * Makes a table of the user's a cache that holds nothing untrue. A transaction of its own: triggers wait out open writers, and
 * what is written after them leaves barriers. The rows that are there go, for nobody knows when they were read.
 */
export function tableCacheSteps(cache: TableCache, actual: Actual): readonly PlanStep[] {
  const { name, key, rules, views } = cache
  const program = tableCacheProgram(cache)
  const sources = [...new Set(rules.map(({ on }) => on))]
  const row: Row = {
    name,
    relation: qualifiedName(name),
    key_columns: key.map((column) => column.name),
    sources,
    views,
    updated_at: cache.updatedAt,
    ttl_ms: cache.ttlMs,
    fill_within_ms: cache.fillWithinMs,
    unfenced: cache.unfenced,
    roles: cache.roles,
    digest: digestOf(program.install),
    uninstall: { json: program.uninstall },
  }
  const found = actual.catalogue.cache_table.find((table) => table['name'] === name)
  if (differing(row, found).length === 0) return []
  const after =
    views.length === 0 ? '' : `, filled from ${views.join(', ')} once they have the write`
  return [
    stepOf({
      kind: found === undefined ? 'create' : 'change',
      noun: 'cache',
      name,
      detail: `emptied by writes to ${sources.join(', ')}${after}; it begins empty`,
      lock: `SHARE ROW EXCLUSIVE on ${[...sources, name].join(', ')}`,
      expectedMs: 50,
      ownTransaction: true,
      sql: [...uninstallOf(found), ...program.install, upsert('cache_table', row, ['name'])],
    }),
  ]
}

function uninstallOf(row: CatalogueRow | undefined): readonly string[] {
  const statements = row?.['uninstall']
  return Array.isArray(statements)
    ? statements.filter((statement) => typeof statement === 'string')
    : []
}

/** Tables that are no caches of Tidemark's any more: they stay, with their rows. */
export function forgetTableCaches(
  caches: readonly TableCache[],
  actual: Actual,
): readonly PlanStep[] {
  const declared = new Set<unknown>(caches.map(({ name }) => name))
  return actual.catalogue.cache_table
    .filter((row) => !declared.has(row['name']))
    .map((row) => {
      const name = String(row['name'])
      return stepOf({
        kind: 'drop',
        noun: 'cache',
        name,
        detail: 'no longer declared; its triggers go, the table stays',
        lock: `ACCESS EXCLUSIVE on ${name}`,
        expectedMs: 50,
        ownTransaction: true,
        sql: [
          ...uninstallOf(row),
          `delete from tidemark.cache_table where name = ${literal(name)}`,
        ],
      })
    })
}
