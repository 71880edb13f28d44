import type { ColumnType } from '../../model/view.ts'
import type { Expression } from '../algebra/expression.ts'
import { columnOf, replaced, sqlOf } from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import type { Output } from '../algebra/relation.ts'
import { sqlName } from '../syntax/sql-text.ts'
import { treeText } from '../syntax/walk.ts'
import { imageText } from '../algebra/determine.ts'

/*
 * Under DISTINCT and in WITHIN GROUP equal values are one, and no ORDER BY says which of them is shown, 1.0 or 1.00.
 * There one of the equal values of a group, the first by its text, stands for all of them before they are aggregated.
 */

/** A column in which one of equal values stands for all. */
interface Look {
  readonly name: string
  /** What it stands for: the value, among the rows that the call is about. */
  readonly text: string
  readonly sql: string
}

/** Aggregates that say how many there are, or where among them, and show none. */
const counting = /^(count|rank|dense_rank|percent_rank|cume_dist)$/

interface Looked {
  readonly value: Expression
  readonly filter: Expression | undefined
}

const textOf = ({ value, filter }: Looked): string => treeText([value, filter])

/** The values of a call that no ORDER BY can determine. */
function lookedAt(call: Expression): readonly Looked[] {
  if (!('FuncCall' in call) || counting.test(functionName(call.FuncCall))) return []
  const { agg_within_group, agg_distinct, agg_filter, args = [], agg_order = [] } = call.FuncCall
  const sorted = agg_order.flatMap((item) => ('SortBy' in item ? (item.SortBy.node ?? []) : []))
  const values = agg_within_group === true ? sorted : agg_distinct === true ? args : []
  return values.map((value) => ({ value, filter: agg_filter }))
}

interface Grouping {
  readonly calls: readonly Output[]
  /** The keys, as they are named. */
  readonly by: readonly string[]
  readonly typeOf: (expression: Expression) => ColumnType
}

/** The columns that the calls of a grouping need. */
export function looksOf({ calls, by, typeOf }: Grouping): readonly Look[] {
  const looks = new Map<string, Look>()
  for (const looked of calls.flatMap(({ expression }) => lookedAt(expression))) {
    const { value, filter } = looked
    if (typeOf(value).imageEqual || looks.has(textOf(looked))) continue
    const sql = sqlOf(value)
    const parts = [...by, sql, ...(filter === undefined ? [] : [`(${sqlOf(filter)}) is true`])]
    looks.set(textOf(looked), {
      name: `look ${String(looks.size + 1)}`,
      text: textOf(looked),
      sql: `first_value(${sql}) over (partition by ${parts.join(', ')} order by ${imageText(sql, typeOf(value))} collate "C")`,
    })
  }
  return [...looks.values()]
}

/** A call over those columns. */
export function withLooks(looks: readonly Look[], call: Expression): Expression {
  if (looks.length === 0 || !('FuncCall' in call)) return call
  const { agg_filter, ...rest } = call.FuncCall
  const names = new Map(
    lookedAt(call).map((looked) => [
      treeText(looked.value),
      looks.find(({ text }) => text === textOf(looked))?.name,
    ]),
  )
  const { FuncCall: inside } = replaced({ FuncCall: rest }, (node) => {
    const name = names.get(treeText(node))
    return name === undefined ? undefined : columnOf(name)
  })
  return { FuncCall: { ...inside, ...(agg_filter === undefined ? {} : { agg_filter }) } }
}

/** FROM with those columns beside the ones that are kept. */
export function fromWithLooks(
  looks: readonly Look[],
  {
    from,
    kept,
    alias,
  }: { readonly from: string; readonly kept: readonly string[]; readonly alias: () => string },
): readonly string[] {
  if (looks.length === 0) return [from]
  const own = looks.map(({ name, sql }) => `${sql} as ${sqlName(name)}`)
  return [`from (`, `select ${[...kept, ...own].join(', ')}`, from, `) as ${alias()}`]
}
