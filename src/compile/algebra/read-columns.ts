import type { ColumnId } from './expression.ts'
import { columnsIn } from './expression.ts'
import { ownExpressions } from './references.ts'
import type { Output, Relation } from './relation.ts'
import { columnsOf, inputsOf, relationsIn, rewriting, scansIn, withInputs } from './relation.ts'
import type { Stage } from './stages.ts'

/**
 * The same stages, of which each inner one stores and tells the columns alone that later ones read. A projection of a
 * bag changes by the projection of its change, so nothing else becomes different; a key stays what it is, whether it is
 * shown or not.
 */
export function withReadColumns(stages: readonly Stage[]): readonly Stage[] {
  const read = new Map<number, Set<ColumnId>>()
  const narrowed = [...stages].reverse().map((stage, at) => {
    const own = at === 0 ? stage : withOutputs(stage, read.get(stage.number) ?? new Set())
    const ids = readIn(own)
    for (const { of, columns } of scansIn(own.core)) {
      if (of.kind !== 'stage') continue
      const known = read.get(of.number) ?? new Set()
      for (const { id, name } of columns) if (ids.has(id)) known.add(name)
      read.set(of.number, known)
    }
    return own
  })
  const shown = new Map(
    narrowed.map(({ number, outputs }) => [number, new Set(outputs.map(({ id }) => id))]),
  )
  const rescanned = rescanning(shown)
  return narrowed.reverse().map((stage) => ({ ...stage, core: rescanned(stage.core) }))
}

/** A stage with those of its outputs that are read, one at least: a table has a column. */
function withOutputs(stage: Stage, read: ReadonlySet<ColumnId>): Stage {
  const some = stage.outputs.filter(({ id }) => read.has(id))
  const outputs = some.length === 0 ? stage.outputs.slice(0, 1) : some
  const { core } = stage
  if (core.kind !== 'aggregate') return { ...stage, outputs }
  const used = columnsIn([...expressionsOf(outputs), ...stage.having])
  const calls = core.calls.filter(({ id }) => used.has(id))
  // Without keys and calls it would be the DISTINCT of nothing, which gives no row of no rows.
  const kept = calls.length === 0 && core.keys.length === 0 ? core.calls.slice(0, 1) : calls
  return { ...stage, outputs, core: { ...core, calls: kept } }
}

const expressionsOf = (outputs: readonly Output[]): readonly Output['expression'][] =>
  outputs.map(({ expression }) => expression)

/** The columns that something in a stage depends on. */
function readIn({ core, outputs, key, having }: Stage): ReadonlySet<ColumnId> {
  const ids = new Set(columnsIn([...expressionsOf(outputs), ...expressionsOf(key), ...having]))
  for (const each of relationsIn(core)) {
    for (const id of columnsIn(ownExpressions(each))) ids.add(id)
    // Rows are matched by all their columns, or put into an order by their text.
    const whole = ['union', 'set', 'whole', 'top', 'window'].includes(each.kind)
    if (whole) for (const input of inputsOf(each)) columnsOf(input).forEach((id) => ids.add(id))
  }
  return ids
}

/** Gives relations scans of the columns alone that stages have. */
const rescanning = (
  shown: ReadonlyMap<number, ReadonlySet<ColumnId>>,
): ((relation: Relation) => Relation) =>
  rewriting((relation, again) => {
    if (relation.kind !== 'scan' || relation.of.kind !== 'stage') return withInputs(relation, again)
    const has = shown.get(relation.of.number)
    return { ...relation, columns: relation.columns.filter(({ name }) => has?.has(name)) }
  })
