import { must } from '../../base/assert.ts'
import { parseDuration } from '../../base/duration.ts'
import { relationOf } from '../../model/ids.ts'
import type { JournalSource, NamespaceDeclaration } from '../../model/journal.ts'
import type { TableCacheDeclaration } from '../../model/table-cache.ts'
import type { CacheConfig, CacheTableConfig, LookupConfig, ToldApart } from './tidemark-config.ts'

/** A span that was checked to be one. */
export const millisecondsOf = (text: string): number =>
  must(parseDuration(text), 'a duration is checked before it is filled in')

/**
 * A list of columns is one rule; an empty one asks for nothing but that it changed. Columns are in the order of their names, so
 * that a rule is one rule however it is written.
 */
function rulesOf(told: ToldApart): Pick<JournalSource, 'rules' | 'lookups'> {
  const isColumns = told.every((item) => typeof item === 'string')
  const written: readonly (readonly string[] | LookupConfig)[] = isColumns ? [told] : told
  const lists = written.flatMap((rule) => ('lookup' in rule ? [] : [rule.toSorted()]))
  const rules = new Map(lists.map((rule) => [JSON.stringify(rule), rule]))
  return {
    rules: [...rules.values()],
    lookups: written.flatMap((rule) => ('lookup' in rule ? [rule.lookup] : [])),
  }
}

/** Namespaces with their defaults. */
export const fillCaches = (
  caches: Readonly<Record<string, CacheConfig>>,
): readonly NamespaceDeclaration[] =>
  Object.entries(caches).map(([name, { dependsOn, retain, roles }]) => ({
    name,
    sources: Object.entries(dependsOn).map(([relation, columns]) => ({
      relation: relationOf(relation),
      ...rulesOf(columns),
    })),
    retainMs: millisecondsOf(retain ?? '1h'),
    roles: roles ?? [],
  }))

/** Cache tables with their defaults. */
export const fillCacheTables = (
  tables: Readonly<Record<string, CacheTableConfig>>,
): readonly TableCacheDeclaration[] =>
  Object.entries(tables).map(([name, table]) => ({
    name: relationOf(name),
    key: table.key,
    ttlMs: table.ttl === undefined ? null : millisecondsOf(table.ttl),
    updatedAt: table.updatedAt ?? null,
    rules: table.rules.map(({ on, columns, key, lookup }) => ({
      on: relationOf(on),
      columns: columns ?? null,
      key: key ?? null,
      lookup: lookup ?? null,
    })),
    views: (table.views ?? []).map(relationOf),
    fillWithinMs: millisecondsOf(table.fillWithin ?? '5m'),
    unfenced: table.unfenced ?? 'skip',
    roles: table.roles ?? [],
  }))
