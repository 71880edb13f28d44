import type { Part } from './assemble.ts'
import { listText, partOf } from './assemble.ts'
import type { Sides } from './counted.ts'
import { counted } from './counted.ts'
import type { Item, Statement } from './relation.ts'
import {
  conditionText,
  existsText,
  expressionText,
  indented,
  itemOf,
  joinList,
  markText,
  outputList,
  selectList,
} from './relation.ts'
import { asItWas, crossingRange, differs, movedText, sidesOf } from '../algebra/clock.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import { columnsIn, fromItemText, isNever } from '../algebra/expression.ts'
import { freeIn } from '../algebra/references.ts'
import type { Moving, Product, Relation, Rows } from '../algebra/relation.ts'
import { columnsOf, isConstant } from '../algebra/relation.ts'
import { sqlName } from '../syntax/sql-text.ts'

/**
 * Writes the SELECT of what changed in a relation: rows with a weight `w`, such that the relation as it was and these
 * rows, added up, are the relation as it is. The old state of an input is its new state less what changed in it, so
 * nothing is read but what is there now and the changes: A° = A − ΔA, put into the rules, gives terms over A and ΔA.
 * Each term has a condition on the changes that it reads, which PostgreSQL knows when it plans: terms over nothing
 * cost nothing.
 */
export function emitDelta(statement: Statement, relation: Relation): string {
  switch (relation.kind) {
    case 'product':
      return productDelta(statement, relation)
    case 'project': {
      const input = itemOf(statement, relation.input, 'delta')
      return unionAll(statement, [
        term(statement, {
          list: [outputList(relation.columns)],
          from: [input],
          weight: `${input.alias}.w`,
          where: [],
        }),
      ])
    }
    case 'union':
      return unionDelta(statement, relation)
    case 'outer':
      return outerDelta(statement, relation)
    case 'match':
      return matchDelta(statement, relation)
    case 'mark':
      return markDelta(statement, relation)
    case 'moving':
      return movingDelta(statement, relation)
    case 'rows':
      return rowsDelta(statement, relation)
    default: {
      const item = itemOf(statement, relation, 'delta')
      return `select ${joinList(selectList(columnsOf(relation)), `${item.alias}.w`)} from ${item.sql}`
    }
  }
}

const unionAll = ({ assembly }: Statement, terms: readonly Part[]): string =>
  listText(assembly, terms, '\nunion all\n')

interface Term {
  readonly list: readonly string[]
  readonly from: readonly Item[]
  readonly weight: string
  readonly where: readonly Expression[]
}

/** A term: combinations of rows with a weight, none when one of the changes is empty. */
function term({ assembly }: Statement, { list, from, weight, where }: Term): Part {
  return partOf(
    assembly,
    from.map(({ gate }) => gate),
    (gates) =>
      `select ${joinList(...list, `${weight} as w`)}
from ${from.map(({ sql }) => sql).join(',\n  ')}${whereText([...(where.length === 0 ? [] : [conditionText(where)]), ...gates])}`,
  )
}

const whereText = (conditions: readonly string[]): string =>
  conditions.length === 0 ? '' : `\nwhere ${conditions.join('\n  and ')}`

const weightOf = (...items: readonly Item[]): string =>
  items
    .filter(({ weighted }) => weighted)
    .map(({ alias }) => `${alias}.w`)
    .join(' * ')

/**
 * Δ(A ⋈ B) = ΔA ⋈ B + A ⋈ ΔB − ΔA ⋈ ΔB, and more inputs one after the other. Weights are multiplied, so duplicates
 * and self joins come out right.
 */
function productDelta(statement: Statement, relation: Product): string {
  const list = [selectList(columnsOf(relation))]
  const { last, before, on } = split(relation)
  if (before === null) {
    const item = itemOf(statement, last, 'delta')
    return unionAll(statement, [
      term(statement, { list, from: [item], weight: weightOf(item), where: on }),
    ])
  }
  const terms: Part[] = []
  if (!isConstant(before)) {
    const [changed, other] = [itemOf(statement, before, 'delta'), itemOf(statement, last, 'new')]
    terms.push(
      term(statement, { list, from: [changed, other], weight: weightOf(changed), where: on }),
    )
  }
  if (!isConstant(last)) {
    const [other, changed] = [itemOf(statement, before, 'new'), itemOf(statement, last, 'delta')]
    terms.push(
      term(statement, { list, from: [other, changed], weight: weightOf(changed), where: on }),
    )
  }
  if (!isConstant(before) && !isConstant(last)) {
    const both = [itemOf(statement, before, 'delta'), itemOf(statement, last, 'delta')]
    terms.push(term(statement, { list, from: both, weight: `-${weightOf(...both)}`, where: on }))
  }
  return unionAll(statement, terms)
}

interface Split {
  /** All inputs but the last, with the conditions on them alone; null when there is but one. */
  readonly before: Product | null
  readonly last: Relation
  readonly on: readonly Expression[]
}

const splits = new WeakMap<Product, Split>()

/** Splits a product before its last input, the inputs in an order in which each has a condition with one before it. */
function split(product: Product): Split {
  const known = splits.get(product)
  if (known !== undefined) return known
  const inputs = connected(product)
  const last = inputs.at(-1)
  if (last === undefined) throw new Error('a product that changes has an input')
  const first = inputs.slice(0, -1)
  const given = new Set(first.flatMap((input) => columnsOf(input)))
  const own = new Set(columnsOf(last))
  // A condition with a column of the last input, or of no input at all, stands with the last.
  const within = (condition: Expression): boolean => {
    const columns = [...columnsIn(condition)]
    return columns.some((id) => given.has(id)) && !columns.some((id) => own.has(id))
  }
  const result: Split = {
    last,
    before:
      first.length === 0
        ? null
        : { kind: 'product', inputs: first, where: product.where.filter(within) },
    on: product.where.filter((condition) => first.length === 0 || !within(condition)),
  }
  splits.set(product, result)
  return result
}

function connected({ inputs, where }: Product): readonly Relation[] {
  const left = [...inputs]
  const ordered: Relation[] = []
  const given = new Set<ColumnId>()
  const all = new Set(inputs.flatMap((input) => columnsOf(input)))
  const ready = (input: Relation): boolean =>
    [...freeIn(input)].every((id) => given.has(id) || !all.has(id))
  const joins = (input: Relation): boolean => {
    const own = new Set(columnsOf(input))
    return where.some((condition) => {
      const columns = [...columnsIn(condition)]
      return columns.some((id) => own.has(id)) && columns.some((id) => given.has(id))
    })
  }
  while (left.length > 0) {
    const at = Math.max(
      0,
      left.findIndex((input) => ready(input) && joins(input)) >= 0
        ? left.findIndex((input) => ready(input) && joins(input))
        : left.findIndex((input) => ready(input)),
    )
    const [next] = left.splice(at, 1)
    if (next === undefined) break
    ordered.push(next)
    for (const id of columnsOf(next)) given.add(id)
  }
  return ordered
}

function unionDelta(
  statement: Statement,
  { inputs, columns }: Extract<Relation, { kind: 'union' }>,
): string {
  return unionAll(
    statement,
    inputs
      .filter((input) => !isConstant(input))
      .map((input) => {
        const item = itemOf(statement, input, 'delta')
        const list = columnsOf(input).map(
          (id, at) => `${sqlName(id)} as ${sqlName(columns[at] ?? id)}`,
        )
        return term(statement, { list, from: [item], weight: `${item.alias}.w`, where: [] })
      }),
  )
}

/** Rows of the left as it was: those there are now, and, taken away again, those that changed. */
function oldRows(
  statement: Statement,
  left: Relation,
): readonly { readonly item: Item; readonly weight: string }[] {
  const now = { item: itemOf(statement, left, 'new'), weight: '' }
  if (isConstant(left)) return [now]
  const item = itemOf(statement, left, 'delta')
  return [now, { item, weight: `-${item.alias}.w` }]
}

const times = (...factors: readonly string[]): string =>
  factors.filter((factor) => factor !== '').join(' * ')

/** Rows of the left whose having a partner changed, each with what that adds to its weight. */
function turned(
  statement: Statement,
  sides: Sides,
  list: readonly string[],
  anti: boolean,
): readonly Part[] {
  return oldRows(statement, sides.left).map(({ item, weight }) => {
    const { from, condition, gates, noneNow, noneBefore } = counted(statement, sides, item)
    const change = anti
      ? `((${noneNow})::int - (${noneBefore})::int)`
      : `((${noneBefore})::int - (${noneNow})::int)`
    return partOf(
      statement.assembly,
      gates,
      (own) =>
        `select ${joinList(...list, `${times(weight, change)} as w`)}\n${from}${whereText([condition, `(${noneNow}) <> (${noneBefore})`, ...own])}`,
    )
  })
}

function outerDelta(statement: Statement, relation: Extract<Relation, { kind: 'outer' }>): string {
  const { left, right, on, full } = relation
  const list = selectList(columnsOf(relation))
  const terms: Part[] = []
  if (!isConstant(left)) {
    const rows = itemOf(statement, left, 'delta')
    const partners = itemOf(statement, right, 'new')
    terms.push(
      partOf(
        statement.assembly,
        [rows.gate],
        (gates) =>
          `select ${joinList(list, `${rows.alias}.w`)}\nfrom ${rows.sql}\nleft join ${partners.sql}\n  on ${conditionText(on)}${whereText(gates)}`,
      ),
    )
  }
  // What nothing meets is nobody's partner, whatever changes in it.
  if (!isConstant(right) && !on.some(isNever)) {
    for (const { item, weight } of oldRows(statement, left)) {
      const partners = itemOf(statement, right, 'delta')
      terms.push(
        term(statement, {
          list: [list],
          from: [item, partners],
          weight: times(weight, `${partners.alias}.w`),
          where: on,
        }),
      )
    }
    terms.push(...turned(statement, { left, right, on }, withNulls(relation, left), true))
  }
  if (full) terms.push(...lonelyRight(statement, relation))
  return unionAll(statement, terms)
}

/** The columns of a join for a row of one side without partner. */
function withNulls(relation: Relation, side: Relation): readonly string[] {
  const own = new Set(columnsOf(side))
  return columnsOf(relation).map((id) => (own.has(id) ? sqlName(id) : `null as ${sqlName(id)}`))
}

function lonelyRight(
  statement: Statement,
  relation: Extract<Relation, { kind: 'outer' }>,
): readonly Part[] {
  const { left, right, on } = relation
  const list = withNulls(relation, right)
  const terms: Part[] = []
  if (!isConstant(right)) {
    const rows = itemOf(statement, right, 'delta')
    const alone = `not ${existsText(statement, { right: left, on })}`
    terms.push(
      partOf(
        statement.assembly,
        [rows.gate],
        (gates) =>
          `select ${joinList(...list, `${rows.alias}.w`)}\nfrom ${rows.sql}${whereText([alone, ...gates])}`,
      ),
    )
  }
  if (!isConstant(left)) {
    terms.push(...turned(statement, { left: right, right: left, on }, list, true))
  }
  return terms
}

function matchDelta(statement: Statement, relation: Extract<Relation, { kind: 'match' }>): string {
  const { left, right, on, anti } = relation
  const list = selectList(columnsOf(left))
  const terms: Part[] = []
  if (!isConstant(left)) {
    const rows = itemOf(statement, left, 'delta')
    const kept = `${anti ? 'not ' : ''}${existsText(statement, { right, on })}`
    terms.push(
      partOf(
        statement.assembly,
        [rows.gate],
        (gates) =>
          `select ${joinList(list, `${rows.alias}.w`)}\nfrom ${rows.sql}${whereText([kept, ...gates])}`,
      ),
    )
  }
  if (!isConstant(right)) terms.push(...turned(statement, { left, right, on }, [list], anti))
  return unionAll(statement, terms)
}

/**
 * The law of {@link counted} with the number of rows for which the test is true and of those for which it is NULL:
 * a row whose mark changes goes with the old one and comes with the new one.
 */
function markDelta(statement: Statement, relation: Extract<Relation, { kind: 'mark' }>): string {
  const { left, right, id } = relation
  const list = selectList(columnsOf(left))
  const terms: Part[] = []
  if (!isConstant(left)) {
    const rows = itemOf(statement, left, 'delta')
    const mark = `${markText(statement, relation)} as ${sqlName(id)}`
    terms.push(
      partOf(
        statement.assembly,
        [rows.gate],
        (gates) =>
          `select ${joinList(list, mark, `${rows.alias}.w`)}\nfrom ${rows.sql}${whereText(gates)}`,
      ),
    )
  }
  if (!isConstant(right)) {
    for (const rows of oldRows(statement, left)) terms.push(remarked(statement, relation, rows))
  }
  return unionAll(statement, terms)
}

function remarked(
  statement: Statement,
  { left, right, on, id, test }: Extract<Relation, { kind: 'mark' }>,
  rows: { readonly item: Item; readonly weight: string },
): Part {
  const now = itemOf(statement, right, 'new')
  const came = itemOf(statement, right, 'delta')
  const changed = itemOf(statement, right, 'delta')
  const condition = conditionText(on)
  const truth = test === 'exists' ? 'true' : condition
  const meets =
    on.length === 0
      ? ''
      : `\n  where ${test === 'exists' ? condition : `(${condition}) is not false`}`
  const [n, d, m] = [statement.alias(), statement.alias(), statement.alias()]
  const markOf = (yes: string, unknown: string): string =>
    `case when ${yes} > 0 then true when ${unknown} > 0 then null else false end`
  const is = markOf(`${n}.yes`, `${n}.unknown`)
  const was = markOf(`${n}.yes - ${d}.yes`, `${n}.unknown - ${d}.unknown`)
  const select = (gates: readonly string[]): string =>
    `select ${joinList(selectList(columnsOf(left)), `${m}.mark as ${sqlName(id)}`, `${times(rows.weight, `${m}.sign`)} as w`)}
from ${rows.item.sql}
cross join lateral (
  select count(*) filter (where ${truth}) as yes, count(*) filter (where (${truth}) is null) as unknown
  from ${indented(now.sql).trimStart()}${meets}
) as ${n}
cross join lateral (
  select coalesce(sum(${came.alias}.w) filter (where ${truth}), 0) as yes,
    coalesce(sum(${came.alias}.w) filter (where (${truth}) is null), 0) as unknown
  from ${indented(came.sql).trimStart()}${meets}
) as ${d}
cross join lateral (
  values (1, ${is}), (-1, ${was})
) as ${m} (sign, mark)
where exists (
  select
  from ${indented(changed.sql).trimStart()}${meets}
)
  and (${is}) is distinct from (${was})${gates.map((gate) => `\n  and ${gate}`).join('')}`
  return partOf(statement.assembly, [rows.item.gate, changed.gate], select)
}

/**
 * With f the column that asks the clock, at t now and at t° then:
 * f(t)(A) − f(t°)(A°) = f(t°)(ΔA) + (f(t)(A) − f(t°)(A)). What changed counts as it was then; of what is there now the
 * rows whose column is another one. No more than the rows between both instants are read where an index serves.
 */
function movingDelta(statement: Statement, relation: Moving): string {
  const { input, mark } = relation
  const columns = selectList(columnsOf(input))
  const [is, was] = [expressionText(mark.expression), expressionText(asItWas(mark.expression))]
  const id = sqlName(mark.id)
  const terms: Part[] = []
  if (!isConstant(input)) {
    const changed = itemOf(statement, input, 'delta')
    terms.push(
      term(statement, {
        list: [columns, `${was} as ${id}`],
        from: [changed],
        weight: `${changed.alias}.w`,
        where: [],
      }),
    )
  }
  const rows = itemOf(statement, input, 'new')
  const both = statement.alias()
  const range = crossingRange(mark.expression)
  const conditions = [
    differs(is, was, sidesOf(mark.expression) !== null),
    ...(range === null ? [] : [range]),
    `(${movedText(mark.expression)})`,
  ]
  const sql = `select ${joinList(columns, id, `${both}.w`)}
from ${rows.sql}
cross join lateral (values (${is}, 1::bigint), (${was}, -1)) as ${both} (${id}, w)
where ${conditions.join('\n  and ')}`
  terms.push({ gate: null, sql })
  return unionAll(statement, terms)
}

/** A function in FROM that asks the clock: its rows of then go, its rows of now come. */
function rowsDelta(statement: Statement, { item, columns }: Rows): string {
  const list = selectList(columns)
  const gate = movedText(item)
  const side = (of: Expression, weight: string): string =>
    `select ${joinList(list, `${weight} as w`)}\nfrom ${fromItemText(of)} as ${statement.alias()} (${list})\nwhere ${gate}`
  return `${side(item, '1::bigint')}\nunion all\n${side(asItWas(item), '-1')}`
}
