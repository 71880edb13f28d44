import type { Node, SelectStmt } from 'libpg-query'
import type { Binding, BoundQuery, Scope } from './scope.ts'
import { relationName } from '../../model/ids.ts'
import { onlyOf } from './stored-read.ts'
import type { ReadableTable } from '../algebra/facts.ts'
import { NoRule, cteNamed, fieldsOf } from './scope.ts'
import { tableOf } from '../algebra/facts.ts'
import { aliasOf, impliedNames } from '../syntax/implied-names.ts'
import { printableStatement, replacedDeep } from '../algebra/expression.ts'
import type { Scan } from '../algebra/relation.ts'
import { targetName } from '../algebra/relation.ts'
import { nodesOf, treeText } from '../syntax/walk.ts'

interface Refused {
  readonly select: SelectStmt
  readonly parent: Scope | null
  readonly reason: NoRule
  /** That it is computed as it stands is the rule for it, and no want of one. */
  readonly isRule?: boolean
}

/**
 * A query for which there is no rule, to be computed as it stands. It must stand by itself: one that refers to the
 * query around it makes that one whole instead.
 */
export function bindWhole(
  binding: Binding,
  { select, parent, reason, isRule = false }: Refused,
): BoundQuery {
  if (refersOutside(select, parent)) throw reason
  if (needsTables(select)) throw reason
  const expanded = withReadColumns(
    binding,
    withDeterminedKeys(binding, withoutViews(binding, select)),
  )
  const reads = new Map<string, Scan>()
  for (const { kind, node } of nodesOf(expanded)) {
    if (kind !== 'RangeVar' || typeof node['relname'] !== 'string') continue
    const schema = typeof node['schemaname'] === 'string' ? node['schemaname'] : undefined
    if (schema === undefined) continue
    const table = tableOf(binding.facts, schema, node['relname'])
    if (table === undefined) throw reason
    const relation = relationName(schema, node['relname'])
    const of = node['inh'] === true ? table.target : onlyOf(table.target, relation)
    if (of.kind === 'stage') continue
    reads.set(targetName(of), {
      kind: 'scan',
      of,
      columns: readColumns(table).map((name) => ({ name, id: binding.fresh(name) })),
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
      refused: isRule ? null : { reason: reason.message, select, byte: reason.byte },
    },
  }
}

const readColumns = ({ columns, used }: ReadableTable): readonly string[] =>
  columns.map(({ name }) => name).filter((name) => used === null || used.has(name))

/**
 * Whether a query can only be computed over the tables themselves. A program has of a table the columns that are read:
 * names given by position in a join, a whole row, and columns of the system's own mean something else there.
 */
function needsTables(select: SelectStmt): boolean {
  const nodes = nodesOf(select)
  const tables = new Set(
    nodes.flatMap((each) =>
      each.kind === 'RangeVar' && each.node['schemaname'] !== undefined ? aliasOf(each) : [],
    ),
  )
  return nodes.some(({ kind, node }) => {
    if (kind === 'JoinExpr') return node['alias'] !== undefined
    const fields = (kind === 'ColumnRef' && fieldsOf({ ColumnRef: node })) || []
    const [first = '', second] = fields
    return fields.at(-1) === 'tableoid' || (second === '*' && tables.has(first))
  })
}

/** The columns of a table that an alias names by their position: those that are read. */
const withReadColumns = (binding: Binding, select: SelectStmt): SelectStmt =>
  replacedDeep({ SelectStmt: select }, (node) => {
    if (!('RangeVar' in node)) return undefined
    const { schemaname, relname = '', alias } = node.RangeVar
    const table = schemaname === undefined ? undefined : tableOf(binding.facts, schemaname, relname)
    const given = alias?.colnames
    if (table === undefined || given === undefined) return undefined
    const colnames = readColumns(table).map(
      (name) => given[table.allColumns.indexOf(name)] ?? { String: { sval: name } },
    )
    return { RangeVar: { ...node.RangeVar, alias: { ...alias, colnames } } }
  }).SelectStmt

/**
 * What GROUP BY a primary key determines becomes a key itself: a whole reads tables through views, of which PostgreSQL
 * knows no keys.
 */
function withDeterminedKeys(binding: Binding, select: SelectStmt): SelectStmt {
  const { larg, rarg, ...own } = select
  const inner = replacedDeep(own, (node) =>
    'SelectStmt' in node ? { SelectStmt: withDeterminedKeys(binding, node.SelectStmt) } : undefined,
  )
  const groupClause = [...(own.groupClause ?? []), ...determinedColumns(binding, own)]
  return {
    ...inner,
    ...(groupClause.length === 0 ? {} : { groupClause }),
    ...(larg === undefined ? {} : { larg: withDeterminedKeys(binding, larg) }),
    ...(rarg === undefined ? {} : { rarg: withDeterminedKeys(binding, rarg) }),
  }
}

/** Columns of a SELECT, beside those that it groups by, of tables by a key of which it groups. */
function determinedColumns({ facts }: Binding, select: SelectStmt): readonly Node[] {
  const { groupClause = [], fromClause, targetList, havingClause, sortClause } = select
  const grouped = new Set(groupClause.map((item) => treeText(item)))
  const isGrouped = (alias: string, column: string): boolean =>
    grouped.has(treeText(columnAt(alias, column)))
  const determined = nodesOf(fromClause).flatMap((each) => {
    const { relname, schemaname } = each.node
    if (each.kind !== 'RangeVar' || typeof schemaname !== 'string') return []
    const keys = tableOf(facts, schemaname, String(relname))?.keys ?? []
    return aliasOf(each).filter((alias) =>
      keys.some((key) => key.every((column) => isGrouped(alias, column))),
    )
  })
  return nodesOf([targetList, havingClause, sortClause]).flatMap(({ kind, node }) => {
    const [alias = '', column, more] = (kind === 'ColumnRef' && fieldsOf({ ColumnRef: node })) || []
    if (column === undefined || more !== undefined || !determined.includes(alias)) return []
    return isGrouped(alias, column) ? [] : [columnAt(alias, column)]
  })
}

const columnAt = (alias: string, column: string): Node => ({
  ColumnRef: { fields: [{ String: { sval: alias } }, { String: { sval: column } }] },
})

/** Whether a query uses a name that only the queries around it know: a CTE of theirs, or a table in their FROM. */
function refersOutside(select: SelectStmt, parent: Scope | null): boolean {
  if (parent === null) return false
  const nodes = nodesOf(select)
  const ctes = new Set(
    nodes.flatMap(({ kind, node }) =>
      kind === 'CommonTableExpr' ? [String(node['ctename'])] : [],
    ),
  )
  const aliases = new Set(nodes.flatMap((each) => aliasOf(each)))
  return nodes.some(({ kind, node }) => {
    if (kind === 'RangeVar' && node['schemaname'] === undefined) {
      const name = String(node['relname'])
      return !ctes.has(name) && cteNamed(parent, name) !== undefined
    }
    const [first, second] = kind === 'ColumnRef' ? (fieldsOf({ ColumnRef: node }) ?? []) : []
    return first !== undefined && second !== undefined && !aliases.has(first)
  })
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
