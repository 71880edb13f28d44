import { formatDuration } from '../../base/duration.ts'
import type { readCaches, StoredKey } from '../../engine/cache-overview.ts'
import type { Style } from '../surroundings.ts'
import { counted } from './figures.ts'
import { renderTable } from './table.ts'

/** Draws the caches and cache tables of a database. */
export function renderCaches(
  { caches, tables }: Awaited<ReturnType<typeof readCaches>>,
  style: Style,
): readonly string[] {
  if (caches.length + tables.length === 0) {
    return ['No cache is declared: write it under caches or cacheTables in the configuration.']
  }
  const journals = renderTable(
    [
      { title: 'cache', cell: ({ name }) => name },
      { title: 'position', align: 'right', cell: ({ position }) => String(position) },
      { title: 'kept', align: 'right', importance: 1, cell: ({ kept }) => String(kept) },
      { title: 'behind', align: 'right', cell: ({ behindMs }) => formatDuration(behindMs) },
      { title: 'listening', align: 'right', cell: ({ listeners }) => String(listeners) },
      { title: 'roles', importance: 2, cell: ({ roles }) => roles.join(', ') },
      { title: 'depends on', below: true, cell: ({ dependsOn }) => dependsOn.join(', ') },
    ],
    caches,
    style,
  )
  const kept = renderTable(
    [
      { title: 'cache table', cell: ({ name }) => name },
      { title: 'rows', align: 'right', cell: ({ rows }) => (rows === null ? '?' : String(rows)) },
      { title: 'size', align: 'right', cell: ({ bytes }) => `${Math.ceil(bytes / 1_024)} kB` },
      { title: 'ttl', cell: ({ ttlMs }) => (ttlMs === null ? '' : formatDuration(ttlMs)) },
      { title: 'of', below: true, cell: ({ sources, views }) => [...sources, ...views].join(', ') },
    ],
    tables,
    style,
  )
  const gap = caches.length > 0 && tables.length > 0 ? [''] : []
  return [...(caches.length > 0 ? journals : []), ...gap, ...(tables.length > 0 ? kept : [])]
}

/** Draws the entries of a cache. */
export function renderKeys(
  keys: readonly StoredKey[],
  { namespace, limit }: { readonly namespace: string; readonly limit: number },
  style: Style,
): readonly string[] {
  if (keys.length === 0) return [`The cache ${namespace} has no such entry in this Redis.`]
  const table = renderTable(
    [
      { title: 'key', cell: ({ key }) => key, widthMin: 30 },
      { title: 'state', cell: ({ state }) => state },
      { title: 'age', align: 'right', cell: ({ ageMs }) => formatDuration(ageMs) },
      { title: 'left', align: 'right', cell: ({ ttlMs }) => formatDuration(ttlMs) },
      { title: 'bytes', align: 'right', importance: 1, cell: ({ bytes }) => String(bytes) },
    ],
    keys,
    style,
  )
  const more =
    keys.length < limit
      ? []
      : [`No more are shown than ${counted(limit, 'entry', 'entries')}: --limit.`]
  return [...table, ...more]
}
