import type { RelationName } from '../../model/ids.ts'
import { objectName } from '../../model/names.ts'
import type { ScanTarget } from '../algebra/relation.ts'
import { targetName } from '../algebra/relation.ts'
import { sqlName, sqlRelation } from '../syntax/sql-text.ts'

/** The view on the rows of what is read: bound to its columns, whatever they are called later. */
export const rowsName = (read: string, view: RelationName): string =>
  `tidemark_state.${sqlName(objectName(`rows of ${read} for ${view}`))}`

/** Something that is read, and the columns of it that are. */
interface ReadRows {
  readonly name: RelationName
  readonly columns: readonly { readonly name: string }[]
}

/** Makes the views on the rows of what a view reads. A table of a tree has the columns that are read of its root. */
export function rowsViews(
  view: RelationName,
  {
    sources,
    copied,
    read,
  }: {
    readonly sources: readonly ReadRows[]
    readonly copied: readonly ReadRows[]
    readonly read: readonly ScanTarget[]
  },
): readonly string[] {
  const rows = (name: string, columns: ReadRows['columns'], from: string): string =>
    `create view ${rowsName(name, view)} as select ${columns.map((column) => sqlName(column.name)).join(', ')} from ${from}`
  const members = new Map(
    read.flatMap((of) => (of.kind === 'member' ? [[targetName(of), of] as const] : [])),
  )
  return [
    ...[...sources, ...copied].map(({ name, columns }) => rows(name, columns, sqlRelation(name))),
    ...[...members].map(([name, { name: root, member, only }]) => {
      const columns = sources.find((source) => source.name === root)?.columns ?? []
      return rows(name, columns, `${only ? 'only ' : ''}${sqlRelation(member)}`)
    }),
  ]
}
