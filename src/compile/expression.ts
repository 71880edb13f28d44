import { parseSync } from 'libpg-query'
import type { Node } from 'libpg-query'
import { deparseSync } from 'pgsql-deparser'
import { isFields, treeText } from './walk.ts'

/**
 * A column of a relation of the algebra, by a name that no other column of the same view has: expressions need no
 * qualification, and a relation can be put anywhere in a query without renaming anything.
 */
export type ColumnId = string

/** An expression over columns: PostgreSQL's syntax tree with a {@link ColumnId} in each reference to a column. */
export type Expression = Node

/** A reference to a column. */
export const columnOf = (id: ColumnId): Expression => ({
  ColumnRef: { fields: [{ String: { sval: id } }] },
})

/** The column that an expression is, when it is nothing but a column. */
export function columnIn(expression: Expression): ColumnId | null {
  if (!('ColumnRef' in expression)) return null
  const [field, another] = expression.ColumnRef.fields ?? []
  if (field === undefined || another !== undefined || !('String' in field)) return null
  return field.String.sval ?? null
}

/** The columns that expressions, or any part of a syntax tree bound already, refer to. */
export function columnsIn(tree: unknown): ReadonlySet<ColumnId> {
  const found = new Set<ColumnId>()
  const look = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(look)
    else if (isFields(value)) {
      const id = 'ColumnRef' in value ? columnIn(value as Expression) : null
      if (id !== null) found.add(id)
      else Object.values(value).forEach(look)
    }
  }
  look(tree)
  return found
}

/**
 * Replaces nodes of a syntax tree, outermost first: where `change` returns a node, it stands there and is not looked
 * into again; where it returns undefined, the parts of the node are looked at, but not the queries of subqueries:
 * names mean something else there.
 */
export const replaced = <Tree>(tree: Tree, change: (node: Node) => Node | undefined): Tree =>
  replacedDeep(tree, (node) => {
    const instead = change(node)
    if (instead !== undefined || !('SubLink' in node)) return instead
    const { testexpr } = node.SubLink
    if (testexpr === undefined) return node
    return { SubLink: { ...node.SubLink, testexpr: replaced(testexpr, change) } }
  })

/** As {@link replaced}, within subqueries too. */
export function replacedDeep<Tree>(tree: Tree, change: (node: Node) => Node | undefined): Tree {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (!isFields(value)) return value
    const [kind] = Object.keys(value)
    if (kind !== undefined && /^[A-Z]/.test(kind)) {
      const instead = change(value as Node)
      if (instead !== undefined) return instead
    }
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, walk(part)]))
  }
  return walk(tree) as Tree
}

/** Puts expressions in place of columns. */
export const substituted = <Tree>(tree: Tree, columns: ReadonlyMap<ColumnId, Expression>): Tree =>
  replaced(tree, (node) => {
    const id = 'ColumnRef' in node ? columnIn(node) : null
    return id === null ? undefined : (columns.get(id) ?? node)
  })

/** An expression as SQL. */
export const sqlOf = (expression: Expression): string => deparseSync(expression)

/**
 * Whether the SQL that is printed of an expression is read back as the same expression: what the printer cannot say
 * is not put into a program.
 */
export function isPrintable(expression: Expression): boolean {
  try {
    const printed = `select ${sqlOf(expression)}`
    const again = parseSync(printed).stmts?.[0]?.stmt
    if (again === undefined || !('SelectStmt' in again)) return false
    const [target] = again.SelectStmt.targetList ?? []
    if (target === undefined || !('ResTarget' in target)) return false
    return plainText(target.ResTarget.val) === plainText(expression)
  } catch {
    return false
  }
}

/** How a call or a cast was spelt says nothing about what it means. */
const plainText = (tree: unknown): string =>
  treeText(tree).replaceAll(/,?"(?:funcformat|row_format|inh|relpersistence)":"?[^",}]*"?/g, '')

/** `a and b and c` as its parts; nothing for what is absent or plainly true. */
export function conjuncts(condition: Expression | undefined): readonly Expression[] {
  if (condition === undefined) return []
  if ('BoolExpr' in condition && condition.BoolExpr.boolop === 'AND_EXPR') {
    return (condition.BoolExpr.args ?? []).flatMap((part) => conjuncts(part))
  }
  if ('A_Const' in condition && condition.A_Const.boolval?.boolval === true) return []
  return [condition]
}

/** A constant of PostgreSQL's boolean type. */
export const booleanOf = (value: boolean): Expression => ({
  A_Const: { boolval: value ? { boolval: true } : {} },
})

/** `left op right`, of an operator that search_path `pg_catalog` finds. */
export const operation = (name: string, left: Expression, right: Expression): Expression => ({
  A_Expr: { kind: 'AEXPR_OP', name: [{ String: { sval: name } }], lexpr: left, rexpr: right },
})

/** Parts joined by OR. */
export const either = (parts: readonly Expression[]): Expression => ({
  BoolExpr: { boolop: 'OR_EXPR', args: [...parts] },
})

/** Parts joined by AND. */
export const both = (parts: readonly Expression[]): Expression => ({
  BoolExpr: { boolop: 'AND_EXPR', args: [...parts] },
})

/** `expression is null`. */
export const isNull = (arg: Expression): Expression => ({
  NullTest: { arg, nulltesttype: 'IS_NULL' },
})

/** `case when condition then value else otherwise end`. */
export const choice = (
  condition: Expression,
  value: Expression,
  otherwise: Expression,
): Expression => ({
  CaseExpr: {
    args: [{ CaseWhen: { expr: condition, result: value } }],
    defresult: otherwise,
  },
})

/** NULL of no type yet. */
export const nullConstant: Expression = { A_Const: { isnull: true } }

/** Whether two expressions are the same but for their places in the text. */
export const sameExpression = (left: Expression, right: Expression): boolean =>
  treeText(left) === treeText(right)
