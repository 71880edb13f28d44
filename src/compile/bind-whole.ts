import type { Node, SelectStmt } from 'libpg-query'
import type { Binding, BoundQuery, Scope } from './bind-scope.ts'
import { NoRule, cteNamed, tableOf } from './bind-scope.ts'
import { impliedNames } from './bind-names.ts'
import { printableStatement, replacedDeep } from './expression.ts'
import type { Scan } from './relation.ts'
import { nodesOf } from './walk.ts'

interface Refused {
  readonly select: SelectStmt
  readonly parent: Scope | null
  readonly reason: NoRule
}

/**
 * A query for which there is no rule, to be computed as it stands. It must stand by itself: one that refers to the
 * query around it makes that one whole instead.
 */
export function bindWhole(binding: Binding, { select, parent, reason }: Refused): BoundQuery {
  if (refersOutside(select, parent)) throw reason
  const expanded = withoutViews(binding, select)
  const reads = new Map<string, Scan>()
  for (const { kind, node } of nodesOf(expanded)) {
    if (kind !== 'RangeVar' || typeof node['relname'] !== 'string') continue
    const schema = typeof node['schemaname'] === 'string' ? node['schemaname'] : undefined
    if (schema === undefined) continue
    if (node['inh'] !== true) throw new NoRule('ONLY')
    const table = tableOf(binding.facts, schema, node['relname'])
    if (table === undefined) throw reason
    reads.set(`${schema}.${node['relname']}`, {
      kind: 'scan',
      of: table.target,
      columns: table.columns
        .filter(({ name }) => table.used === null || table.used.has(name))
        .map(({ name }) => ({ name, id: binding.fresh(name) })),
    })
  }
  const printed = printableStatement({ SelectStmt: expanded })
  if (printed === null) throw new NoRule(`${reason.message}; and the query cannot be printed again`)
  const names = impliedNames(expanded)
  return {
    names,
    relation: {
      kind: 'whole',
      query: printed,
      reads: [...reads.values()],
      columns: names.map((name) => binding.fresh(name)),
      reason: reason.message,
      refused: { select, byte: reason.byte },
    },
  }
}

/** Whether a query uses a name that only the queries around it know: a CTE of theirs, or a table in their FROM. */
function refersOutside(select: SelectStmt, parent: Scope | null): boolean {
  if (parent === null) return false
  const aliases = new Set<string>()
  const ctes = new Set<string>()
  for (const { kind, node } of nodesOf(select)) {
    const alias = (node['alias'] as { aliasname?: string } | undefined)?.aliasname
    if (alias !== undefined) aliases.add(alias)
    if (kind === 'RangeVar' && alias === undefined) aliases.add(String(node['relname']))
    if (kind === 'CommonTableExpr') ctes.add(String(node['ctename']))
  }
  for (const { kind, node } of nodesOf(select)) {
    if (kind === 'RangeVar' && node['schemaname'] === undefined) {
      const name = String(node['relname'])
      if (!ctes.has(name) && cteNamed(parent, name) !== undefined) return true
    }
    if (kind === 'ColumnRef') {
      const [first, second] = (node['fields'] as readonly Node[] | undefined) ?? []
      const name = first !== undefined && 'String' in first ? (first.String.sval ?? '') : ''
      if (second !== undefined && !aliases.has(name)) return true
    }
  }
  return false
}

/** Ordinary views written out, so that nothing but tables is named. */
function withoutViews(binding: Binding, select: SelectStmt): SelectStmt {
  const { facts } = binding
  return replacedDeep({ SelectStmt: select }, (node) => {
    if (!('RangeVar' in node)) return undefined
    const { schemaname, relname = '', alias } = node.RangeVar
    const view = schemaname === undefined ? undefined : facts.views.get(`${schemaname}.${relname}`)
    if (view === undefined) return undefined
    const own = (alias?.colnames ?? []).map((name) =>
      'String' in name ? (name.String.sval ?? '') : '',
    )
    const colnames = view.columns.map((name, at) => ({ String: { sval: own[at] ?? name } }))
    return {
      RangeSubselect: {
        subquery: { SelectStmt: withoutViews(binding, view.select) },
        alias: { aliasname: alias?.aliasname ?? relname, colnames },
      },
    }
  }).SelectStmt
}
