import type { ColumnId, Expression } from './expression.ts'
import { columnsIn } from './expression.ts'
import type { Output, Relation } from './relation.ts'
import { columnsOf, relationsIn } from './relation.ts'

/**
 * Of a key over several tables the parts, by their places, that each are about one of them; none where the whole key is about one
 * table, which is then found by it. To find rows of such a key by one part after the other is to read, for each key, the rows of
 * its first part: as many as there are keys and rows together.
 */
export function spreadParts(input: Relation, key: readonly Expression[]): readonly number[] {
  if (key.length < 2) return []
  const tables = new Map<ColumnId, ReadonlySet<Relation>>()
  for (const relation of [...relationsIn(input)].reverse()) noteTables(relation, tables)
  const parts = key.map((part) => tablesOf(part, tables))
  if (union(parts).size < 2) return []
  return parts.flatMap((part, at) => (part.size === 1 ? [at] : []))
}

type Tables = Map<ColumnId, ReadonlySet<Relation>>

/** What is above sees the columns of what is below, unless it gives columns of its own. */
function noteTables(relation: Relation, tables: Tables): void {
  const note = ({ id, expression }: Output): unknown => tables.set(id, tablesOf(expression, tables))
  switch (relation.kind) {
    case 'project':
      relation.columns.forEach(note)
      return
    case 'moving':
      note(relation.mark)
      return
    case 'product':
    case 'outer':
    case 'match':
      return
    default:
      for (const id of columnsOf(relation)) if (!tables.has(id)) tables.set(id, new Set([relation]))
  }
}

const tablesOf = (expression: Expression, tables: Tables): ReadonlySet<Relation> =>
  union([...columnsIn(expression)].map((id) => tables.get(id) ?? new Set()))

const union = (sets: readonly ReadonlySet<Relation>[]): ReadonlySet<Relation> =>
  new Set(sets.flatMap((set) => [...set]))
