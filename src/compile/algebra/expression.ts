import { parseSync } from 'libpg-query'
import type { Node } from 'libpg-query'
import { deparseSync } from 'pgsql-deparser'
import { sqlName } from '../syntax/sql-text.ts'
import { isFields, startsWithCapital, treeText } from '../syntax/walk.ts'
import { printedRow } from '../syntax/whole-row.ts'

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

/** As {@link replaced}, within subqueries too. What has nothing replaced in it comes back as it is, not as a copy. */
export function replacedDeep<Tree>(tree: Tree, change: (node: Node) => Node | undefined): Tree {
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) {
      const items = value.map(walk)
      return items.every((item, at) => item === value[at]) ? value : items
    }
    if (!isFields(value)) return value
    const [kind] = Object.keys(value)
    if (kind !== undefined && startsWithCapital(kind)) {
      const instead = change(value as Node)
      if (instead !== undefined) return instead
    }
    let copy: Record<string, unknown> | null = null
    for (const name of Object.keys(value)) {
      const part = walk(value[name])
      if (part !== value[name]) (copy ??= { ...value })[name] = part
    }
    return copy ?? value
  }
  return walk(tree) as Tree
}

/** Puts expressions in place of columns. */
export const substituted = <Tree>(tree: Tree, columns: ReadonlyMap<ColumnId, Expression>): Tree =>
  replaced(tree, (node) => {
    const id = 'ColumnRef' in node ? columnIn(node) : null
    return id === null ? undefined : (columns.get(id) ?? node)
  })

/**
 * An expression as SQL that PostgreSQL reads as the same expression.
 *
 * The printer leaves out parentheses here and there, `(not a) is null`. What is read back as something else is printed
 * with COALESCE of one argument around operands, which is that argument. Throws {@link Unprintable} where that does not
 * help either.
 */
export function sqlOf(expression: Expression): string {
  const known = printed.get(expression)
  if (known !== undefined) return known
  // Copies of one expression are printed again and again, and to read back what was printed is what takes the time.
  const text = JSON.stringify(expression)
  const sql = printedTexts.get(text) ?? printedAnew(expression)
  if (printedTexts.size >= printedTextsMax) printedTexts.clear()
  printedTexts.set(text, sql)
  printed.set(expression, sql)
  return sql
}

const printed = new WeakMap<Expression, string>()
const printedTexts = new Map<string, string>()
const printedTextsMax = 10_000

function printedAnew(expression: Expression): string {
  const id = columnIn(expression)
  if (id !== null) return sqlName(id)
  const printable = replacedDeep(expression, printedRow)
  const plain = onOneLine(textOf(printable))
  if (isStatement(expression) || readsBack(plain, printable)) return plain
  const careful = parenthesised(printable)
  const sql = onOneLine(textOf(careful))
  if (!readsBack(sql, careful))
    throw new Unprintable(`an expression cannot be printed again: ${plain}`)
  return sql
}

const textOf = (tree: Node): string => deparseSync(replacedDeep(tree, bracketed))

/**
 * A field or an element of a value that the printer would put before it without parentheses, `case … end.x`: it does not do so where
 * the value is a part of one itself, and that of which no part is taken is the whole.
 */
function bracketed(node: Node): Node | undefined {
  if (!('A_Indirection' in node)) return undefined
  const { arg, indirection = [] } = node.A_Indirection
  if (arg === undefined || !bareKinds.some((kind) => kind in arg)) return undefined
  const whole: Node = { A_Indirection: { arg: replacedDeep(arg, bracketed), indirection: [] } }
  return { A_Indirection: { arg: whole, indirection: replacedDeep(indirection, bracketed) } }
}

const bareKinds = ['CaseExpr', 'CoalesceExpr', 'MinMaxExpr', 'A_ArrayExpr', 'CollateClause']

/** Literals without line breaks in them: programs are put together from lines, which are moved to the right. */
const onOneLine = (sql: string): string =>
  sql.includes('\n') ? sql.replaceAll(literals, (text) => literalOnOneLine(text)) : sql

const literals = /\bE'(?:[^'\\]|''|\\[\s\S])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"/g

function literalOnOneLine(text: string): string {
  if (!text.includes('\n') || text.startsWith('"')) return text
  const escaped = text.startsWith('E') ? text : `E${text.replaceAll('\\', '\\\\')}`
  return escaped.replaceAll('\n', '\\n')
}

/** An item of FROM as SQL, without alias. The printer writes items of FROM within a SELECT only. */
export function fromItemText(item: Node): string {
  if ('RangeSubselect' in item && item.RangeSubselect.subquery !== undefined) {
    return `(${sqlOf(item.RangeSubselect.subquery)})`
  }
  const select: Node = {
    SelectStmt: { fromClause: [item], limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
  }
  return sqlOf(select).replace(/^\s*select\s*from\s*/i, '')
}

/** Thrown for an expression that has no text that is known to mean the same. */
class Unprintable extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Unprintable'
  }
}

const isStatement = (expression: Expression): boolean => 'SelectStmt' in expression

function readsBack(sql: string, expression: Expression): boolean {
  try {
    const again = parseSync(`select ${sql}`).stmts?.[0]?.stmt
    if (again === undefined || !('SelectStmt' in again)) return false
    const [target, another] = again.SelectStmt.targetList ?? []
    if (target === undefined || another !== undefined || !('ResTarget' in target)) return false
    return sameMeaning(target.ResTarget.val, expression)
  } catch {
    return false
  }
}

/** COALESCE around every operand that is more than a column, a constant or a call. */
function parenthesised(expression: Expression): Expression {
  const wrap = (node: Node | undefined): Node | undefined =>
    node === undefined || isAtom(node) ? node : { CoalesceExpr: { args: [node] } }
  const inner = replaced(expression, (node) => {
    const changed = withOperands(node, (operand) => wrap(parenthesised(operand)))
    return changed
  })
  return inner
}

const isAtom = (node: Node): boolean =>
  ['ColumnRef', 'A_Const', 'FuncCall', 'CoalesceExpr', 'MinMaxExpr', 'SQLValueFunction'].some(
    (kind) => kind in node,
  )

/** The node with other operands; undefined where its parts stand between brackets anyway. */
function withOperands(node: Node, change: (operand: Node) => Node | undefined): Node | undefined {
  const changed = (operand: Node | undefined): { arg?: Node } => {
    const arg = operand === undefined ? undefined : change(operand)
    return arg === undefined ? {} : { arg }
  }
  if ('NullTest' in node) return { NullTest: { ...node.NullTest, ...changed(node.NullTest.arg) } }
  if ('BooleanTest' in node) {
    return { BooleanTest: { ...node.BooleanTest, ...changed(node.BooleanTest.arg) } }
  }
  if ('TypeCast' in node) return { TypeCast: { ...node.TypeCast, ...changed(node.TypeCast.arg) } }
  if ('CollateClause' in node) {
    return { CollateClause: { ...node.CollateClause, ...changed(node.CollateClause.arg) } }
  }
  if ('A_Indirection' in node) {
    return { A_Indirection: { ...node.A_Indirection, ...changed(node.A_Indirection.arg) } }
  }
  if ('BoolExpr' in node) {
    const args = (node.BoolExpr.args ?? []).map((arg) => change(arg) ?? arg)
    return { BoolExpr: { ...node.BoolExpr, args } }
  }
  if (!('A_Expr' in node)) return undefined
  const { lexpr, rexpr, ...rest } = node.A_Expr
  const left = lexpr === undefined ? undefined : change(lexpr)
  // The list of IN is no expression.
  const right = rexpr === undefined || 'List' in rexpr ? rexpr : change(rexpr)
  return {
    A_Expr: {
      ...rest,
      ...(left === undefined ? {} : { lexpr: left }),
      ...(right === undefined ? {} : { rexpr: right }),
    },
  }
}

/** How a call or a cast was spelt, and where, says nothing about what it means. */
const spelling: ReadonlySet<string> = new Set([
  'location', 'name_location', 'list_start', 'list_end', 'rexpr_list_start', 'rexpr_list_end', 'funcformat',
  'row_format', 'inh', 'relpersistence',
]) // prettier-ignore

/** Whether two trees differ in spelling alone. */
function sameMeaning(one: unknown, other: unknown): boolean {
  if (Array.isArray(one)) {
    return (
      Array.isArray(other) &&
      one.length === other.length &&
      one.every((item, at) => sameMeaning(item, other[at]))
    )
  }
  if (!isFields(one) || !isFields(other)) return one === other
  const meant = (name: string, of: Readonly<Record<string, unknown>>): boolean =>
    of[name] !== undefined && !spelling.has(name)
  return (
    Object.keys(one).every((name) => !meant(name, one) || sameMeaning(one[name], other[name])) &&
    Object.keys(other).every((name) => !meant(name, other) || one[name] !== undefined)
  )
}

/**
 * A statement in a form that is printed as what it means; null when there is none. What the printer leaves out of a
 * statement (GROUP BY DISTINCT, WITH TIES) is not put into a program.
 */
export function printableStatement(statement: Expression): Expression | null {
  for (const form of [statement, parenthesisedDeep(statement)]) {
    try {
      const again = parseSync(textOf(form)).stmts?.[0]?.stmt
      if (sameMeaning(again, form)) return form
    } catch {
      // The next form may do.
    }
  }
  return null
}

const parenthesisedDeep = (statement: Expression): Expression =>
  replacedDeep(statement, (node) =>
    withOperands(node, (operand) => {
      const inner = parenthesisedDeep(operand)
      return isAtom(inner) ? inner : { CoalesceExpr: { args: [inner] } }
    }),
  )

/** Why there is no text for an expression that is known to mean the same; null when there is one. */
export function unprintable(expression: Expression): string | null {
  try {
    sqlOf(expression)
    return null
  } catch (error) {
    if (error instanceof Unprintable) return error.message
    throw error
  }
}

/** `a and b and c` as its parts; nothing for what is absent or plainly true. */
export function conjuncts(condition: Expression | undefined): readonly Expression[] {
  if (condition === undefined) return []
  if ('BoolExpr' in condition && condition.BoolExpr.boolop === 'AND_EXPR') {
    return (condition.BoolExpr.args ?? []).flatMap((part) => conjuncts(part))
  }
  if ('A_Const' in condition && condition.A_Const.boolval?.boolval === true) return []
  return [condition]
}

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

/** `expression is not distinct from null`: whether there is no value, where that may be a row, of which `is null` would ask whether its fields are. */
export const isAbsent = (lexpr: Expression): Expression => ({
  A_Expr: {
    kind: 'AEXPR_NOT_DISTINCT',
    name: [{ String: { sval: '=' } }],
    lexpr,
    rexpr: { A_Const: { isnull: true } },
  },
})

/** Whether an expression asks {@link isAbsent} or {@link isNull}. */
export function asksForNull(expression: Expression): boolean {
  if (!('A_Expr' in expression)) return 'NullTest' in expression
  const { kind, rexpr } = expression.A_Expr
  const isNothing = rexpr !== undefined && 'A_Const' in rexpr && rexpr.A_Const.isnull === true
  return kind === 'AEXPR_NOT_DISTINCT' && isNothing
}

/** A condition that nothing meets. */
export const never: Expression = { A_Const: { boolval: {} } }

/** Whether a condition is plainly false. */
export const isNever = (condition: Expression): boolean =>
  'A_Const' in condition &&
  condition.A_Const.boolval !== undefined &&
  condition.A_Const.boolval.boolval !== true

/** Both ways to read `a = b`, whoever's operator it is; of anything else, none. */
export function equalSides(condition: Expression): readonly (readonly [Expression, Expression])[] {
  if (!('A_Expr' in condition) || condition.A_Expr.kind !== 'AEXPR_OP') return []
  const { name, lexpr, rexpr } = condition.A_Expr
  const sign = name?.at(-1)
  if (sign === undefined || !('String' in sign) || sign.String.sval !== '=') return []
  if (lexpr === undefined || rexpr === undefined) return []
  return [
    [lexpr, rexpr],
    [rexpr, lexpr],
  ]
}

/** Those of an `=` of PostgreSQL's own, which is printed without a schema. */
export const ownEqualSides = (condition: Expression): ReturnType<typeof equalSides> =>
  'A_Expr' in condition && condition.A_Expr.name?.length === 1 ? equalSides(condition) : []

/** Whether two expressions are the same but for their places in the text. */
export const sameExpression = (left: Expression, right: Expression): boolean =>
  treeText(left) === treeText(right)
