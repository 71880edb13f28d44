import type { Node, SelectStmt } from 'libpg-query'
import { functionName } from './functions.ts'
import type { TreeNode } from './walk.ts'

/** The text of a String node. */
export const stringOf = (node: Node | undefined): string | undefined =>
  node !== undefined && 'String' in node ? node.String.sval : undefined

/** The name that PostgreSQL gives a column without AS; the server prints AS wherever it would be another. */
export function impliedName(node: Node): string | undefined {
  if ('ColumnRef' in node) return stringOf((node.ColumnRef.fields ?? []).at(-1))
  if ('FuncCall' in node) return functionName(node.FuncCall).split('.').at(-1)
  if ('TypeCast' in node && node.TypeCast.arg !== undefined) return impliedName(node.TypeCast.arg)
  if ('CaseExpr' in node) return 'case'
  if ('CoalesceExpr' in node) return 'coalesce'
  return undefined
}

/** The columns that a query gives, by name, without binding it. */
export function impliedNames(select: SelectStmt): readonly string[] {
  if (select.larg !== undefined) return impliedNames(select.larg)
  if (select.valuesLists !== undefined) {
    const [first] = select.valuesLists
    const width = first !== undefined && 'List' in first ? (first.List.items ?? []).length : 0
    return Array.from({ length: width }, (_, at) => `column${String(at + 1)}`)
  }
  return (select.targetList ?? []).map((node, at) => {
    if (!('ResTarget' in node)) return `column${String(at + 1)}`
    const { name, val } = node.ResTarget
    return name ?? (val === undefined ? undefined : impliedName(val)) ?? `column${String(at + 1)}`
  })
}

/** The name that an item of FROM goes by. */
export function aliasOf({ kind, node }: TreeNode): readonly string[] {
  const alias = (node['alias'] as { aliasname?: string } | undefined)?.aliasname
  if (alias !== undefined) return [alias]
  return kind === 'RangeVar' ? [String(node['relname'])] : []
}
