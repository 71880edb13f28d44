import type { CommonTableExpr, Node, SelectStmt } from 'libpg-query'
import { impliedNames, stringOf } from '../syntax/implied-names.ts'
import type { Binding, BoundQuery, Scope } from './scope.ts'
import { NoRule, cteNamed } from './scope.ts'
import { bindWhole } from './whole.ts'
import { nodesOf } from '../syntax/walk.ts'

/** Whether a query of WITH RECURSIVE reads itself; others in the same WITH need not. */
export const isRecursive = ({ ctename, ctequery }: CommonTableExpr): boolean =>
  readNames(ctequery).includes(ctename ?? '')

/** The names without schema that a query has in FROM. */
const readNames = (tree: unknown): readonly string[] =>
  nodesOf(tree).flatMap(({ kind, node }) =>
    kind === 'RangeVar' && node['schemaname'] === undefined ? [String(node['relname'])] : [],
  )

/**
 * A recursive query of WITH is a stage of its own, computed afresh whenever a table that it reads has changed and
 * compared with the rows that are stored of it; what stands above follows from the difference.
 *
 * That is exact because the query stands by itself: it reads tables and queries of WITH, which are written into it, and
 * no row of a query around it, so its rows are a function of these tables alone. Where no table that it reads has
 * changed, it has not.
 */
export function bindRecursive(
  binding: Binding,
  written: CommonTableExpr,
  scope: Scope,
): BoundQuery {
  const { ctename = '', location } = written
  const names = columnNames(written)
  const target = (name: string): Node => ({
    ResTarget: {
      name,
      val: { ColumnRef: { fields: [{ String: { sval: ctename } }, { String: { sval: name } }] } },
    },
  })
  const select: SelectStmt = {
    withClause: {
      ctes: [...readBy(written, scope), written].map((each) => ({ CommonTableExpr: each })),
      recursive: true,
    },
    targetList: names.map(target),
    fromClause: [{ RangeVar: { relname: ctename, inh: true, relpersistence: 'p' } }],
    limitOption: 'LIMIT_OPTION_DEFAULT',
    op: 'SETOP_NONE',
  }
  const reason = new NoRule('WITH RECURSIVE that refers to the query around it', location ?? null)
  return bindWhole(binding, { select, parent: scope, reason, isRule: true })
}

function columnNames({
  ctequery,
  aliascolnames,
  search_clause,
  cycle_clause,
}: CommonTableExpr): readonly string[] {
  const own =
    ctequery !== undefined && 'SelectStmt' in ctequery ? impliedNames(ctequery.SelectStmt) : []
  const further = [
    search_clause?.search_seq_column,
    cycle_clause?.cycle_mark_column,
    cycle_clause?.cycle_path_column,
  ]
  return [
    ...own.map((name, at) => stringOf(aliascolnames?.[at]) ?? name),
    ...further.filter((name) => name !== undefined),
  ]
}

/** The other queries of WITH that one reads, each after those that it reads itself. */
function readBy(written: CommonTableExpr, scope: Scope): readonly CommonTableExpr[] {
  const found = new Map<string, CommonTableExpr>()
  const note = (each: CommonTableExpr): void => {
    const inner = new Set(
      nodesOf(each.ctequery).flatMap(({ kind, node }) =>
        kind === 'CommonTableExpr' ? [String(node['ctename'])] : [],
      ),
    )
    for (const name of readNames(each.ctequery)) {
      if (name === each.ctename || found.has(name) || inner.has(name)) continue
      const cte = cteNamed(scope, name)
      if (cte === undefined) continue
      note(cte.written)
      found.set(name, cte.written)
    }
  }
  note(written)
  return [...found.values()]
}
