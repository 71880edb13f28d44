import { qualifiedName } from '../../engine/demo-support.ts'
import type { Queryable } from '../../engine/demo-support.ts'
import type { RelationName } from '../../model/ids.ts'

/**
 * Counts the rows in which a view and its query run afresh differ, in one statement and so at one
 * snapshot. Duplicates count as often as they occur.
 */
export async function countDiffering(
  database: Queryable,
  view: { readonly name: RelationName; readonly sql: string },
): Promise<number> {
  const [row] = await database.query<{ differing: number }>(`
    with kept as materialized (select * from ${qualifiedName(view.name)}),
      asked as materialized (${view.sql})
    select count(*) as differing from (
      (table kept except all table asked) union all (table asked except all table kept)
    ) as difference`)
  return row?.differing ?? 0
}
