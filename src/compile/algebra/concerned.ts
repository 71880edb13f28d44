import type { ColumnId, Expression } from './expression.ts'
import { columnIn, columnOf, columnsIn, equalSides, substituted } from './expression.ts'
import { freeIn, isBoundInward } from './references.ts'
import type { Apply, Output, Product, Relation } from './relation.ts'
import { columnsOf, isConstant, withInputs } from './relation.ts'
import { uniqueIn } from './unique-columns.ts'
import type { BindFacts } from './facts.ts'
import { nodesOf } from '../syntax/walk.ts'

/*
 * What is computed for each row of a left (`apply`) depends on the rows alone that meet the conditions with the columns of
 * that row. So it may be another one only where the row itself changed, or where a changed row meets these conditions
 * with it: the rows of the left that are concerned. Conditions may be left out, more rows are concerned then (decision 97).
 */

/**
 * Rows of the left of an `apply` beside rows that its right reads for them, in several places perhaps: a row of the left
 * whose right changed is in the change of one of these. The left stands still in them. Null where some are not tied to the
 * left by an equality, so that to find those that are concerned would be to look at each of them.
 */
export function concernedIn(apply: Apply): readonly Product[] | null {
  const known = concernedKnown.get(apply)
  if (known !== undefined) return known
  const found = concernedAnew(apply)
  concernedKnown.set(apply, found)
  return found
}

const concernedKnown = new WeakMap<Apply, readonly Product[] | null>()

function concernedAnew({ left, right }: Apply): readonly Product[] | null {
  const around = { inputs: [stillOf(left)], where: [], definitions: new Map() }
  const places = placesIn(right, around)
  return places !== null && places.every(isFound) ? places.map(productOfPlace) : null
}

/**
 * Columns of the left by which its rows are told apart where they are concerned: those that are unique in it, as far as that
 * is seen; else those that the right refers to. Rows that agree in them are computed together.
 */
export function leftKeyOf({ left, right }: Apply, facts: BindFacts): readonly ColumnId[] {
  const own = finestIn(left, facts)
  if (own !== null) return own
  const free = freeIn(right)
  return columnsOf(left).filter((id) => free.has(id))
}

/** Columns that tell rows apart more finely than any others that are known; how finely is no matter of exactness. */
function finestIn(relation: Relation, facts: BindFacts): readonly ColumnId[] | null {
  const [unique] = uniqueIn(relation, facts)
  if (unique !== undefined) return unique
  switch (relation.kind) {
    case 'product': {
      const keys = relation.inputs.map((input) => (isConstant(input) ? [] : finestIn(input, facts)))
      const found = keys.filter((key) => key !== null)
      return found.length < keys.length ? null : found.flat()
    }
    case 'outer':
      return relation.full ? null : finestIn(relation.left, facts)
    case 'apply':
    case 'match':
    case 'mark':
      return finestIn(relation.left, facts)
    case 'project': {
      const below = finestIn(relation.input, facts)
      const shown = below?.map((id) => columnFor(id, relation.columns)) ?? []
      const known = shown.filter((id) => id !== null)
      return below !== null && known.length === below.length ? known : null
    }
    default:
      return null
  }
}

const columnFor = (id: ColumnId, outputs: readonly Output[]): ColumnId | null =>
  outputs.find(({ expression }) => columnIn(expression) === id)?.id ?? null

/** Rows side by side, with the conditions that they have to meet. */
interface Place {
  readonly inputs: readonly Relation[]
  readonly where: readonly Expression[]
  /** What columns are that a projection above an input gave. */
  readonly definitions: ReadonlyMap<ColumnId, Expression>
}

const productOfPlace = ({ inputs, where }: Place): Product => ({ kind: 'product', inputs, where })

const givenIn = ({ inputs }: Place): ReadonlySet<ColumnId> =>
  new Set(inputs.flatMap((input) => columnsOf(input)))

/** With those of some conditions that are about its columns alone. */
function meeting(place: Place, conditions: readonly Expression[]): Place {
  const given = givenIn(place)
  const own = conditions
    .map((condition) => substituted(condition, place.definitions))
    .filter((condition) => [...columnsIn(condition)].every((id) => given.has(id)))
  return { ...place, where: [...place.where, ...own] }
}

/** Rows with those of a relation beside them that does not group or limit by them. */
function beside(place: Place, relation: Relation): Place {
  if (relation.kind === 'product')
    return meeting(relation.inputs.reduce(beside, place), relation.where)
  if (relation.kind !== 'project') {
    const { alone, where } = apart(relation)
    return meeting({ ...place, inputs: [...place.inputs, alone] }, where)
  }
  const below = beside(place, relation.input)
  // A column that is handed on under its own name is what it was.
  const named = relation.columns.flatMap(({ id, expression }) => {
    const own = callsFunction(expression) ? unknown(id) : substituted(expression, below.definitions)
    return columnIn(expression) === id ? [] : [[id, own] as const]
  })
  return { ...below, definitions: new Map([...below.definitions, ...named]) }
}

/** Stands for what conditions cannot be asked of: no relation gives it. */
const unknown = (id: ColumnId): Expression => columnOf(`${id} of a function`)

/** What a function gives may be several rows. */
const callsFunction = (expression: Expression): boolean =>
  nodesOf(expression).some(({ kind }) => kind === 'FuncCall')

/** Takes the conditions with columns of a query around it out of a relation, where they are conditions on its rows. */
function apart(relation: Relation): {
  readonly alone: Relation
  readonly where: readonly Expression[]
} {
  switch (relation.kind) {
    case 'product': {
      const inputs = relation.inputs.map((input) => apart(input))
      const given = new Set(columnsOf(relation))
      const isOwn = (condition: Expression): boolean =>
        [...columnsIn(condition)].every((id) => given.has(id))
      return {
        alone: {
          kind: 'product',
          inputs: inputs.map(({ alone }) => alone),
          where: relation.where.filter(isOwn),
        },
        where: [
          ...inputs.flatMap(({ where }) => where),
          ...relation.where.filter((condition) => !isOwn(condition)),
        ],
      }
    }
    case 'match':
    case 'mark': {
      const { alone, where } = apart(relation.left)
      return { alone: { ...relation, left: alone }, where }
    }
    case 'outer': {
      if (relation.full) return { alone: relation, where: [] }
      const { alone, where } = apart(relation.left)
      return { alone: { ...relation, left: alone }, where }
    }
    case 'moving': {
      const { alone, where } = apart(relation.input)
      return { alone: { ...relation, input: alone }, where }
    }
    default:
      return { alone: relation, where: [] }
  }
}

/**
 * The places from which a relation reads, each beside the rows around it that it reads for; null where one is not understood.
 * Rows of it that do not meet `on` are nobody's concern.
 */
function placesIn(
  relation: Relation,
  around: Place,
  on: readonly Expression[] = [],
): readonly Place[] | null {
  if (isConstant(relation)) return []
  const place = standing(relation, around)
  if (place !== null) return [meeting(place, on)]
  switch (relation.kind) {
    case 'project':
    case 'aggregate':
    case 'window':
    case 'top':
      return placesIn(relation.input, around)
    case 'product':
      return placesInProduct({ ...relation, where: [...relation.where, ...on] }, around)
    case 'union':
      return all(relation.inputs.map((input) => placesIn(input, around)))
    case 'set':
      return all([relation.left, relation.right].map((input) => placesIn(input, around)))
    case 'outer':
    case 'match':
    case 'mark':
    case 'apply':
      return placesInJoin(relation, around, on)
    default:
      return null
  }
}

/** What depends on its row within itself is beside what does not. */
function placesInProduct(product: Product, around: Place): readonly Place[] | null {
  const { place, rest } = gathered(product, around)
  const own = place.inputs.slice(around.inputs.length).some((input) => !isConstant(input))
  return all([own ? [place] : [], ...rest.map((input) => placesIn(input, place, product.where))])
}

/** The inputs of a product that stand beside rows around them, and the rest. */
function gathered(
  { inputs, where }: Product,
  around: Place,
): { readonly place: Place; readonly rest: readonly Relation[] } {
  const rest: Relation[] = []
  let place = around
  for (const input of inputs) {
    const more = standing(input, place)
    if (more === null) rest.push(input)
    else place = more
  }
  return { place: meeting(place, where), rest }
}

/** Rows around with those of a relation beside them; null where it depends on them within itself. */
function standing(relation: Relation, around: Place): Place | null {
  if (isBoundInward(relation)) return null
  const place = beside(around, relation)
  return isClosed(place) ? place : null
}

/** Rows around with those beside them that a relation has rows for, or more of these. */
function widened(relation: Relation, around: Place): Place {
  const place = standing(relation, around)
  if (place !== null) return place
  switch (relation.kind) {
    case 'product': {
      const each = (before: Place, input: Relation): Place => widened(input, before)
      return meeting(relation.inputs.reduce(each, around), relation.where)
    }
    case 'match':
    case 'mark':
    case 'apply':
      return widened(relation.left, around)
    case 'outer':
      return relation.full ? around : widened(relation.left, around)
    default:
      return around
  }
}

type Join = Extract<Relation, { kind: 'outer' | 'match' | 'mark' | 'apply' }>

/**
 * The left, and the right beside the left. Rows of the left that do not meet `on` have no part in what is above; of rows of
 * the right nothing is said, for a row of an outer join may be there because they are not.
 */
function placesInJoin(
  join: Join,
  around: Place,
  on: readonly Expression[],
): readonly Place[] | null {
  const { left, right } = join
  if (join.kind === 'outer' && join.full)
    return all([left, right].map((input) => placesIn(input, around)))
  const ofLeft = on.filter((condition) => !refersTo(condition, right))
  const place = meeting(widened(left, around), ofLeft)
  return all([placesIn(left, around, ofLeft), placesIn(right, place, partnerConditions(join))])
}

const refersTo = (condition: Expression, relation: Relation): boolean => {
  const ids = columnsIn(condition)
  return columnsOf(relation).some((id) => ids.has(id))
}

/** What every row of the right has to meet that a row of the left is joined to. */
function partnerConditions(join: Join): readonly Expression[] {
  if (join.kind === 'apply') return []
  if (join.kind !== 'mark' || join.test === 'exists') return join.on
  // A row for which a comparison of IN is NULL says something as well.
  return join.on.flatMap((condition) => {
    const test = 'BooleanTest' in condition ? condition.BooleanTest : null
    return test?.booltesttype === 'IS_TRUE' && test.arg !== undefined ? [test.arg] : []
  })
}

const all = (places: readonly (readonly Place[] | null)[]): readonly Place[] | null => {
  const found = places.filter((each) => each !== null)
  return found.length < places.length ? null : found.flat()
}

/** Nothing in it refers to anything outside; what changes stands by itself, so that it is read from the change. */
const isClosed = (place: Place): boolean =>
  freeIn(productOfPlace(place)).size === 0 &&
  place.inputs.every((input) => isConstant(input) || freeIn(input).size === 0)

/** Whether everything is tied to the first input by equalities, from one to the next. */
function isFound({ inputs, where }: Place): boolean {
  const [first, ...rest] = inputs.map((input) => ({ input, columns: columnsOf(input) }))
  const reached = new Set(first?.columns)
  let left = rest.filter(({ input }) => !isConstant(input))
  for (let before = -1; before !== left.length;) {
    before = left.length
    left = left.filter(({ columns }) => {
      const own = new Set(columns)
      const isTied = where.some((condition) =>
        equalSides(condition).some(([side, other]) => isOf(side, own) && isOf(other, reached)),
      )
      if (isTied) for (const id of columns) reached.add(id)
      return !isTied
    })
  }
  return left.length === 0
}

/** Whether an expression refers to some columns, and to no others. */
const isOf = (expression: Expression, columns: ReadonlySet<ColumnId>): boolean => {
  const ids = [...columnsIn(expression)]
  return ids.length > 0 && ids.every((id) => columns.has(id))
}

/** A relation that counts as unchanged. */
function stillOf(relation: Relation): Relation {
  if (relation.kind !== 'scan') return withInputs(relation, stillOf)
  return { ...relation, of: { ...relation.of, still: true } }
}
