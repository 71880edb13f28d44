import { relationName } from '../../src/model/ids.ts'
import type { BindFacts } from '../../src/compile/algebra/facts.ts'

/** Tables of schema public with columns of integers, `id` the key of each, for tests that bind without a server. */
export const integerTables = (
  columns: Readonly<Record<string, readonly string[]>>,
  aggregates: readonly string[],
): BindFacts => ({
  tables: new Map(
    Object.entries(columns).map(([name, names]) => [
      `public.${name}`,
      {
        target: { kind: 'source', name: relationName('public', name) },
        columns: names.map((column) => ({
          name: column,
          notNull: column === 'id',
          type: 'integer',
        })),
        keys: [['id']],
        allColumns: names,
        used: null,
      },
    ]),
  ),
  views: new Map(),
  aggregates: new Set(aggregates),
  setReturning: new Set(),
})
