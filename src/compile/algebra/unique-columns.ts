import type { BindFacts } from './facts.ts'
import type { ColumnId } from './expression.ts'
import { columnIn } from './expression.ts'
import type { Relation, Scan } from './relation.ts'

/**
 * Columns in which no two rows of a relation agree, each set of them that is seen. For pairing alone, where a set that is
 * none costs time and never rows: it rests on indexes that may be dropped.
 */
export function uniqueIn(relation: Relation, facts: BindFacts): readonly (readonly ColumnId[])[] {
  switch (relation.kind) {
    case 'scan':
      return uniqueInScan(relation, facts)
    case 'product': {
      const [input, another] = relation.inputs
      return input === undefined || another !== undefined ? [] : uniqueIn(input, facts)
    }
    case 'project': {
      const { columns } = relation
      return uniqueIn(relation.input, facts).flatMap((set) => {
        const shown = set.map(
          (id) => columns.find(({ expression }) => columnIn(expression) === id)?.id ?? null,
        )
        const known = shown.filter((id) => id !== null)
        return known.length === set.length ? [known] : []
      })
    }
    case 'aggregate':
      return relation.keys.length === 0 ? [] : [relation.keys.map(({ id }) => id)]
    case 'window':
    case 'top':
    case 'moving':
      return uniqueIn(relation.input, facts)
    case 'match':
    case 'mark':
      return uniqueIn(relation.left, facts)
    default:
      return []
  }
}

const uniqueInScan = (
  { of, columns }: Scan,
  { tables }: BindFacts,
): readonly (readonly ColumnId[])[] =>
  of.kind === 'stage'
    ? []
    : (tables.get(of.name)?.keys ?? []).flatMap((names) => {
        const ids = names.map((name) => columns.find((column) => column.name === name)?.id ?? null)
        const known = ids.filter((id) => id !== null)
        return known.length === ids.length ? [known] : []
      })
