import type { ColumnId } from './expression.ts'
import { columnsIn } from './expression.ts'
import type { Relation } from './relation.ts'
import { columnsOf, isKeyed, relationsIn, scansIn } from './relation.ts'
import type { BindFacts } from './facts.ts'
import { rowTypesIn } from '../syntax/whole-row.ts'

/**
 * The id of a column that no scan gives, since nobody reads it in the end: whoever names it meanwhile, in a select
 * list below EXISTS, is left out again.
 */
export const unreadId = (id: ColumnId): ColumnId => `${id} unread`

const isUnread = (id: ColumnId): boolean => id.endsWith(' unread')

/** The columns that a relation refers to and that nothing within it gives: those of the query around it. */
export function freeIn(relation: Relation): ReadonlySet<ColumnId> {
  const known = freeMemo.get(relation)
  if (known !== undefined) return known
  const given = new Set<ColumnId>()
  for (const each of relationsIn(relation)) for (const id of columnsOf(each)) given.add(id)
  const free = new Set<ColumnId>()
  for (const each of relationsIn(relation)) {
    for (const id of columnsIn(ownExpressions(each))) {
      if (!given.has(id) && !isUnread(id)) free.add(id)
    }
  }
  freeMemo.set(relation, free)
  return free
}

const freeMemo = new WeakMap<Relation, ReadonlySet<ColumnId>>()

/** The expressions of a relation itself, not of its inputs. */
export function ownExpressions(relation: Relation): readonly unknown[] {
  switch (relation.kind) {
    case 'product':
      return relation.where
    case 'project':
      return relation.columns.map(({ expression }) => expression)
    case 'outer':
    case 'match':
    case 'mark':
      return relation.on
    case 'aggregate':
      return [...relation.keys, ...relation.calls].map(({ expression }) => expression)
    case 'window':
      return [...relation.partition, ...relation.calls.map(({ expression }) => expression)]
    case 'top':
      return [relation.per, relation.order, relation.limit, relation.offset]
    case 'rows':
      return [relation.item]
    case 'moving':
      return [relation.mark.expression]
    case 'scan':
    case 'union':
    case 'set':
    case 'apply':
    case 'whole':
    case 'partition':
      return []
  }
}

/** The type of a column that is one of a table's; nothing where it is not. */
export function scannedType(relation: Relation, id: ColumnId, facts: BindFacts): string {
  for (const { of, columns } of scansIn(relation)) {
    const name = columns.find((column) => column.id === id)?.name
    if (name === undefined || of.kind === 'stage') continue
    return facts.tables.get(of.name)?.columns.find((column) => column.name === name)?.type ?? ''
  }
  return ''
}

/** The tables and views, among some by their names, of which a row is a value somewhere in a relation. */
export function rowTypesAmong<Name extends string>(
  names: readonly Name[],
  relation: Relation,
): readonly Name[] {
  const used = new Set(
    [...relationsIn(relation)].flatMap((each) => rowTypesIn(ownExpressions(each))),
  )
  return names.filter((name) => used.has(name))
}

/**
 * Whether a relation needs a row of the query around it to be computed, and groups or limits all the same. What
 * depends on a row within the relation itself needs none.
 */
export function isBoundInward(relation: Relation): boolean {
  const outside = freeIn(relation)
  return [...relationsIn(relation)].some(
    (each) => isKeyed(each) && [...freeIn(each)].some((id) => outside.has(id)),
  )
}
