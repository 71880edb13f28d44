import type { FuncCall, Node, TypeCast } from 'libpg-query'
import { functionName } from './functions.ts'
import { nodesOf } from './walk.ts'

/*
 * A row as one value, NULL where an outer join found no row. One of a table is cast to the type of the table. One of a
 * subquery is its columns with their names: SQL has no expression for a row with names of its own, but a subquery has,
 * (SELECT r FROM (SELECT a AS "x", b AS "y") r). Until it is printed it stands as a call of a function that does not
 * exist, for a subquery within an expression would be joined.
 */

const standIn = ['tidemark', 'row_of']

/** A column of a row. */
export interface RowField {
  readonly name: string
  readonly is: Node
}

/** The row as a value; `present` is true, and NULL where there is none. */
export const rowValue = (present: Node, fields: readonly RowField[]): Node => ({
  FuncCall: {
    funcname: standIn.map((sval) => ({ String: { sval } })),
    args: [
      present,
      ...fields.flatMap(({ name, is }) => [{ A_Const: { sval: { sval: name } } }, is]),
    ],
    funcformat: 'COERCE_EXPLICIT_CALL',
  },
})

const isRowValue = (call: FuncCall): boolean => functionName(call) === standIn.join('.')

/** A table or ordinary view whose rows have its type. */
export interface RowType {
  readonly schema: string
  readonly name: string
}

/** A row of a table: `row(a, b)::public.parts`, NULL where there is none. All columns of the table, in order. */
export const typedRow = (
  { present, type }: { readonly present: Node; readonly type: RowType },
  values: readonly Node[],
): Node => ({
  CaseExpr: {
    args: [
      {
        CaseWhen: {
          expr: present,
          result: {
            TypeCast: {
              arg: { RowExpr: { args: [...values], row_format: 'COERCE_EXPLICIT_CALL' } },
              typeName: {
                names: [{ String: { sval: type.schema } }, { String: { sval: type.name } }],
                typemod: -1,
              },
            },
          },
        },
      },
    ],
  },
})

/**
 * The types that rows within expressions are cast to, `schema.name`: among them each table and view of which a row is
 * a value. Such a value changes with the names of the columns, and no commit tells that one was renamed, added or dropped.
 */
export const rowTypesIn = (tree: unknown): readonly string[] =>
  nodesOf(tree).flatMap(({ kind, node }) => {
    if (kind !== 'TypeCast') return []
    const { arg, typeName } = node as TypeCast
    const names = (typeName?.names ?? []).map((part) =>
      'String' in part ? (part.String.sval ?? '') : '',
    )
    return arg !== undefined && 'RowExpr' in arg ? [names.join('.')] : []
  })

/** Whether a value is a row without a type of its own, of which no column can be. */
export const isRecord = (expression: Node): boolean =>
  'RowExpr' in expression || ('FuncCall' in expression && isRowValue(expression.FuncCall))

/** What is printed in place of a stand-in; undefined for any other node. */
export function printedRow(node: Node): Node | undefined {
  if (!('FuncCall' in node) || !isRowValue(node.FuncCall)) return undefined
  const [present, ...pairs] = node.FuncCall.args ?? []
  const targetList = pairs.flatMap((val, at): Node[] => {
    const name = pairs[at - 1]
    if (at % 2 === 0 || name === undefined || !('A_Const' in name)) return []
    return [{ ResTarget: { name: name.A_Const.sval?.sval ?? '', val } }]
  })
  const select = (targets: readonly Node[], from: readonly Node[]): Node => ({
    SelectStmt: {
      targetList: [...targets],
      ...(from.length === 0 ? {} : { fromClause: [...from] }),
      limitOption: 'LIMIT_OPTION_DEFAULT',
      op: 'SETOP_NONE',
    },
  })
  const alias = 'tidemark row'
  const row: Node = { ColumnRef: { fields: [{ String: { sval: alias } }] } }
  const fields: Node = {
    RangeSubselect: { subquery: select(targetList, []), alias: { aliasname: alias } },
  }
  const result: Node = {
    SubLink: {
      subLinkType: 'EXPR_SUBLINK',
      subselect: select([{ ResTarget: { val: row } }], [fields]),
    },
  }
  return {
    CaseExpr: {
      args: [{ CaseWhen: { ...(present === undefined ? {} : { expr: present }), result } }],
    },
  }
}
