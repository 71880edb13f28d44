import type { ColumnType } from '../../model/view.ts'
import { columnIn, columnOf } from '../algebra/expression.ts'
import type { StoredColumn } from '../emit/stored-stage.ts'
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
  { outputs }: Pick<Stage, 'outputs'>,
  types: readonly ColumnType[],
): readonly string[] {
  const typeOf = (id: string): string =>
    types[outputs.findIndex((output) => output.id === id)]?.type ?? ''
  return [...new Set(lookups.flatMap((columns) => indexOf(columns, typeOf)))]
}

/** What is looked up in a stage, and its key. */
interface KeyedLookups {
  readonly lookups: readonly (readonly IndexedColumn[])[]
  /** Some of it is looked up by the whole key, or by a part of it: an index that goes on with the rest finds rows by key. */
  readonly byKey: boolean
}

/** Lookups by a part of the key of a stage, which are its outputs `key`, made such by all of it; of short types alone. */
export function throughKey(
  lookups: readonly (readonly IndexedColumn[])[],
  key: readonly StoredColumn[],
): KeyedLookups {
  const ids = key.map(({ name }) => name)
  const isShort = key.length > 0 && key.every(({ type }) => shortTypes.test(type.type))
  const isPart = (columns: readonly IndexedColumn[]): boolean =>
    columns.length > 0 &&
    columns.every(
      ({ expression, direction }) => direction === '' && ids.includes(columnIn(expression) ?? ''),
    )
  if (!isShort || !lookups.some(isPart)) return { lookups, byKey: false }
  return {
    lookups: lookups.map((columns) => {
      if (!isPart(columns)) return columns
      const named = columns.map(({ expression }) => columnIn(expression))
      const rest = ids.filter((id) => !named.includes(id))
      return [...columns, ...rest.map((id) => ({ expression: columnOf(id), direction: '' }))]
    }),
    byKey: true,
  }
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
