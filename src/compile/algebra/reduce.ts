import type { BindFacts } from './facts.ts'
import type { ColumnId, Expression } from './expression.ts'
import { columnIn, columnOf, columnsIn, operation, ownEqualSides } from './expression.ts'
import { returnsSets } from './peel.ts'
import { productOf } from './product.ts'
import { freeIn, scannedType } from './references.ts'
import type { Output, Relation } from './relation.ts'
import { columnsOf, isKeyed, relationsIn, withInputs } from './relation.ts'
import { uniqueIn } from './unique-columns.ts'

/*
 * Of what is grouped, numbered or limited by a key often few keys are ever asked for: those of the rows that a filter leaves of
 * another table. What it is computed from is reduced to these, so that nothing is stored and kept up for the others
 * (decision 85).
 */

/** What reducing has to know beside the relation. */
export interface Reducing {
  readonly facts: BindFacts
  /** A new column id that reminds of a name. */
  readonly fresh: (hint: string) => ColumnId
}

/** The same rows of a query, whose keyed parts are computed for the keys alone that a filtered table asks for. */
export function reduced(root: Relation, reducing: Reducing): Relation {
  const uses = new Map<Relation, number>()
  for (const each of relationsIn(root)) uses.set(each, (uses.get(each) ?? 0) + 1)
  // What is read in several places is stored once, for all of them.
  const isShared = (relation: Relation): boolean => (uses.get(relation) ?? 0) > 1
  const made = new Map<Relation, Relation>()
  const walk = (relation: Relation, above: readonly Expression[]): Relation => {
    const known = made.get(relation)
    if (known !== undefined) return known
    const filters = isShared(relation) ? [] : above
    const fewer = withFewerKeys(relation, filters, (asked, by) =>
      askedKeysOnly(asked, by, { ...reducing, isShared }),
    )
    const below = (input: Relation): Relation => walk(input, filtersOf(fewer, input, filters))
    const result =
      fewer.kind === 'apply' ? { ...fewer, left: below(fewer.left) } : withInputs(fewer, below)
    made.set(relation, result)
    return result
  }
  return walk(root, [])
}

/** Of the conditions that rows of a relation have to meet those that are about one of its inputs, whose rows come along with it. */
function filtersOf(
  relation: Relation,
  input: Relation,
  above: readonly Expression[],
): readonly Expression[] {
  const own = (conditions: readonly Expression[]): readonly Expression[] =>
    aboutOnly(conditions, new Set(columnsOf(input)))
  switch (relation.kind) {
    case 'product':
      return own([...above, ...relation.where])
    case 'project':
      return aboutOnly(own(above), keptBy(relation.columns))
    case 'outer':
      return relation.full || input !== relation.left ? [] : own(above)
    case 'match':
    case 'mark':
      return input === relation.left ? own(above) : []
    case 'moving':
      return own(above)
    default:
      return []
  }
}

/** Columns that a projection hands on as they are. */
const keptBy = (columns: readonly Output[]): ReadonlySet<ColumnId> =>
  new Set(columns.flatMap(({ id, expression }) => (columnIn(expression) === id ? [id] : [])))

/** The conditions that refer to some columns and to no others. */
const aboutOnly = (
  conditions: readonly Expression[],
  columns: ReadonlySet<ColumnId>,
): readonly Expression[] =>
  conditions.filter((condition) => columnsIn(condition).size > 0 && isAbout(condition, columns))

const isAbout = (condition: Expression, columns: ReadonlySet<ColumnId>): boolean =>
  [...columnsIn(condition)].every((id) => columns.has(id))

/** Who reads rows, and the conditions that all pairs of its rows and theirs have to meet. */
interface Reader {
  readonly reader: Relation
  readonly on: readonly Expression[]
}

/**
 * A join of which the sides are changed whose rows are not in the result without a partner. Its own rows have to meet the
 * conditions `above`.
 */
function withFewerKeys(
  join: Relation,
  above: readonly Expression[],
  change: (asked: Relation, by: Reader) => Relation,
): Relation {
  switch (join.kind) {
    case 'product': {
      const { inputs, where } = join
      const others = (asked: Relation): Relation => {
        const rest = inputs.filter((input) => input !== asked)
        const given = new Set(rest.flatMap((input) => columnsOf(input)))
        return productOf(rest, aboutOnly([...above, ...where], given))
      }
      const changed = inputs.map((asked) => change(asked, { reader: others(asked), on: where }))
      return { ...join, inputs: changed }
    }
    case 'outer':
    case 'match': {
      const { left, right, on } = join
      if (join.kind === 'outer' && join.full) return join
      const reader = productOf([left], aboutOnly(above, new Set(columnsOf(left))))
      return { ...join, right: change(right, { reader, on }) }
    }
    default:
      return join
  }
}

/** A column of what is asked for and the one of the reader that it is compared with. */
interface Pair {
  readonly inner: ColumnId
  readonly outer: ColumnId
}

function askedKeysOnly(
  asked: Relation,
  { reader, on }: Reader,
  reducing: Omit<Asking, 'reader'>,
): Relation {
  if (freeIn(asked).size > 0) return asked
  const [own, theirs] = [new Set(columnsOf(asked)), new Set(columnsOf(reader))]
  const pairs = on.flatMap((condition) =>
    ownEqualSides(condition).flatMap((sides) => {
      const [inner, outer] = sides.map(columnIn)
      return inner != null && outer != null && own.has(inner) && theirs.has(outer)
        ? [{ inner, outer }]
        : []
    }),
  )
  return pairs.length === 0 ? asked : reducedBelow(asked, pairs, { reader, ...reducing })
}

interface Asking extends Reducing {
  readonly reader: Relation
  readonly isShared: (relation: Relation) => boolean
}

/** Finds what is keyed beneath projections and conditions, where each row is one of its rows, and reduces it. */
function reducedBelow(asked: Relation, pairs: readonly Pair[], asking: Asking): Relation {
  const [only, another] = asked.kind === 'product' ? asked.inputs : []
  if (asked.kind === 'product' && only !== undefined && another === undefined)
    return { ...asked, inputs: [reducedBelow(only, pairs, asking)] }
  if (asked.kind === 'project' && !returnsSets(asked.columns, asking.facts.setReturning)) {
    const below = renamed(pairs, asked.columns)
    return { ...asked, input: reducedBelow(asked.input, below, asking) }
  }
  if (asking.isShared(asked)) return asked
  if (asked.kind === 'aggregate')
    return { ...asked, input: reducedInput(asked.input, renamed(pairs, asked.keys), asking) }
  if (asked.kind !== 'window' && asked.kind !== 'top') return asked
  const parts = asked.kind === 'window' ? asked.partition : asked.per
  const keys = new Set(parts.map((part) => columnIn(part)))
  const wanted = pairs.filter(({ inner }) => keys.has(inner))
  return { ...asked, input: reducedInput(asked.input, wanted, asking) }
}

/** The pairs whose column is plainly one of the relation below. */
const renamed = (pairs: readonly Pair[], columns: readonly Output[]): readonly Pair[] =>
  pairs.flatMap(({ inner, outer }) => {
    const output = columns.find(({ id }) => id === inner)
    const below = output === undefined ? null : columnIn(output.expression)
    return below === null ? [] : [{ inner: below, outer }]
  })

/**
 * The rows of an input whose key some row of the reader has. By a part of the reader that gives more of them if any, so that
 * a refresh looks at one table for each changed row.
 */
function reducedInput(input: Relation, pairs: readonly Pair[], asking: Asking): Relation {
  const { reader, facts, fresh } = asking
  const plain = pairs.filter(({ inner, outer }) =>
    areAlike(typeIn(input, inner, facts), typeIn(reader, outer, facts)),
  )
  for (const part of partsOf(reader)) {
    const keys = plain.filter(({ outer }) => part.columns.has(outer))
    if (!isFew(part.rows, new Set(keys.map(({ outer }) => outer)), facts)) continue
    const columns = keys.map(({ outer }): Output => ({
      id: fresh('asked'),
      expression: columnOf(outer),
    }))
    const on = keys.map(({ inner }, at) =>
      operation('=', columnOf(inner), columnOf(columns[at]?.id ?? '')),
    )
    const right: Relation = { kind: 'project', input: part.rows, columns }
    return { kind: 'match', anti: false, left: input, right, on }
  }
  return input
}

/** The type of a column of a table, whatever it is called above. */
function typeIn(relation: Relation, id: ColumnId, facts: BindFacts): string {
  for (const each of relationsIn(relation)) {
    const output = each.kind === 'project' ? each.columns.find((one) => one.id === id) : undefined
    const below = output === undefined ? null : columnIn(output.expression)
    if (below !== null && below !== id) return typeIn(relation, below, facts)
  }
  return scannedType(relation, id, facts)
}

const integers = /^(smallint|integer|bigint)$/

/** Whether `=` says of columns of two types of PostgreSQL's own what groups by the one of them do. */
function areAlike(one: string, other: string): boolean {
  const [left, right] = [one, other].map((type) =>
    type.replace(/\(.*\)/, '').replace(integers, 'integer'),
  )
  return left !== '' && left === right && !one.includes('.')
}

/** Rows of one table, filtered: what a row of a relation has in some columns a row of these has in them. */
interface Part {
  readonly rows: Relation
  readonly columns: ReadonlySet<ColumnId>
}

function partsOf(relation: Relation): readonly Part[] {
  switch (relation.kind) {
    case 'scan':
      return relation.of.kind === 'stage'
        ? []
        : [{ rows: relation, columns: new Set(columnsOf(relation)) }]
    case 'product':
      return relation.inputs.flatMap(partsOf).map(({ rows, columns }) => {
        return { rows: productOf([rows], aboutOnly(relation.where, columns)), columns }
      })
    case 'project':
      return partsOf(relation.input).map(({ rows, columns }) => {
        const kept = keptBy(relation.columns)
        return { rows, columns: new Set([...columns].filter((id) => kept.has(id))) }
      })
    case 'match':
      return partsOf(relation.left).map((part) => matchedPart(part, relation))
    case 'outer':
      return relation.full ? [] : partsOf(relation.left)
    case 'mark':
      return partsOf(relation.left)
    case 'moving':
      return partsOf(relation.input)
    default:
      return []
  }
}

/** A part with the partners that its rows have to have, where these stand in tables as well. */
function matchedPart(part: Part, match: Extract<Relation, { kind: 'match' }>): Part {
  const { right, on, anti } = match
  const given = new Set([...part.columns, ...columnsOf(right)])
  const isOwn = on.every((condition) => isAbout(condition, given))
  const isStored = [...relationsIn(right)].some((each) => isKeyed(each))
  if (anti || isStored || !isOwn || freeIn(right).size > 0) return part
  return { ...part, rows: { ...match, left: part.rows } }
}

/** Whether a filter leaves few of the rows that have a key each, so that it is found by its index. */
const isFew = (rows: Relation, keys: ReadonlySet<ColumnId>, facts: BindFacts): boolean =>
  uniqueIn(rows, facts).some((set) => set.every((id) => keys.has(id))) &&
  [...relationsIn(rows)].some((each) => each.kind === 'product' && each.where.some(picks))

const picking = /^(=|~~\*?|~\*?|\^@)$/

/** Whether a condition compares with a constant so that few rows meet it, as a rule. */
function picks(condition: Expression): boolean {
  if (!('A_Expr' in condition)) return false
  const { kind, name, lexpr, rexpr } = condition.A_Expr
  const sign = name?.at(-1)
  if (sign === undefined || !('String' in sign) || !picking.test(sign.String.sval ?? ''))
    return false
  if (kind !== 'AEXPR_OP' && kind !== 'AEXPR_OP_ANY' && kind !== 'AEXPR_IN') return false
  const [left, right] = [columnsIn(lexpr).size, columnsIn(rexpr).size]
  return left + right > 0 && left * right === 0
}
