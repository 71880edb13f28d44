import type { CommonTableExpr, FuncCall, Node, SelectStmt } from 'libpg-query'
import type { BindFacts } from '../algebra/facts.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import { columnOf, replaced } from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import type { Relation } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'
import { nodesOf } from '../syntax/walk.ts'
import type { RowType } from '../syntax/whole-row.ts'
import { rowValue, typedRow } from '../syntax/whole-row.ts'

/** Thrown where the binder has no rule; the nearest query that stands by itself is then computed as a whole. */
export class NoRule extends Error {
  /** Place in the printed query, in bytes; null when the construct has none. */
  readonly byte: number | null
  constructor(reason: string, byte: number | null = null) {
    super(reason)
    this.name = 'NoRule'
    this.byte = byte
  }
}

/** A relation in FROM: its columns by the names that the query has for them, in order. */
export interface Named {
  readonly columns: readonly { readonly name: string; readonly is: Expression }[]
  /** What is needed of it as one value, where somebody asks for that. */
  readonly row?: WholeRow
}

/** A relation as one value. */
export interface WholeRow {
  /** A column that is true; NULL where an outer join found no row. */
  readonly present: Expression
  /** The table or ordinary view whose type the row is of; null where its columns are called as the query says. */
  readonly type: RowType | null
}

/** A query of WITH, bound once. */
export interface Cte {
  readonly bound: BoundQuery
  readonly written: CommonTableExpr
}

/** A query as a relation, its columns named. */
export interface BoundQuery {
  readonly relation: Relation
  readonly names: readonly string[]
}

/** What names mean in one SELECT, and beyond it in the queries around. */
export interface Scope {
  readonly parent: Scope | null
  readonly tables: Map<string, Named>
  /** Columns of USING, which no table's name need precede. */
  readonly merged: Map<string, Expression>
  readonly ctes: Map<string, Cte>
  /** The tables of which a whole row is asked for. */
  readonly rows: Set<string>
}

/** A scope within another. */
export const innerScope = (parent: Scope | null): Scope => ({
  parent,
  tables: new Map(),
  merged: new Map(),
  ctes: new Map(),
  rows: new Set(),
})

/** Everything that binding shares: facts, and names that were given. */
export interface Binding {
  readonly facts: BindFacts
  /** The stages of what is read and stored as it is, by name. */
  readonly stored: Map<string, Relation>
  /** A new column id that reminds of a name. */
  readonly fresh: (hint: string) => ColumnId
  /** Binds a query within the scope of the queries around it. */
  readonly bind: (binding: Binding, select: SelectStmt, parent: Scope | null) => BoundQuery
  /** Keeps the rows that meet a condition, which may hold subqueries. */
  readonly where: (binding: Binding, where: Where) => Relation
}

/** A relation and a condition on its rows that may hold subqueries. */
export interface Where {
  readonly relation: Relation
  readonly condition: Node | undefined
  readonly scope: Scope
}

/** A binding with ids of its own. */
export function newBinding(
  facts: BindFacts,
  { bind, where }: Pick<Binding, 'bind' | 'where'>,
): Binding {
  const taken = new Set<string>()
  const fresh = (hint: string): ColumnId => {
    const word =
      hint
        .toLowerCase()
        .replaceAll(/[^a-z0-9_]+/g, '_')
        .replace(/^(?=\d)/, 'c')
        .slice(0, 40) || 'c'
    for (let turn = 1; ; turn += 1) {
      // A number always, so that no id is a key word.
      const id = `${word}_${String(turn)}`
      if (!taken.has(id)) {
        taken.add(id)
        return id
      }
    }
  }
  return { facts, stored: new Map(), fresh, bind, where }
}

/** The fields of a reference to a column: `a.b` as ['a', 'b'], a star as '*'. */
export function fieldsOf(node: Node): readonly string[] | null {
  if (!('ColumnRef' in node)) return null
  return (node.ColumnRef.fields ?? []).map((field) =>
    'String' in field ? (field.String.sval ?? '') : '*',
  )
}

/** Looks a CTE up, innermost first. */
export function cteNamed(scope: Scope | null, name: string): Cte | undefined {
  for (let at = scope; at !== null; at = at.parent) {
    const found = at.ctes.get(name)
    if (found !== undefined) return found
  }
  return undefined
}

function tableNamed(scope: Scope | null, alias: string): Named | undefined {
  for (let at = scope; at !== null; at = at.parent) {
    const found = at.tables.get(alias)
    if (found !== undefined) return found
  }
  return undefined
}

function bareColumn(scope: Scope | null, name: string): Expression | undefined {
  for (let at = scope; at !== null; at = at.parent) {
    const merged = at.merged.get(name)
    if (merged !== undefined) return merged
    for (const table of at.tables.values()) {
      const column = table.columns.find((each) => each.name === name)
      if (column !== undefined) return column.is
    }
  }
  return undefined
}

/**
 * Puts ids in place of the names of columns. Subqueries are left as they are: they are bound where they are joined.
 * Throws {@link NoRule} for names that are not found, and for whole rows of subqueries where they are not counted, asked
 * whether they are NULL, or made JSON.
 */
export function resolved<Tree>(tree: Tree, scope: Scope): Tree {
  return replaced(tree, (node) => {
    if ('FuncCall' in node && node.FuncCall.args?.some((argument) => isWholeRow(argument))) {
      const { args = [], ...call } = node.FuncCall
      const values = args.map((argument) =>
        isWholeRow(argument) ? rowArgument(argument, call, scope) : resolved(argument, scope),
      )
      return { FuncCall: { ...resolved(call, scope), args: values } }
    }
    if ('NullTest' in node && node.NullTest.arg !== undefined && isWholeRow(node.NullTest.arg)) {
      const { columns } = tableOfRow(node.NullTest.arg, scope)
      const args = columns.map(({ is }) => is)
      return {
        NullTest: {
          ...node.NullTest,
          arg: { RowExpr: { args, row_format: 'COERCE_EXPLICIT_CALL' } },
        },
      }
    }
    const fields = fieldsOf(node)
    if (fields === null) return undefined
    return isWholeRow(node) ? rowOf(node, scope) : columnNamed(node, fields, scope)
  })
}

function columnNamed(node: Node, fields: readonly string[], scope: Scope): Expression {
  const [first = '', second] = fields
  const byte = placeOf(node)
  if (second === '*' || first === '*' || fields.length > 2) throw wholeRow(byte)
  if (second === undefined) {
    const found = bareColumn(scope, first)
    if (found !== undefined) return found
    if (tableNamed(scope, first) !== undefined) throw wholeRow(byte)
    throw notFound(first, byte)
  }
  const column = tableNamed(scope, first)?.columns.find(({ name }) => name === second)
  if (column === undefined) throw notFound(second, byte)
  return column.is
}

const notFound = (name: string, byte: number | null): NoRule =>
  new NoRule(
    name === 'tableoid'
      ? 'it reads tableoid, and changes do not say in which table of a tree they were'
      : `column ${name} was not found`,
    byte,
  )

const placeOf = (node: Node): number | null =>
  'ColumnRef' in node ? (node.ColumnRef.location ?? null) : null

const wholeRow = (byte: number | null): NoRule => new NoRule('a whole row is used as a value', byte)

/** The server prints a whole row as `t.*`. */
const isWholeRow = (node: Node): boolean => {
  const fields = fieldsOf(node)
  return fields?.length === 2 && fields[1] === '*'
}

function tableOfRow(node: Node, scope: Scope): Named {
  const table = tableNamed(scope, fieldsOf(node)?.[0] ?? '')
  if (table === undefined) throw wholeRow(placeOf(node))
  return table
}

/** The tables of which something within a query asks for a whole row. */
export const wholeRowsIn = (tree: unknown): readonly string[] =>
  nodesOf(tree).flatMap(({ kind, node }) => {
    const reference: Node = { ColumnRef: node }
    return kind === 'ColumnRef' && isWholeRow(reference)
      ? (fieldsOf(reference) ?? []).slice(0, 1)
      : []
  })

const jsonOfRow =
  /^(row_to_json|to_jsonb?|jsonb?_agg|jsonb?_build_(object|array)|jsonb?_object_agg)$/

function rowArgument(node: Node, call: FuncCall, scope: Scope): Expression {
  const { row, columns } = tableOfRow(node, scope)
  if (row === undefined) throw wholeRow(placeOf(node))
  const name = functionName(call)
  if (name === 'count' && call.agg_distinct !== true) return row.present
  if (row.type === null && jsonOfRow.test(name)) return rowValue(row.present, columns)
  return rowOf(node, scope)
}

/** A whole row where it may be anything; one without a type of its own can stand in few places. */
function rowOf(node: Node, scope: Scope): Expression {
  const { row, columns } = tableOfRow(node, scope)
  if (row === undefined || row.type === null) throw wholeRow(placeOf(node))
  const values = columns.map(({ is }) => is)
  return typedRow({ present: row.present, type: row.type }, values)
}

/** A relation under new column ids, so that it can stand twice in one query. */
export function renamedCopy(
  binding: Binding,
  { relation, names }: BoundQuery,
  wanted: readonly string[] = names,
): { readonly relation: Relation; readonly named: Named } {
  const columns = columnsOf(relation).map((id, at) => ({
    id: binding.fresh(wanted[at] ?? names[at] ?? 'c'),
    expression: columnOf(id),
  }))
  return {
    relation: { kind: 'project', input: relation, columns },
    named: {
      columns: columns.map(({ id }, at) => ({
        name: wanted[at] ?? names[at] ?? '',
        is: columnOf(id),
      })),
    },
  }
}
