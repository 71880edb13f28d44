import type { RowPart, TableWrite } from '../../invalidate/table-write.ts'
import { columnsOf, known, updatedRows } from './row-parts.ts'

/** A node of Kysely's syntax tree, as far as it is read here. */
export interface KyselyNode {
  readonly kind: string
}

/** What a statement answered. */
export interface KyselyResult {
  readonly rows: readonly unknown[]
  readonly numAffectedRows?: bigint
}

interface Identifier {
  readonly name: string
}

interface TableNode extends KyselyNode {
  readonly table: { readonly schema?: Identifier; readonly identifier: Identifier }
}

interface AliasNode extends KyselyNode {
  readonly node: KyselyNode
}

interface ColumnNode extends KyselyNode {
  readonly column: Identifier
}

interface Where {
  readonly where: KyselyNode
}

interface Returning {
  readonly selections: readonly { readonly selection: KyselyNode }[]
}

interface Insert extends KyselyNode {
  readonly into?: KyselyNode
  readonly columns?: readonly ColumnNode[]
  readonly values?: KyselyNode
  readonly onConflict?: { readonly doNothing?: boolean; readonly columns?: readonly ColumnNode[] }
  readonly returning?: Returning
}

interface Update extends KyselyNode {
  readonly table?: KyselyNode
  readonly from?: KyselyNode
  readonly joins?: readonly KyselyNode[]
  readonly where?: Where
  readonly updates?: readonly { readonly column: KyselyNode; readonly value: KyselyNode }[]
  readonly returning?: Returning
}

interface Delete extends KyselyNode {
  readonly from: { readonly froms: readonly KyselyNode[] }
  readonly using?: KyselyNode
  readonly joins?: readonly KyselyNode[]
  readonly where?: Where
  readonly returning?: Returning
}

interface WithExpressions {
  readonly with?: {
    readonly expressions: readonly { readonly expression: KyselyNode }[]
  }
}

/**
 * What a statement wrote, read from its syntax tree and its answer; null stands for a statement that has not answered. A
 * statement that is plain text is not seen.
 */
export function writesOf(node: KyselyNode, result: KyselyResult | null): TableWrite[] {
  const within = (node as WithExpressions).with?.expressions ?? []
  const inner = within.flatMap(({ expression }) => writesOf(expression, null))
  return result?.numAffectedRows === 0n ? inner : [...inner, ...ownWrites(node, result)]
}

function ownWrites(node: KyselyNode, result: KyselyResult | null): TableWrite[] {
  switch (node.kind) {
    case 'InsertQueryNode':
      return insertWrites(node, result)
    case 'UpdateQueryNode':
      return updateWrites(node, result)
    case 'DeleteQueryNode':
      return deleteWrites(node as Delete, result)
    case 'MergeQueryNode':
      return writeOf((node as Insert).into, null)
    default:
      return []
  }
}

function insertWrites(node: Insert, result: KyselyResult | null): TableWrite[] {
  const given = valuesOf(node)
  const { onConflict } = node
  if (onConflict === undefined || onConflict.doNothing === true) {
    return writeOf(node.into, returnedBy(node.returning, result) ?? given)
  }
  // What a row was that was there already is known by what it collided in, and by nothing else.
  const columns = (onConflict.columns ?? []).map(({ column }) => column.name)
  return writeOf(node.into, given?.map((row) => columnsOf(row, columns)) ?? null)
}

function updateWrites(node: Update, result: KyselyResult | null): TableWrite[] {
  const updates = node.updates ?? []
  const set = updates.map(({ column }) => columnOf(column) ?? '')
  const isJoined = node.from !== undefined || (node.joins?.length ?? 0) > 0
  const values = updates.map(({ value }, at) => [set[at] ?? '', valueOf(value)] as const)
  const rows = updatedRows({
    set,
    before: isJoined ? {} : equalities(node.where),
    given: known(values),
    returned: returnedBy(node.returning, result),
  })
  return writeOf(node.table, rows, set)
}

function deleteWrites(node: Delete, result: KyselyResult | null): TableWrite[] {
  const isJoined = node.using !== undefined || (node.joins?.length ?? 0) > 0
  const rows = returnedBy(node.returning, result) ?? (isJoined ? null : [equalities(node.where)])
  return node.from.froms.flatMap((table) => writeOf(table, rows))
}

function writeOf(
  table: KyselyNode | undefined,
  rows: readonly RowPart[] | null,
  columns: readonly string[] | null = null,
): TableWrite[] {
  if (table === undefined) return []
  if (table.kind === 'AliasNode') return writeOf((table as AliasNode).node, rows, columns)
  if (table.kind !== 'TableNode') return []
  const { schema, identifier } = (table as TableNode).table
  const name = schema === undefined ? identifier.name : `${schema.name}.${identifier.name}`
  return [{ table: name, rows, columns }]
}

/** The rows of VALUES; null where they come from somewhere else. */
function valuesOf({ columns = [], values }: Insert): RowPart[] | null {
  if (values?.kind !== 'ValuesNode') return null
  const lists = (values as unknown as { values: readonly ValuesItem[] }).values
  return lists.map(({ kind, values: list }) =>
    known(
      columns.map(({ column }, at) => [
        column.name,
        kind === 'PrimitiveValueListNode' ? list[at] : valueOf(list[at] as KyselyNode),
      ]),
    ),
  )
}

interface ValuesItem extends KyselyNode {
  readonly values: readonly unknown[]
}

/** What RETURNING told of each row; null where it told none of its columns as they are. */
function returnedBy(
  returning: Returning | undefined,
  result: KyselyResult | null,
): RowPart[] | null {
  if (returning === undefined || result === null) return null
  const columns = returning.selections.map(({ selection }) =>
    isAll(selection) ? '*' : columnOf(selection),
  )
  // What has another name than its column could be taken for another column.
  if (columns.includes(null)) return null
  return result.rows.filter(isRow)
}

const isRow = (row: unknown): row is RowPart => typeof row === 'object' && row !== null

/** Columns that equal a value in every row that a condition lets through. */
function equalities(where: Where | undefined): RowPart {
  const found: [string, unknown][] = []
  const walk = (node: KyselyNode): void => {
    const { left, right, node: inner } = node as unknown as Record<string, KyselyNode>
    if (node.kind === 'ParensNode' && inner !== undefined) walk(inner)
    else if (node.kind === 'AndNode' && left !== undefined && right !== undefined) {
      walk(left)
      walk(right)
    } else if (node.kind === 'BinaryOperationNode') {
      const { leftOperand, operator, rightOperand } = node as unknown as BinaryOperation
      const column = columnOf(leftOperand)
      if (column !== null && operator.operator === '=') found.push([column, valueOf(rightOperand)])
    }
  }
  if (where !== undefined) walk(where.where)
  return known(found)
}

interface BinaryOperation {
  readonly leftOperand: KyselyNode
  readonly operator: { readonly operator?: string }
  readonly rightOperand: KyselyNode
}

/** The column that a node is; null where it is anything else. */
function columnOf(node: KyselyNode): string | null {
  if (node.kind === 'ColumnNode') return (node as ColumnNode).column.name
  return node.kind === 'ReferenceNode'
    ? columnOf((node as unknown as { column: KyselyNode }).column)
    : null
}

const isAll = (node: KyselyNode): boolean =>
  node.kind === 'SelectAllNode' ||
  (node.kind === 'ReferenceNode' && isAll((node as unknown as { column: KyselyNode }).column))

const valueOf = (node: KyselyNode): unknown =>
  node.kind === 'ValueNode' ? (node as unknown as { value: unknown }).value : undefined
