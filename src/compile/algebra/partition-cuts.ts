import type { BindFacts } from './facts.ts'
import type { ColumnId, Expression } from './expression.ts'
import {
  columnIn,
  columnOf,
  columnsIn,
  ownEqualSides,
  sameExpression,
  substituted,
} from './expression.ts'
import { isWithin } from './product.ts'
import { returnsSets } from './peel.ts'
import type { Cut, Partition, Relation, Scan } from './relation.ts'
import { columnsOf, inputsOf, isKeyed, relationsIn, withInputs } from './relation.ts'

/** How a query is cut by one of its columns. */
export interface Cutting extends Pick<Partition, 'cuts' | 'affected' | 'rest' | 'isTight'> {
  /** Values of these must look alike where they are equal, or a key might not be that of all rows of a group. */
  readonly alike: readonly { readonly of: Relation; readonly expression: Expression }[]
  /** Sources that are read twice, only once by the key, so that they cannot be cut. */
  readonly divided: readonly string[]
}

/**
 * Cuts the sources of a query by a column of its result.
 *
 * Guarantees: rows of the result with a key are the same, once filtered by the key, if each cut source is replaced by its
 * rows with that key; and where neither a cut source changed at a key, nor `affected` did, nor the rest at all, the
 * result has the same rows at it. See docs/decisions/0065 for the equations.
 */
export function cutBy(relation: Relation, by: ColumnId, facts: BindFacts): Cutting {
  const cutter = new Cutter(facts)
  const isTight = cutter.visit(relation, columnOf(by), false)
  return cutter.cutting(isTight)
}

class Cutter {
  readonly #facts: BindFacts
  readonly #cuts = new Map<string, { readonly scan: Scan; readonly key: Expression }[]>()
  readonly #uncut = new Set<string>()
  readonly #rest = new Set<string>()
  /** Joins of plain tables over which the key is an expression: they tell themselves at which keys they change. */
  readonly #joins: { readonly input: Relation; readonly key: Expression }[] = []
  readonly #alike: { readonly of: Relation; readonly expression: Expression }[] = []

  constructor(facts: BindFacts) {
    this.#facts = facts
  }

  cutting(isTight: boolean): Cutting {
    const found = [...this.#cuts].map(([name, cuts]) => {
      const keys = cuts.map(({ scan, key }) => byName(scan, key))
      const [first] = keys
      const alike = keys.every((key) => first !== undefined && sameExpression(key, first))
      return { name, cuts, whole: alike && !this.#uncut.has(name) }
    })
    const cuts = found.flatMap(({ whole, cuts: [cut] }): Cut[] =>
      whole && cut !== undefined && cut.scan.of.kind !== 'stage'
        ? [{ ...cut, name: cut.scan.of.name }]
        : [],
    )
    const names = new Set<string>(cuts.map(({ name }) => name))
    const joins = this.#joins.map(({ input, key }) => ({ input: standingStill(input, names), key }))
    return {
      cuts,
      affected: [
        ...cuts.map(({ scan, key }) => ({ input: scan, key })),
        ...joins.filter(({ input }) => namesIn(input).length > 0),
      ],
      rest: [...this.#rest].filter((name): name is Cut['name'] => !names.has(name)),
      isTight: isTight && found.every(({ whole }) => whole),
      alike: this.#alike,
      divided: found.flatMap(({ name, whole }) => (whole ? [] : [name])),
    }
  }

  /**
   * Cuts what is below to rows for which `key` is the wanted one; null: whatever is below is read as it is.
   * `told`: it is part of a join that tells its changes.
   * Returns whether there are rows of the wanted key alone, once everything is cut.
   */
  visit(relation: Relation, key: Expression | null, told: boolean): boolean {
    if (key === null || columnsIn(key).size === 0) {
      this.#leave(relation, told)
      return false
    }
    if (!told && isPlain(relation)) {
      this.#joins.push({ input: relation, key })
      return this.visit(relation, key, true)
    }
    if (relation.kind === 'scan') {
      this.#cut(relation, key)
      return true
    }
    const { below, alike = [], tight } = ruleOf(relation, key, this.#facts)
    this.#alike.push(...alike)
    const parts = below.map((part) => this.visit(part.relation, part.key, told))
    if (tight === 'first') return parts[0] === true
    return tight === 'any' ? parts.includes(true) : !parts.includes(false)
  }

  /** Nothing below is cut. */
  #leave(relation: Relation, told: boolean): void {
    for (const name of namesIn(relation)) {
      this.#uncut.add(name)
      if (!told) this.#rest.add(name)
    }
  }

  #cut(scan: Scan, key: Expression): void {
    if (scan.of.kind === 'stage') return
    const known = this.#cuts.get(scan.of.name) ?? []
    this.#cuts.set(scan.of.name, [...known, { scan, key }])
  }
}

/** What a relation is made of, each part with the key by which it is cut if the relation is; null: not. */
interface Rule {
  readonly below: readonly { readonly relation: Relation; readonly key: Expression | null }[]
  /** Rows are of the wanted key alone where they are in any part, in each, or in the first. */
  readonly tight: 'any' | 'every' | 'first'
  readonly alike?: Cutting['alike']
}

type Inner = Exclude<Relation, Scan>

const leaving = (relation: Relation): Rule => ({
  below: inputsOf(relation).map((input) => ({ relation: input, key: null })),
  tight: 'any',
})

function ruleOf(relation: Inner, key: Expression, facts: BindFacts): Rule {
  switch (relation.kind) {
    case 'project':
      return projectRule(relation, key, facts)
    case 'union':
      return branches(relation.inputs, relation.columns, key)
    case 'set':
      return {
        ...branches([relation.left, relation.right], relation.columns, key),
        alike: alikeIn(relation, key, columnOf),
      }
    case 'product':
      return productRule(relation, key)
    case 'outer':
    case 'match':
    case 'mark':
      return joinRule(relation, key)
    case 'apply':
      return {
        below: [
          { relation: relation.left, key: isWithin(key, relation.left) ? key : null },
          { relation: relation.right, key: null },
        ],
        tight: 'first',
      }
    case 'aggregate':
      return aggregateRule(relation, key)
    case 'window':
      return keptTogether(relation, relation.partition, key)
    case 'top':
      return keptTogether(relation, relation.per, key)
    case 'rows':
    case 'moving':
    case 'whole':
    case 'partition':
      return leaving(relation)
  }
}

function projectRule(
  relation: Extract<Relation, { kind: 'project' }>,
  key: Expression,
  { setReturning }: BindFacts,
): Rule {
  const used = relation.columns.filter(({ id }) => columnsIn(key).has(id))
  // What returns several rows is no value of the row beneath.
  if (returnsSets(used, setReturning)) return leaving(relation)
  const definitions = new Map(used.map(({ id, expression }) => [id, expression]))
  return {
    below: [{ relation: relation.input, key: substituted(key, definitions) }],
    tight: 'every',
  }
}

const branches = (
  inputs: readonly Relation[],
  columns: readonly ColumnId[],
  key: Expression,
): Rule => ({
  tight: 'every',
  below: inputs.map((input) => {
    const own = columnsOf(input)
    const ids = new Map(columns.map((id, at) => [id, columnOf(own[at] ?? id)]))
    return { relation: input, key: substituted(key, ids) }
  }),
})

/** Each input by the first of the expressions that are equal to the key and are over its columns alone. */
function productRule(
  { inputs, where }: Extract<Relation, { kind: 'product' }>,
  key: Expression,
): Rule {
  const equal = equalTo(key, where)
  return {
    tight: 'any',
    below: inputs.map((input) => ({
      relation: input,
      key: equal.find((expression) => isOf(expression, input)) ?? null,
    })),
  }
}

function joinRule(
  relation: Extract<Relation, { kind: 'outer' | 'match' | 'mark' }>,
  key: Expression,
): Rule {
  const { left, right, on } = relation
  const isFull = relation.kind === 'outer' && relation.full
  const merged = isFull ? mergedSides(relation, key) : null
  if (merged !== null) {
    return {
      tight: 'every',
      below: [
        { relation: left, key: merged.left },
        { relation: right, key: merged.right },
      ],
    }
  }
  if (isFull || !isWithin(key, left)) return leaving(relation)
  // A mark of ANY is NULL where a comparison is, so that rows without a key count, too.
  const isBlind = relation.kind === 'mark' && relation.test === 'any'
  const partner = isBlind ? undefined : equalTo(key, on).find((one) => isOf(one, right))
  return {
    // Rows of the left stay without a partner.
    tight: 'first',
    below: [
      { relation: left, key },
      { relation: right, key: partner ?? null },
    ],
  }
}

/** Groups stay whole where the key is made of what they are by. */
function aggregateRule(relation: Extract<Relation, { kind: 'aggregate' }>, key: Expression): Rule {
  const keys = new Map(relation.keys.map(({ id, expression }) => [id, expression]))
  if (![...columnsIn(key)].every((id) => keys.has(id))) return leaving(relation)
  return {
    tight: 'every',
    below: [{ relation: relation.input, key: substituted(key, keys) }],
    alike: alikeIn(relation.input, key, (id) => keys.get(id) ?? columnOf(id)),
  }
}

/** So do rows that a window or a limit looks at together. */
function keptTogether(
  relation: Extract<Relation, { kind: 'window' | 'top' }>,
  by: readonly Expression[],
  key: Expression,
): Rule {
  const { input } = relation
  const below = [{ relation: input, key }]
  // The select list may give the same thing twice.
  const outputs = input.kind === 'project' ? input.columns : []
  const definitions = new Map(outputs.map(({ id, expression }) => [id, expression]))
  const parts = by.map((part) => substituted(part, definitions))
  const whole = substituted(key, definitions)
  if (parts.some((part) => sameExpression(part, whole))) return { below, tight: 'every' }
  const columns = new Set(parts.map((part) => columnIn(part)))
  if (![...columnsIn(whole)].every((id) => columns.has(id))) return leaving(relation)
  return { below, tight: 'every', alike: alikeIn(input, key, columnOf) }
}

/** An expression over what is grouped by gives one value for all of a group only if equal values look alike. */
const alikeIn = (
  of: Relation,
  key: Expression,
  definition: (id: ColumnId) => Expression,
): Cutting['alike'] =>
  columnIn(key) === null
    ? [...columnsIn(key)].map((id) => ({ of, expression: definition(id) }))
    : []

/** A relation whose change follows from those of its inputs. */
const isPlain = (relation: Relation): boolean =>
  [...relationsIn(relation)].every((each) => !isKeyed(each) && each.kind !== 'moving')

/** The sources and views that a relation reads and that do not stand still. */
const namesIn = (relation: Relation): readonly string[] =>
  [...relationsIn(relation)].flatMap((each) =>
    each.kind === 'scan' && each.of.kind !== 'stage' && each.of.still !== true
      ? [each.of.name]
      : [],
  )

/** The key of a scan with the names of columns for their ids: the same for each place in which a table is read. */
export const byName = ({ columns }: Scan, key: Expression): Expression =>
  substituted(key, new Map(columns.map(({ id, name }) => [id, columnOf(name)])))

/** What is equal to an expression by the conditions of a join, itself first. */
function equalTo(expression: Expression, on: readonly Expression[]): readonly Expression[] {
  const known = [expression]
  for (const one of known) {
    for (const [left, right] of on.flatMap((condition) => ownEqualSides(condition))) {
      if (sameExpression(left, one) && !known.some((each) => sameExpression(each, right)))
        known.push(right)
    }
  }
  return known
}

const isOf = (expression: Expression, relation: Relation): boolean =>
  columnsIn(expression).size > 0 && isWithin(expression, relation)

/** `coalesce(l, r)` of a full join on `l = r`: what USING makes. */
function mergedSides(
  { left, right, on }: Extract<Relation, { kind: 'outer' }>,
  key: Expression,
): { readonly left: Expression; readonly right: Expression } | null {
  if (!('CoalesceExpr' in key)) return null
  const [one, other, another] = key.CoalesceExpr.args ?? []
  if (one === undefined || other === undefined || another !== undefined) return null
  const [first, second] = isOf(one, left) ? [one, other] : [other, one]
  if (!isOf(first, left) || !isOf(second, right)) return null
  const joined = on.flatMap((condition) => ownEqualSides(condition))
  const paired = joined.some(([a, b]) => sameExpression(a, first) && sameExpression(b, second))
  return paired ? { left: first, right: second } : null
}

/** A relation in which some sources count as unchanged. */
function standingStill(relation: Relation, names: ReadonlySet<string>): Relation {
  const still = (input: Relation): Relation => {
    if (input.kind === 'apply') return { ...input, left: still(input.left) }
    if (input.kind !== 'scan') return withInputs(input, still)
    return input.of.kind === 'stage' || !names.has(input.of.name)
      ? input
      : { ...input, of: { ...input.of, still: true } }
  }
  return still(relation)
}
