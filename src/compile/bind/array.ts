import type { Node, SelectStmt } from 'libpg-query'
import { must } from '../../base/assert.ts'
import { nodesOf } from '../syntax/walk.ts'

/** The query of ARRAY(…) as one that gives the array, NULL in place of an empty one. */
export const arrayAsAggregate = (select: SelectStmt): SelectStmt =>
  isPlain(select) ? aggregatedPlain(select) : aggregatedAround(select)

/** Whether a query computes its rows one by one, so that it can aggregate them itself. */
const isPlain = (select: SelectStmt): boolean =>
  select.op === 'SETOP_NONE' &&
  [
    select.groupClause,
    select.havingClause,
    select.distinctClause,
    select.limitCount,
    select.limitOffset,
    select.valuesLists,
    select.withClause,
  ].every((clause) => clause === undefined) &&
  !nodesOf([select.targetList, select.sortClause]).some(
    ({ kind }) => kind === 'FuncCall' || kind === 'SubLink',
  )

const arrayAgg = (value: Node, order: readonly Node[] | undefined): Node => ({
  FuncCall: {
    funcname: [{ String: { sval: 'array_agg' } }],
    args: [value],
    ...(order === undefined ? {} : { agg_order: [...order] }),
    funcformat: 'COERCE_EXPLICIT_CALL',
  },
})

function aggregatedPlain({ sortClause, ...select }: SelectStmt): SelectStmt {
  const value = must(valuesIn(select)[0], 'ARRAY has a column')
  return { ...select, targetList: [{ ResTarget: { val: arrayAgg(value, sortClause) } }] }
}

const valuesIn = ({ targetList }: SelectStmt): readonly Node[] =>
  (targetList ?? []).flatMap((node) =>
    'ResTarget' in node && node.ResTarget.val !== undefined ? [node.ResTarget.val] : [],
  )

/** The query stands in FROM and gives what it is ordered by as further columns, where it may. */
function aggregatedAround(select: SelectStmt): SelectStmt {
  const sorts = (select.sortClause ?? []).flatMap((node) => ('SortBy' in node ? [node.SortBy] : []))
  const byColumn = select.op !== 'SETOP_NONE' || select.distinctClause !== undefined
  // DISTINCT and set operations are ordered by what they show: by their only column.
  const further = byColumn ? [] : sorts.map(({ node }) => must(node, 'an item of ORDER BY'))
  const column = (at: number): Node => ({
    ColumnRef: {
      fields: [{ String: { sval: 'rows of array' } }, { String: { sval: `c${String(at)}` } }],
    },
  })
  const order = sorts.map((sort, at): Node => ({
    SortBy: { ...sort, node: column(byColumn ? 0 : at + 1) },
  }))
  const inner: SelectStmt =
    further.length === 0
      ? select
      : {
          ...select,
          targetList: [
            ...(select.targetList ?? []),
            ...further.map((val) => ({ ResTarget: { val } })),
          ],
        }
  const names = ['c0', ...further.map((_, at) => `c${String(at + 1)}`)]
  return {
    targetList: [
      { ResTarget: { val: arrayAgg(column(0), order.length === 0 ? undefined : order) } },
    ],
    fromClause: [
      {
        RangeSubselect: {
          subquery: { SelectStmt: inner },
          alias: {
            aliasname: 'rows of array',
            colnames: names.map((sval) => ({ String: { sval } })),
          },
        },
      },
    ],
    limitOption: 'LIMIT_OPTION_DEFAULT',
    op: 'SETOP_NONE',
  }
}
