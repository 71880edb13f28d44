import { freeIn } from '../algebra/references.ts'
import type { Item, Statement } from './relation.ts'
import { conditionText, expressionText, indented, itemOf } from './relation.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import { columnsIn } from '../algebra/expression.ts'
import type { Relation } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'

/** Two relations of which rows are partners where conditions hold. */
export interface Sides {
  readonly left: Relation
  readonly right: Relation
  readonly on: readonly Expression[]
}

/**
 * How many partners rows of the left have now and had before, of those rows that a change on the right meets.
 * Counting stops at what has to be known: whether there are none.
 *
 * The law: a row `a` counts with f(m(a)), m(a) being the number of its partners. Then
 * Σ w(a) f(m(a)) − Σ w°(a) f(m°(a)) = Σ Δw(a) f(m(a)) + Σ w°(a) (f(m(a)) − f(m°(a))), and the last difference is 0
 * unless a change on the right meets `a`. The first sum is over the changes of the left, the second over the left as
 * it was, where it meets a change of the right.
 */
export interface Counted {
  readonly from: string
  readonly condition: string
  /** Without these there is no row. */
  readonly gates: readonly (string | null)[]
  /** SQL that is true where there are no partners now, and where there were none. */
  readonly noneNow: string
  readonly noneBefore: string
}

/** Writes what is counted for rows of the left, as items of FROM and a condition. */
export function counted(statement: Statement, { right, on }: Sides, rows: Item): Counted {
  // What depends on the row of a query around it cannot be added up apart from it.
  const [own, between] = dividedBy(on, columnsOf(right))
  const [pairs, rest] = freeIn(right).size > 0 ? [[], on] : equalities(between, columnsOf(right))
  const now = itemOf(statement, right, 'new')
  const more = statement.alias()
  const some = statement.alias()
  const where = on.length === 0 ? '' : `\n    where ${conditionText(on)}`
  const found = `cross join lateral (
  select count(*) as found
  from (
    select
    from ${indented(now.sql, '    ').trimStart()}${where}
    limit greatest(${more}.came, 0) + 1
  ) as ${statement.alias()}
) as ${some}`
  const none = { noneNow: `${some}.found = 0`, noneBefore: `${some}.found = ${more}.came` }
  const changed = itemOf(statement, right, 'delta')
  const gates = [rows.gate, changed.gate]
  if (pairs.length > 0) {
    const met = { rows, changed, own, pairs, more }
    const { from, conditions } =
      rest.length === 0
        ? metByKey(statement, met)
        : metByKeyAndMore(statement, right, { ...met, on })
    return {
      ...none,
      from: `${from}\n${found}`,
      condition: conditions.join('\n  and '),
      gates,
    }
  }
  const changedAgain = itemOf(statement, right, 'delta')
  return {
    ...none,
    from: `from ${rows.sql}
cross join lateral (
  select coalesce(sum(${changed.alias}.w), 0) as came
  from ${indented(changed.sql).trimStart()}${where}
) as ${more}
${found}`,
    condition: `exists (
  select
  from ${indented(changedAgain.sql).trimStart()}${where}
)`,
    gates,
  }
}

/** Rows of the left that are found by what changed on the right. */
interface Met {
  readonly rows: Item
  readonly changed: Item
  /** Conditions on the right alone. */
  readonly own: readonly Expression[]
  readonly pairs: readonly Equality[]
  /** The alias by which the sum of weights is known: `alias.came`. */
  readonly more: string
}

interface MetRows {
  readonly from: string
  readonly conditions: readonly string[]
}

const sideName = (at: number): string => `"side ${String(at + 1)}"`

const pairsText = (pairs: readonly Equality[], alias: string): readonly string[] =>
  pairs.map(({ outer, sign }, at) => `${expressionText(outer)} ${sign} ${alias}.${sideName(at)}`)

/** The sides of equalities in what changed, each once; with `sum`, what came of each. */
function sidesOfChanges(
  statement: Statement,
  { changed, own, pairs }: Pick<Met, 'changed' | 'own' | 'pairs'>,
  sum: string,
): string {
  const keys = pairs.map(({ inner }, at) => `${expressionText(inner)} as ${sideName(at)}`)
  const by = pairs.map((_, at) => sideName(at)).join(', ')
  return `(
  select ${by}${sum}
  from (
    select ${keys.join(', ')}, ${changed.alias}.w
    from ${indented(changed.sql, '    ').trimStart()}${own.length === 0 ? '' : `\n    where ${conditionText(own)}`}
  ) as ${statement.alias()}
  group by ${by}
)`
}

/** The changes added up by what they are compared by: each row of the left meets one sum, and is found by it. */
function metByKey(statement: Statement, met: Met): MetRows {
  const { rows, pairs, more } = met
  return {
    from: `from ${sidesOfChanges(statement, met, ', sum(w) as came')} as ${more},
  ${indented(rows.sql).trimStart()}`,
    conditions: pairsText(pairs, more),
  }
}

/**
 * As {@link metByKey}, with more conditions than equalities. Rows of the left are found by the equalities, numbered, and
 * joined to the changes that meet all conditions; of each number one row stays, with the sum of the weights. Exact,
 * for a row that meets a change meets it in the equalities, and equal rows of the left have numbers of their own.
 */
function metByKeyAndMore(
  statement: Statement,
  right: Relation,
  { on, ...met }: Met & { readonly on: readonly Expression[] },
): MetRows {
  const { rows, pairs, more } = met
  const keys = statement.alias()
  const again = itemOf(statement, right, 'delta')
  const { alias } = rows
  return {
    from: `from (
  select ${alias}.*, row_number() over (partition by ${alias}."row of left") as "turn of row",
    sum(${again.alias}.w) over (partition by ${alias}."row of left") as came
  from (
    select ${alias}.*, row_number() over () as "row of left"
    from ${indented(sidesOfChanges(statement, met, ''), '    ').trimStart()} as ${keys},
      ${indented(rows.sql, '      ').trimStart()}
    where ${pairsText(pairs, keys).join('\n      and ')}
  ) as ${alias},
    ${indented(again.sql, '    ').trimStart()}
  where ${conditionText(on)}
) as ${alias}
cross join lateral (select ${alias}.came) as ${more}`,
    conditions: [`${alias}."turn of row" = 1`],
  }
}

interface Equality {
  readonly outer: Expression
  readonly inner: Expression
  /** The operator as SQL. */
  readonly sign: string
}

/** Conditions on the right alone, and the others. */
function dividedBy(
  on: readonly Expression[],
  right: readonly ColumnId[],
): readonly [readonly Expression[], readonly Expression[]] {
  const inner = new Set(right)
  const isOwn = (condition: Expression): boolean => {
    const columns = [...columnsIn(condition)]
    return columns.length > 0 && columns.every((id) => inner.has(id))
  }
  return [on.filter(isOwn), on.filter((condition) => !isOwn(condition))]
}

/** Conditions that are equalities between the left and the right, and the others. */
function equalities(
  on: readonly Expression[],
  right: readonly ColumnId[],
): readonly [readonly Equality[], readonly Expression[]] {
  const inner = new Set(right)
  const within = (expression: Expression): boolean => {
    const columns = [...columnsIn(expression)]
    return columns.length > 0 && columns.every((id) => inner.has(id))
  }
  const without = (expression: Expression): boolean =>
    ![...columnsIn(expression)].some((id) => inner.has(id))
  const equalityOf = (condition: Expression): Equality | null => {
    if (!('A_Expr' in condition) || condition.A_Expr.kind !== 'AEXPR_OP') return null
    const { name = [], lexpr, rexpr } = condition.A_Expr
    const parts = name.map((part) => ('String' in part ? (part.String.sval ?? '') : ''))
    if (parts.at(-1) !== '=' || lexpr === undefined || rexpr === undefined) return null
    const sign = parts.length === 1 ? '=' : `operator(${parts.join('.')})`
    if (without(lexpr) && within(rexpr)) return { outer: lexpr, inner: rexpr, sign }
    if (without(rexpr) && within(lexpr)) return { outer: rexpr, inner: lexpr, sign }
    return null
  }
  const found = on.map((condition) => ({ condition, equality: equalityOf(condition) }))
  return [
    found.flatMap(({ equality }) => equality ?? []),
    found.flatMap(({ condition, equality }) => (equality === null ? [condition] : [])),
  ]
}
