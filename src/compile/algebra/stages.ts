import { concernedIn, leftKeyOf } from './concerned.ts'
import { columnOf } from './expression.ts'
import type { ColumnId, Expression } from './expression.ts'
import { freeIn } from './references.ts'
import { peel } from './peel.ts'
import type { BindFacts } from './facts.ts'
import type { Output, Relation, Top } from './relation.ts'
import { columnsOf, isConstant, isKeyed, rewriting, withInputs } from './relation.ts'

/**
 * A part of a query whose rows are stored: what a refresh brings up to date, one after the other, each from the
 * changes of those before it. The last one is the view itself.
 */
export interface Stage {
  readonly number: number
  /**
   * What is stored is `outputs` of the rows of `core` that meet `having`. The inputs of the core are linear, over
   * sources and the stages before.
   */
  readonly core: Relation
  readonly having: readonly Expression[]
  readonly outputs: readonly Output[]
  /**
   * The key: rows of the core change only where the input changed at the same key. Over the columns of the core.
   * Empty: any change may change every row.
   */
  readonly key: readonly Output[]
  /** The core is linear: its change is known without looking at what is stored. */
  readonly linear: boolean
  /** No two rows have the same key. */
  readonly unique: boolean
  /**
   * What is stored are the first rows of an order, as many of them as there happen to be, for a LIMIT over them: no
   * fewer than `least`, unless these are all, and about `most` at most. Left out: all rows of the core.
   */
  readonly firstRows?: FirstRows
}

/** How many of the first rows of an order are kept. */
export interface FirstRows {
  readonly least: number
  readonly most: number
}

/**
 * Cuts a query into stages: each part that is not linear becomes one, with the projections and conditions above it.
 * A part that is used twice becomes one stage. Stages come in the order in which they feed one another.
 */
export function stagesOf(
  root: { readonly relation: Relation },
  facts: BindFacts,
): readonly Stage[] {
  const { setReturning } = facts
  const stages: Stage[] = []

  const add = (relation: Relation): Stage => {
    const { core, outputs, having } = peel(relation, setReturning)
    const linear = !isKeyed(core)
    const inner = linear
      ? staged(relation)
      : overFirstRows(withInputs(foundByLeft(core, facts), staged))
    const number = stages.length + 1
    const stage: Stage = linear
      ? {
          number,
          core: inner,
          having: [],
          outputs: columnsOf(relation).map((id) => ({ id, expression: columnOf(id) })),
          key: [],
          linear,
          unique: false,
        }
      : {
          number,
          core: inner,
          having,
          outputs,
          key: keyOf(inner),
          linear,
          unique: core.kind === 'aggregate',
        }
    stages.push(stage)
    return stage
  }

  /** A LIMIT over a stage that keeps the first rows and some after them, where that is known to be enough. */
  const overFirstRows = (core: Relation): Relation => {
    const firstRows = core.kind === 'top' ? firstRowsFor(core) : null
    if (core.kind !== 'top' || firstRows === null) return core
    const columns = columnsOf(core.input)
    const number = stages.length + 1
    stages.push({
      number,
      core: { ...core, limit: integer(2 * firstRows.least + spareRows), offset: null },
      having: [],
      outputs: columns.map((id) => ({ id, expression: columnOf(id) })),
      key: [],
      linear: false,
      unique: false,
      firstRows,
    })
    const of = { kind: 'stage', number, is: core.input, firstRows: true } as const
    return {
      ...core,
      input: { kind: 'scan', of, columns: columns.map((id) => ({ id, name: id })) },
    }
  }

  const staged = rewriting((relation, again) => {
    const { core } = peel(relation, setReturning)
    if (isKeyed(core) && freeIn(relation).size === 0) {
      const { number } = add(relation)
      return {
        kind: 'scan',
        of: { kind: 'stage', number, is: relation },
        columns: columnsOf(relation).map((id) => ({ id, name: id })),
      }
    }
    // A part that depends on the row of a query around it is computed for that row.
    return withInputs(relation, again)
  })

  add(root.relation)
  return stages
}

/** Rows beyond those that a LIMIT shows: as many may go before all are looked through again. */
const spareRows = 50

/** A LIMIT of more rows than this is computed afresh: to sort so many would not be much sooner done. */
const limitMax = 1000

function firstRowsFor({ input, per, limit, offset }: Top): FirstRows | null {
  if (per.length > 0 || isConstant(input)) return null
  const [most, skipped] = [integerOf(limit), offset === null ? 0 : integerOf(offset)]
  if (most === null || skipped === null || most === 0 || most + skipped > limitMax) return null
  const least = most + skipped
  return { least, most: 4 * least + 2 * spareRows }
}

const integer = (ival: number): Expression => ({ A_Const: { ival: { ival } } })

/** What a constant says; null of any other expression. */
function integerOf(expression: Expression | null): number | null {
  if (expression === null || !('A_Const' in expression)) return null
  const { ival } = expression.A_Const
  return ival === undefined ? null : (ival.ival ?? 0)
}

function keyOf(core: Relation): readonly Output[] {
  const numbered = (expressions: readonly Expression[]): readonly Output[] =>
    expressions.map((expression, at) => ({ id: `key ${String(at + 1)}`, expression }))
  switch (core.kind) {
    case 'aggregate':
      return numbered(core.keys.map(({ id }) => columnOf(id)))
    case 'window':
      return numbered(core.partition)
    case 'top':
      return numbered(core.per)
    case 'set':
      return numbered(core.columns.map((id) => columnOf(id)))
    case 'apply':
      return numbered((core.by ?? []).map((id) => columnOf(id)))
    default:
      return []
  }
}

/** What is computed for each row of a left, with the columns by which those rows are found that a change concerns. */
const foundByLeft = (core: Relation, facts: BindFacts): Relation =>
  core.kind === 'apply' && concernedIn(core) !== null
    ? { ...core, by: leftKeyOf(core, facts) }
    : core

/** A stage whose key is made of those parts alone that a test lets through: with fewer of them more is computed afresh. */
export function withKeyOf(stage: Stage, test: (part: Expression) => boolean): Stage {
  const { core } = stage
  if (core.kind !== 'apply') return stage
  const by = (core.by ?? []).filter((id) => test(columnOf(id)))
  return { ...stage, core: { ...core, by }, key: keyOf({ ...core, by }) }
}

/** The key of a stage as expressions over each input of its core: where they changed, the stage may change. */
export function inputKeys({ core }: Stage): readonly {
  readonly input: Relation
  readonly key: readonly Expression[]
}[] {
  const whole = (id: ColumnId): Expression => columnOf(id)
  switch (core.kind) {
    case 'aggregate':
      return [{ input: core.input, key: core.keys.map(({ expression }) => expression) }]
    case 'window':
      return [{ input: core.input, key: core.partition }]
    case 'top':
      return [{ input: core.input, key: core.per }]
    case 'set':
      return [core.left, core.right].map((input) => ({ input, key: columnsOf(input).map(whole) }))
    case 'apply': {
      const key = (core.by ?? []).map(whole)
      const concerned = key.length === 0 ? null : concernedIn(core)
      return [core.left, ...(concerned ?? [core.right])].map((input) => ({ input, key }))
    }
    case 'whole':
      return core.reads.map((input) => ({ input, key: [] }))
    case 'partition':
      return core.affected.map(({ input, key }) => ({ input, key: [key] }))
    default:
      return []
  }
}
