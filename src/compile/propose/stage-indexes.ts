import type { ColumnType } from '../../model/view.ts'
import { columnIn } from '../algebra/expression.ts'
import type { IndexedColumn } from './indexes.ts'
import { sqlName } from '../syntax/sql-text.ts'
import type { Stage } from '../algebra/stages.ts'

/** Values of these types are never too long for an index. */
const shortTypes =
  /^(smallint|integer|bigint|numeric(\(\d+,\d+\))?|real|double precision|date|time(stamp)?(\(\d\))? with(out)? time zone|interval|uuid|oid|character(\(\d{1,3}\))?|character varying\(\d{1,3}\))$/

/** Texts of any length are found by their hash. */
const hashedTypes = /^(text|character varying|bpchar)$/

/** What refreshes look up in a stage that others read, by these columns each time, as `using …` of an index on its table. */
export function stageIndexes(
  lookups: readonly (readonly IndexedColumn[])[],
  { outputs }: Stage,
  types: readonly ColumnType[],
): readonly string[] {
  const typeOf = (id: string): string =>
    types[outputs.findIndex((output) => output.id === id)]?.type ?? ''
  return [...new Set(lookups.flatMap((columns) => indexOf(columns, typeOf)))]
}

function indexOf(
  columns: readonly IndexedColumn[],
  typeOf: (id: string) => string,
): readonly string[] {
  const named = columns.map(({ expression, direction }) => {
    const id = columnIn(expression)
    return { id, direction, type: id === null ? '' : typeOf(id) }
  })
  // An order is served as far as the index goes with it, a lookup by any of its columns.
  const stop = named.findIndex(({ type }) => !shortTypes.test(type))
  const isOrder = named.some(({ direction }) => direction !== '')
  const short =
    isOrder && stop >= 0 ? named.slice(0, stop) : named.filter(({ type }) => shortTypes.test(type))
  if (short.length > 0) {
    return [
      `using btree (${short.map(({ id, direction }) => `${sqlName(id ?? '')}${direction}`).join(', ')})`,
    ]
  }
  const text = isOrder ? undefined : named.find(({ type }) => hashedTypes.test(type))
  return text === undefined ? [] : [`using hash (${sqlName(text.id ?? '')})`]
}
