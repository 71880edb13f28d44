import type { SelectStmt, SortBy } from 'libpg-query'
import type { RelationName } from '../../model/ids.ts'
import { asksClock } from './clock.ts'
import type { ColumnId, Expression } from './expression.ts'

/**
 * The algebra that queries are bound to. Relations are bags; every column has an id that is unique in the view.
 *
 * `scan`, `rows`, `product`, `project`, `union` are linear: their change follows from the changes of their inputs.
 * `outer`, `match` and `mark` have a formula of their own (emit/delta.ts). The rest is *keyed*: where an input
 * changed, the rows with the same key are computed afresh, and what was there is known because it is stored.
 */
export type Relation =
  | Scan
  | Rows
  | Product
  | Project
  | Union
  | Outer
  | Match
  | Mark
  | Aggregate
  | Window
  | Top
  | SetOperation
  | Apply
  | Moving
  | Whole
  | Partition

/** A column that a relation gives, and what it is called by the one below it. */
export interface Output {
  readonly id: ColumnId
  readonly expression: Expression
}

/** A source, another maintained view, or (after staging) what a stage stores. */
export interface Scan {
  readonly kind: 'scan'
  readonly of: ScanTarget
  /** Column ids beside the names that the target has for them. */
  readonly columns: readonly { readonly id: ColumnId; readonly name: string }[]
}

/** What a scan reads. What stands still is read as it is now, its changes having been seen to elsewhere. */
export type ScanTarget =
  | { readonly kind: 'source' | 'view'; readonly name: RelationName; readonly still?: true }
  | CopiedTarget
  | MemberTarget
  | {
      readonly kind: 'stage'
      readonly number: number
      readonly still?: true
      /** What it stores, as it was before the query was cut. */
      readonly is: Relation
      /** It keeps the first rows of an order alone. */
      readonly firstRows?: true
    }

/** A materialized view that Tidemark does not maintain: nobody tells when it changes, each refresh looks at it. */
export interface CopiedTarget {
  readonly kind: 'copied'
  readonly name: RelationName
  readonly still?: true
}

/** A table of a tree, by ONLY or by a name of its own. Changes are told of the root, and do not say where in the tree they were. */
export interface MemberTarget {
  readonly kind: 'member'
  /** The root, which is the source. */
  readonly name: RelationName
  readonly member: RelationName
  readonly only: boolean
  readonly still?: true
}

/** What is read, as objects that are named after it call it: the same for two targets that are the same relation. */
export const targetName = (target: Exclude<ScanTarget, { kind: 'stage' }>): string =>
  target.kind === 'member' ? `${target.only ? 'only ' : ''}${target.member}` : target.name

/** A function in FROM, or VALUES: reads no table, perhaps columns of relations before it (`free`). */
export interface Rows {
  readonly kind: 'rows'
  /** The item of FROM without its alias. */
  readonly item: Expression
  readonly columns: readonly ColumnId[]
  /** A column of row numbers comes last. */
  readonly ordinality: boolean
}

/** Inner join of all inputs: each combination of rows that meets every condition. Later inputs may refer to earlier ones. */
export interface Product {
  readonly kind: 'product'
  readonly inputs: readonly Relation[]
  readonly where: readonly Expression[]
}

/** Columns computed from those of the input; an expression may return several rows. */
export interface Project {
  readonly kind: 'project'
  readonly input: Relation
  readonly columns: readonly Output[]
}

/** UNION ALL. Columns are matched by position. */
export interface Union {
  readonly kind: 'union'
  readonly inputs: readonly Relation[]
  readonly columns: readonly ColumnId[]
}

/** LEFT or FULL JOIN. */
export interface Outer {
  readonly kind: 'outer'
  readonly full: boolean
  readonly left: Relation
  readonly right: Relation
  readonly on: readonly Expression[]
}

/** Rows of the left that have (semi) or have not (anti) a partner on the right. */
export interface Match {
  readonly kind: 'match'
  readonly anti: boolean
  readonly left: Relation
  readonly right: Relation
  readonly on: readonly Expression[]
}

/**
 * The left with a column that says whether there is a partner on the right: true or false for `exists`; for `any` true
 * when the condition is true for some row, else NULL when it is NULL for some, else false.
 */
export interface Mark {
  readonly kind: 'mark'
  readonly test: 'exists' | 'any'
  readonly id: ColumnId
  readonly left: Relation
  readonly right: Relation
  readonly on: readonly Expression[]
}

/** GROUP BY: the keys and what aggregate calls give; without keys exactly one row. DISTINCT has no calls. */
export interface Aggregate {
  readonly kind: 'aggregate'
  readonly input: Relation
  readonly keys: readonly Output[]
  readonly calls: readonly Output[]
}

/** Window functions over one partitioning; columns of the input come along. */
export interface Window {
  readonly kind: 'window'
  readonly input: Relation
  readonly partition: readonly Expression[]
  readonly calls: readonly Output[]
}

/** DISTINCT ON and LIMIT: of each key (of all rows without one) the first rows in an order. */
export interface Top {
  readonly kind: 'top'
  readonly input: Relation
  readonly per: readonly Expression[]
  readonly order: readonly SortBy[]
  readonly limit: Expression | null
  readonly offset: Expression | null
  readonly ties: boolean
}

/** INTERSECT and EXCEPT. */
export interface SetOperation {
  readonly kind: 'set'
  readonly operation: 'intersect' | 'except'
  readonly all: boolean
  readonly left: Relation
  readonly right: Relation
  readonly columns: readonly ColumnId[]
}

/** LATERAL: for each row of the left the rows of the right, which refers to columns of the left. */
export interface Apply {
  readonly kind: 'apply'
  /** Left rows without a partner are kept, with NULLs. */
  readonly outer: boolean
  readonly left: Relation
  readonly right: Relation
  /** Columns of the left by which the rows are found that a change concerns; none: any change concerns all. */
  readonly by?: readonly ColumnId[]
}

/**
 * The input with a column that asks the clock. It changes without a commit: rows for which the column is another one
 * now than it was go with the old value and come with the new one. Linear in the input.
 */
export interface Moving {
  readonly kind: 'moving'
  readonly input: Relation
  readonly mark: Output
}

/** Why there is no rule for a part of a query. */
export interface Refusal {
  readonly reason: string
  /** The SELECT as it was parsed, and the place in its text, in bytes, where that was; null: nowhere in particular. */
  readonly select: SelectStmt
  readonly byte: number | null
}

/** A query that is computed as it stands whenever something that it reads has changed. */
export interface Whole {
  readonly kind: 'whole'
  readonly query: Expression
  /** What it reads, each as a scan of all columns that are captured. */
  readonly reads: readonly Scan[]
  readonly columns: readonly ColumnId[]
  /** Why no rule was found; null where this is the rule. */
  readonly refused: Refusal | null
  /** It is what it reads, column by column. */
  readonly copies?: true
}

/** The query of a view that is kept up partition by partition: over sources that are cut to the keys that changed. */
export interface Partition {
  readonly kind: 'partition'
  /** The query. */
  readonly input: Relation
  /** The partition key, a column of it. */
  readonly by: ColumnId
  readonly cuts: readonly Cut[]
  /** Where changes show, and at which key. */
  readonly affected: readonly { readonly input: Relation; readonly key: Expression }[]
  /** What of the rest is read: a change there concerns every key. */
  readonly rest: readonly RelationName[]
  /** The cuts follow from the query; else they were declared, and rows outside them prove them wrong. */
  readonly proven: boolean
  /** Rows of other keys do not come along when everything is cut. */
  readonly isTight: boolean
}

/** A source such that rows of the result with a key depend on those of its rows alone that have the same key. */
export interface Cut {
  readonly scan: Scan
  readonly name: RelationName
  /** The key, over the columns of the scan. */
  readonly key: Expression
}

/** The columns that a relation gives, in order. */
export function columnsOf(relation: Relation): readonly ColumnId[] {
  const known = columnsKnown.get(relation)
  if (known !== undefined) return known
  const columns = columnsOfAnew(relation)
  columnsKnown.set(relation, columns)
  return columns
}

const columnsKnown = new WeakMap<Relation, readonly ColumnId[]>()

function columnsOfAnew(relation: Relation): readonly ColumnId[] {
  switch (relation.kind) {
    case 'scan':
    case 'project':
      return relation.columns.map(({ id }: { readonly id: ColumnId }) => id)
    case 'product':
      return relation.inputs.flatMap((input) => columnsOf(input))
    case 'outer':
    case 'apply':
      return [...columnsOf(relation.left), ...columnsOf(relation.right)]
    case 'match':
      return columnsOf(relation.left)
    case 'mark':
      return [...columnsOf(relation.left), relation.id]
    case 'moving':
      return [...columnsOf(relation.input), relation.mark.id]
    case 'aggregate':
      return [...relation.keys, ...relation.calls].map(({ id }) => id)
    case 'window':
      return [...columnsOf(relation.input), ...relation.calls.map(({ id }) => id)]
    case 'top':
    case 'partition':
      return columnsOf(relation.input)
    case 'rows':
    case 'union':
    case 'set':
    case 'whole':
      return relation.columns
  }
}

/** The relations that a relation is made of. */
export function inputsOf(relation: Relation): readonly Relation[] {
  if ('inputs' in relation) return relation.inputs
  if ('input' in relation) return [relation.input]
  if ('left' in relation) return [relation.left, relation.right]
  return relation.kind === 'whole' ? relation.reads : []
}

/** A relation with other inputs. */
export function withInputs(relation: Relation, change: (input: Relation) => Relation): Relation {
  switch (relation.kind) {
    case 'scan':
    case 'rows':
    case 'whole':
      return relation
    case 'product':
    case 'union':
      return { ...relation, inputs: relation.inputs.map(change) }
    case 'project':
    case 'aggregate':
    case 'window':
    case 'top':
    case 'moving':
    case 'partition':
      return { ...relation, input: change(relation.input) }
    case 'outer':
    case 'match':
    case 'mark':
    case 'set':
    case 'apply':
      return { ...relation, left: change(relation.left), right: change(relation.right) }
  }
}

/** Everything that a relation is made of, itself first. */
export function* relationsIn(relation: Relation): Generator<Relation> {
  yield relation
  for (const input of inputsOf(relation)) yield* relationsIn(input)
}

/** What a relation reads that can change, each place of it; without any it is constant. */
export function scansIn(relation: Relation): readonly Scan[] {
  return [...relationsIn(relation)].filter(
    (each): each is Scan => each.kind === 'scan' && each.of.still !== true,
  )
}

/** The parts of a relation that change as time passes, each as what in it asks the clock. */
export const clocksIn = (relation: Relation): readonly Expression[] =>
  [...relationsIn(relation)].flatMap((each) => {
    const own =
      each.kind === 'moving'
        ? each.mark.expression
        : each.kind === 'rows'
          ? each.item
          : each.kind === 'whole'
            ? each.query
            : null
    return own !== null && asksClock(own) ? [own] : []
  })

/** Whether nothing that a relation reads can change. */
export const isConstant = (relation: Relation): boolean =>
  scansIn(relation).length === 0 && clocksIn(relation).length === 0

/** Whether a relation is one whose result is stored, so that its change can be told. */
export const isKeyed = ({ kind }: Relation): boolean =>
  ['aggregate', 'window', 'top', 'set', 'apply', 'whole', 'partition'].includes(kind)

/** Rewrites relations, each once: one that is read in several places stays one. `again` is for the inputs of what is rewritten. */
export function rewriting(
  rewrite: (relation: Relation, again: (input: Relation) => Relation) => Relation,
): (relation: Relation) => Relation {
  const made = new Map<Relation, Relation>()
  const again = (relation: Relation): Relation => {
    const known = made.get(relation)
    if (known !== undefined) return known
    const result = rewrite(relation, again)
    made.set(relation, result)
    return result
  }
  return again
}
