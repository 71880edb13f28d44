import type { Mode, Statement } from './emit-relation.ts'
import {
  conditionText,
  existsText,
  indented,
  itemOf,
  markText,
  outputList,
  selectList,
} from './emit-relation.ts'
import type { ColumnId, Expression } from './expression.ts'
import type { Relation } from './relation.ts'
import { columnsOf, isConstant } from './relation.ts'
import { sqlName } from './sql-text.ts'

/**
 * Writes the SELECT of what changed in a relation: rows with a weight `w`, such that the relation as it was and these
 * rows, added up, are the relation as it is. The old state of an input is its new state less what changed in it, so
 * nothing is read but what is there now and the changes.
 */
export function emitDelta(statement: Statement, relation: Relation): string {
  switch (relation.kind) {
    case 'product':
      return productDelta(statement, relation)
    case 'project': {
      const input = itemOf(statement, relation.input, 'delta')
      return `select ${joinList(outputList(relation.columns), `${input.alias}.w`)}\nfrom ${input.sql}`
    }
    case 'union':
      return unionDelta(statement, relation)
    case 'outer':
      return outerDelta(statement, relation)
    case 'match':
      return matchDelta(statement, relation)
    case 'mark':
      return markDelta(statement, relation)
    default: {
      const item = itemOf(statement, relation, 'delta')
      return `select ${joinList(selectList(columnsOf(relation)), `${item.alias}.w`)} from ${item.sql}`
    }
  }
}

const joinList = (...parts: readonly string[]): string =>
  parts.filter((part) => part !== '').join(', ')

const unionAll = (terms: readonly string[]): string => terms.join('\nunion all\n')

/**
 * Δ(A ⋈ B ⋈ C) = ΔA ⋈ B° ⋈ C° + A ⋈ ΔB ⋈ C° + A ⋈ B ⋈ ΔC, with A as it is and A° as it was: the terms telescope.
 * Weights are multiplied, so duplicates and self joins come out right.
 */
function productDelta(
  statement: Statement,
  relation: Extract<Relation, { kind: 'product' }>,
): string {
  const { inputs, where } = relation
  const terms = inputs.flatMap((input, at) => {
    if (isConstant(input)) return []
    const items = inputs.map((each, place) => {
      const mode: Mode = place === at ? 'delta' : place < at ? 'new' : 'old'
      return itemOf(statement, each, mode)
    })
    const weights = items.filter(({ weighted }) => weighted).map(({ alias }) => `${alias}.w`)
    return [
      [
        `select ${joinList(selectList(columnsOf(relation)), `${weights.join(' * ')} as w`)}`,
        `from ${items.map(({ sql }) => sql).join(',\n  ')}`,
        ...(where.length === 0 ? [] : [`where ${conditionText(where)}`]),
      ].join('\n'),
    ]
  })
  return unionAll(terms)
}

function unionDelta(
  statement: Statement,
  { inputs, columns }: Extract<Relation, { kind: 'union' }>,
): string {
  return unionAll(
    inputs
      .filter((input) => !isConstant(input))
      .map((input) => {
        const item = itemOf(statement, input, 'delta')
        const list = columnsOf(input).map(
          (id, at) => `${sqlName(id)} as ${sqlName(columns[at] ?? id)}`,
        )
        return `select ${joinList(...list, `${item.alias}.w`)} from ${item.sql}`
      }),
  )
}

interface Sides {
  readonly left: Relation
  readonly right: Relation
  readonly on: readonly Expression[]
}

/**
 * How many partners a row of the left has now and had before, for rows of the left that something on the right
 * changed for. Counting stops at what has to be known: whether there are none.
 *
 * The law: a row `a` counts with f(m(a)), m(a) being the number of its partners. Then
 * Σ w(a) f(m(a)) − Σ w°(a) f(m°(a)) = Σ Δw(a) f(m(a)) + Σ w°(a) (f(m(a)) − f(m°(a))), and the last difference is 0
 * unless a change on the right meets `a`. The first sum is over the changes of the left, the second over the left as
 * it was, where it meets a change of the right.
 */
interface Counted {
  readonly from: string
  readonly condition: string
  /** SQL that is true where there are no partners now, and where there were none. */
  readonly noneNow: string
  readonly noneBefore: string
  readonly weight: string
}

function counted(statement: Statement, { left, right, on }: Sides): Counted {
  const rows = itemOf(statement, left, 'old')
  const changed = itemOf(statement, right, 'delta')
  const changedAgain = itemOf(statement, right, 'delta')
  const now = itemOf(statement, right, 'new')
  const more = statement.alias()
  const some = statement.alias()
  const where = on.length === 0 ? '' : `\n    where ${conditionText(on)}`
  return {
    from: `from ${rows.sql}
cross join lateral (
  select coalesce(sum(${changed.alias}.w), 0) as came
  from ${indented(changed.sql).trimStart()}${where}
) as ${more}
cross join lateral (
  select count(*) as found
  from (
    select
    from ${indented(now.sql, '    ').trimStart()}${where}
    limit greatest(${more}.came, 0) + 1
  ) as ${statement.alias()}
) as ${some}`,
    condition: `exists (
  select
  from ${indented(changedAgain.sql).trimStart()}${where}
)`,
    noneNow: `${some}.found = 0`,
    noneBefore: `${some}.found = ${more}.came`,
    weight: rows.weighted ? `${rows.alias}.w` : '1::bigint',
  }
}

function outerDelta(statement: Statement, relation: Extract<Relation, { kind: 'outer' }>): string {
  const { left, right, on, full } = relation
  const list = selectList(columnsOf(relation))
  const terms: string[] = []
  if (!isConstant(left)) {
    const rows = itemOf(statement, left, 'delta')
    const partners = itemOf(statement, right, 'new')
    terms.push(
      `select ${joinList(list, `${rows.alias}.w`)}\nfrom ${rows.sql}\nleft join ${partners.sql}\n  on ${conditionText(on)}`,
    )
  }
  if (!isConstant(right)) {
    const rows = itemOf(statement, left, 'old')
    const partners = itemOf(statement, right, 'delta')
    const weight = rows.weighted ? `${rows.alias}.w * ${partners.alias}.w` : `${partners.alias}.w`
    terms.push(
      `select ${joinList(list, `${weight} as w`)}\nfrom ${rows.sql},\n  ${partners.sql}\nwhere ${conditionText(on)}`,
      lonely(statement, { left, right, on }, { columns: columnsOf(relation), weighs: 'change' }),
    )
  }
  if (full) terms.push(...lonelyRight(statement, relation))
  return unionAll(terms)
}

/** Rows of the left that lost or found their only partners, with NULLs for the right. */
function lonely(
  statement: Statement,
  sides: Sides,
  { columns }: { readonly columns: readonly ColumnId[]; readonly weighs: 'change' },
): string {
  const { from, condition, noneNow, noneBefore, weight } = counted(statement, sides)
  const own = new Set(columnsOf(sides.left))
  const list = columns.map((id) => (own.has(id) ? sqlName(id) : `null as ${sqlName(id)}`))
  const change = `${weight} * ((${noneNow})::int - (${noneBefore})::int) as w`
  return `select ${joinList(...list, change)}\n${from}\nwhere ${condition}\n  and (${noneNow}) <> (${noneBefore})`
}

function lonelyRight(
  statement: Statement,
  relation: Extract<Relation, { kind: 'outer' }>,
): readonly string[] {
  const { left, right, on } = relation
  const columns = columnsOf(relation)
  const own = new Set(columnsOf(right))
  const list = columns.map((id) => (own.has(id) ? sqlName(id) : `null as ${sqlName(id)}`))
  const terms: string[] = []
  if (!isConstant(right)) {
    const rows = itemOf(statement, right, 'delta')
    terms.push(
      `select ${joinList(...list, `${rows.alias}.w`)}\nfrom ${rows.sql}\nwhere not ${existsText(statement, { right: left, on })}`,
    )
  }
  if (!isConstant(left)) {
    terms.push(lonely(statement, { left: right, right: left, on }, { columns, weighs: 'change' }))
  }
  return terms
}

function matchDelta(statement: Statement, relation: Extract<Relation, { kind: 'match' }>): string {
  const { left, right, on, anti } = relation
  const list = selectList(columnsOf(left))
  const terms: string[] = []
  if (!isConstant(left)) {
    const rows = itemOf(statement, left, 'delta')
    terms.push(
      `select ${joinList(list, `${rows.alias}.w`)}\nfrom ${rows.sql}\nwhere ${anti ? 'not ' : ''}${existsText(statement, { right, on })}`,
    )
  }
  if (!isConstant(right)) {
    const { from, condition, noneNow, noneBefore, weight } = counted(statement, { left, right, on })
    const change = anti
      ? `((${noneNow})::int - (${noneBefore})::int)`
      : `((${noneBefore})::int - (${noneNow})::int)`
    terms.push(
      `select ${joinList(list, `${weight} * ${change} as w`)}\n${from}\nwhere ${condition}\n  and (${noneNow}) <> (${noneBefore})`,
    )
  }
  return unionAll(terms)
}

/**
 * The law of {@link counted} with the number of rows for which the test is true and of those for which it is NULL:
 * a row whose mark changes goes with the old one and comes with the new one.
 */
function markDelta(statement: Statement, relation: Extract<Relation, { kind: 'mark' }>): string {
  const { left, right, on, id, test } = relation
  const list = selectList(columnsOf(left))
  const terms: string[] = []
  if (!isConstant(left)) {
    const rows = itemOf(statement, left, 'delta')
    terms.push(
      `select ${joinList(list, `${markText(statement, relation)} as ${sqlName(id)}`, `${rows.alias}.w`)}\nfrom ${rows.sql}`,
    )
  }
  if (isConstant(right)) return unionAll(terms)
  const rows = itemOf(statement, left, 'old')
  const [now, before, changed] = [
    itemOf(statement, right, 'new'),
    itemOf(statement, right, 'delta'),
    itemOf(statement, right, 'delta'),
  ]
  const condition = conditionText(on)
  const truth = test === 'exists' ? 'true' : condition
  const meets =
    on.length === 0
      ? ''
      : `\n  where ${test === 'exists' ? condition : `(${condition}) is not false`}`
  const [n, d, m] = [statement.alias(), statement.alias(), statement.alias()]
  const markOf = (yes: string, unknown: string): string =>
    `case when ${yes} > 0 then true when ${unknown} > 0 then null else false end`
  const weight = rows.weighted ? `${rows.alias}.w * ${m}.sign` : `${m}.sign`
  terms.push(`select ${joinList(list, `${m}.mark as ${sqlName(id)}`, `${weight} as w`)}
from ${rows.sql}
cross join lateral (
  select count(*) filter (where ${truth}) as yes, count(*) filter (where (${truth}) is null) as unknown
  from ${indented(now.sql).trimStart()}${meets}
) as ${n}
cross join lateral (
  select coalesce(sum(${before.alias}.w) filter (where ${truth}), 0) as yes,
    coalesce(sum(${before.alias}.w) filter (where (${truth}) is null), 0) as unknown
  from ${indented(before.sql).trimStart()}${meets}
) as ${d}
cross join lateral (
  values (1, ${markOf(`${n}.yes`, `${n}.unknown`)}),
    (-1, ${markOf(`${n}.yes - ${d}.yes`, `${n}.unknown - ${d}.unknown`)})
) as ${m} (sign, mark)
where exists (
  select
  from ${indented(changed.sql).trimStart()}${meets}
)
  and (${markOf(`${n}.yes`, `${n}.unknown`)}) is distinct from (${markOf(`${n}.yes - ${d}.yes`, `${n}.unknown - ${d}.unknown`)})`)
  return unionAll(terms)
}
