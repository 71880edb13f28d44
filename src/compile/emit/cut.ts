import type { FuncCall, TypeCast } from 'libpg-query'
import type { ColumnType, ResultColumn } from '../../model/view.ts'
import type { ColumnId, Expression } from '../algebra/expression.ts'
import { columnIn, columnOf, sqlOf } from '../algebra/expression.ts'
import { functionName } from '../syntax/functions.ts'
import { byName } from '../algebra/partition-cuts.ts'
import type { Cut, Partition } from '../algebra/relation.ts'
import { columnsOf } from '../algebra/relation.ts'
import { sqlName, sqlText } from '../syntax/sql-text.ts'

type TypeOf = (expression: Expression) => ColumnType

/*
 * A source that is cut to the keys of a refresh: the keys are variables of the program, known when the statement that
 * reads the source is planned. A key that is reckoned from a time also becomes ranges of that time, which an index on it
 * serves and by which its partitions are pruned.
 */

/** The variable that holds the keys that are not NULL. */
export const partitionKeys = '"partition keys"'
const nullIsPartition = '"null is a partition"'

const fromOf = (number: number): string => sqlName(`cut ${String(number)} from`)
const toOf = (number: number): string => sqlName(`cut ${String(number)} to`)
const exactOf = (number: number): string => sqlName(`cut ${String(number)} is exact`)

/** More ranges than this are made one where the gaps between them are smallest. */
const rangesMax = 8

const isWanted = (key: string, { equality }: Pick<ColumnType, 'equality'>): string => {
  const sign = equality === null || equality === 'pg_catalog.=' ? '=' : `operator(${equality})`
  return `${key} ${sign} any (${partitionKeys})`
}

/** SQL that is true for a key that is wanted, NULL among them. (`is null` would take a composite of NULLs for one.) */
export const isWantedOrNull = (key: string, type: Pick<ColumnType, 'equality'>): string =>
  `(${isWanted(key, type)} or (${nullIsPartition} and ${key} is not distinct from null))`

/** The condition on the rows of a cut source, over its columns by name. */
export function cutCondition(cut: Cut, number: number, typeOf: TypeOf): string {
  const key = `(${sqlOf(byName(cut.scan, cut.key))})`
  const span = spanOf(cut.key, typeOf)
  if (span === null) return isWantedOrNull(key, typeOf(cut.key))
  const column = sqlName(cut.scan.columns.find(({ id }) => id === span.column)?.name ?? span.column)
  const ranges = Array.from(
    { length: rangesMax },
    (_, at) =>
      `${column} between ${fromOf(number)}[${String(at + 1)}] and ${toOf(number)}[${String(at + 1)}]`,
  )
  return `(
  (${ranges.join('\n    or ')})
  and (${exactOf(number)} or ${isWanted(key, typeOf(cut.key))})
  or (${nullIsPartition} and ${column} is null)
)`
}

/** The declarations of the variables. */
export function cutDeclarations(partition: Partition, typeOf: TypeOf): readonly string[] {
  const { type, collation } = typeOf(columnOf(partition.by))
  const collate = collation === null ? '' : ` collate ${collation}`
  return [
    `${partitionKeys} ${type}[]${collate};`,
    `${nullIsPartition} boolean;`,
    ...partition.cuts.flatMap(({ key }, at) => {
      const span = spanOf(key, typeOf)
      if (span === null) return []
      return [
        `${fromOf(at + 1)} ${span.type}[];`,
        `${toOf(at + 1)} ${span.type}[];`,
        `${exactOf(at + 1)} boolean;`,
      ]
    }),
  ]
}

/** Statements that put the keys, found as `keys` and `keysWithNull`, into the variables. */
export function cutStatements(
  { cuts }: Partition,
  { keys, keysWithNull }: { readonly keys: string; readonly keysWithNull: string },
  typeOf: TypeOf,
): readonly string[] {
  return [
    `${partitionKeys} := array(select "key 1" from unnest(${keys}));`,
    `${nullIsPartition} := ${keysWithNull} is not null;`,
    ...cuts.flatMap(({ name, key }, at) => {
      const span = spanOf(key, typeOf)
      return span === null ? [] : [rangesStatement(name, at + 1, span)]
    }),
  ]
}

/** Ranges that touch become one, and more than {@link rangesMax} are made fewer by filling the smallest gaps. */
function rangesStatement(name: string, number: number, span: Span): string {
  const apart = span.type === 'date' ? '86400' : '0.000001'
  return `-- What the keys are of ${name}, as ranges.
select array_agg(low order by low), array_agg(high order by low), coalesce(bool_and(exact), true)
into ${fromOf(number)}, ${toOf(number)}, ${exactOf(number)}
from (
  select min(low) as low, max(high) as high, bool_and(exact and (gap is null or gap <= ${apart} or place < ${String(rangesMax)})) as exact
  from (
    select *, count(*) filter (where gap > ${apart} and place < ${String(rangesMax)}) over (order by low, high) as island
    from (
      select *, row_number() over (order by gap desc nulls last) as place
      from (
        select *, extract(epoch from low) - extract(epoch from max(high) over (order by low, high rows between unbounded preceding and 1 preceding)) as gap
        from (
          select ${span.low} as low, ${span.high} as high, ${span.exact.join(' and ') || 'true'} as exact
          from unnest(${partitionKeys}) as k (key)
        ) as of_key
      ) as beside
    ) as ranked
  ) as islands
  group by island
) as ranges;`
}

/** The values of a column for which a key is one in question: from low to high, both among them. */
interface Span {
  readonly column: ColumnId
  /** The type of the column. */
  readonly type: string
  /** SQL over `k.key`. */
  readonly low: string
  readonly high: string
  /** SQL that is true where the span has no other value; all of them. */
  readonly exact: readonly string[]
}

type Bounds = Pick<Span, 'low' | 'high' | 'exact'>

/** The span of a column from which a key is reckoned; null where it is not one, or the column itself. */
function spanOf(key: Expression, typeOf: TypeOf): Span | null {
  if (columnIn(key) !== null) return null
  return spanBelow(key, { low: 'k.key', high: 'k.key', exact: [] }, typeOf)
}

/** The expressions whose types {@link spanOf} asks for. */
export function spanParts(key: Expression): readonly Expression[] {
  const found = [key]
  // A row is no time, and without the cast around it has no type that a column may be of.
  for (const one of found) found.push(...argumentsIn(one).filter((part) => !('RowExpr' in part)))
  return found
}

/** What may be a time that an expression is reckoned from. */
function argumentsIn(expression: Expression): readonly Expression[] {
  if ('TypeCast' in expression) {
    const { arg } = expression.TypeCast
    return arg === undefined ? [] : [arg]
  }
  if ('CoalesceExpr' in expression) return expression.CoalesceExpr.args ?? []
  return 'FuncCall' in expression
    ? (expression.FuncCall.args ?? []).filter((one) => !('A_Const' in one))
    : []
}

/** The column that a key is reckoned from by functions of time; null where it is none such, or the column itself. */
export function timeIn(key: Expression): ColumnId | null {
  const [inner] = spanParts(key).filter((part) => columnIn(part) !== null)
  const calls = spanParts(key).every(
    (part) =>
      columnIn(part) !== null ||
      'TypeCast' in part ||
      ('FuncCall' in part && /^(date_trunc|timezone)$/.test(functionName(part.FuncCall))),
  )
  return inner === undefined || inner === key || !calls ? null : columnIn(inner)
}

const timesOf = ['date', 'timestamp without time zone', 'timestamp with time zone']

const plainType = (expression: Expression, typeOf: TypeOf): string =>
  typeOf(expression).type.replace(/\(\d+\)/, '')

/** Values of the innermost column of an expression that is between two bounds. */
function spanBelow(expression: Expression, bounds: Bounds, typeOf: TypeOf): Span | null {
  const type = plainType(expression, typeOf)
  if (!timesOf.includes(type)) return null
  const column = columnIn(expression)
  if (column !== null) return { column, type, ...bounds }
  if ('CoalesceExpr' in expression) {
    const [only, another] = expression.CoalesceExpr.args ?? []
    return only === undefined || another !== undefined ? null : spanBelow(only, bounds, typeOf)
  }
  const step =
    'TypeCast' in expression
      ? castStep(expression.TypeCast, type, typeOf)
      : 'FuncCall' in expression
        ? callStep(expression.FuncCall, typeOf)
        : null
  if (step === null) return null
  return spanBelow(step.of, step.widen(bounds), typeOf)
}

/** One function taken off: what it was applied to, and where values of that lie. */
interface Step {
  readonly of: Expression
  readonly widen: (bounds: Bounds) => Bounds
}

const session = `current_setting('timezone')`
const instant = `interval '1 microsecond'`

function castStep({ arg, typeName }: TypeCast, to: string, typeOf: TypeOf): Step | null {
  // A cast to fewer decimal places rounds.
  if (arg === undefined || typeName?.typmods !== undefined) return null
  const from = plainType(arg, typeOf)
  if (from === to) return { of: arg, widen: (bounds) => bounds }
  if (to === 'date') {
    const cast = (day: string): string => `(${day})::${from}`
    return {
      of: arg,
      widen: ({ low, high, exact }) =>
        around(from === 'timestamp with time zone' ? session : null, {
          low: cast(low),
          high: `${cast(`${high} + 1`)} - ${instant}`,
          exact,
        }),
    }
  }
  if (from === 'date') {
    return {
      of: arg,
      widen: ({ low, high }) => ({
        low: `(${low})::date - 1`,
        high: `(${high})::date + 1`,
        exact: ['false'],
      }),
    }
  }
  return timesOf.includes(from) ? zoneStep(arg, session) : null
}

/** Units of date_trunc, and how long each is. */
const lengths: Readonly<Record<string, string>> = {
  second: '1 second',
  minute: '1 minute',
  hour: '1 hour',
  day: '1 day',
  week: '7 days',
  month: '1 month',
  quarter: '3 months',
  year: '1 year',
  decade: '10 years',
}

function callStep(call: FuncCall, typeOf: TypeOf): Step | null {
  const [first, second, third] = call.args ?? []
  if (first === undefined || second === undefined) return null
  const name = functionName(call)
  if (name === 'timezone') {
    const zone = constantOf(first)
    return zone === null || third !== undefined ? null : zoneStep(second, sqlText(zone))
  }
  const length = name === 'date_trunc' ? lengths[constantOf(first)?.toLowerCase() ?? ''] : undefined
  if (length === undefined) return null
  const type = plainType(second, typeOf)
  if (type === 'timestamp without time zone') return truncated(second, length, null)
  if (type !== 'timestamp with time zone') return null
  if (third === undefined) return truncated(second, length, session)
  const zone = constantOf(third)
  return zone === null ? null : truncated(second, length, sqlText(zone))
}

function truncated(of: Expression, length: string, zone: string | null): Step {
  const later = (time: string): string =>
    zone === null || zone === session
      ? `${time} + interval '${length}'`
      : `(((${time}) at time zone ${zone}) + interval '${length}') at time zone ${zone}`
  return {
    of,
    widen: ({ low, high, exact }) =>
      around(zone, { low, high: `${later(high)} - ${instant}`, exact }),
  }
}

/** Local time from an instant, or an instant from local time. */
const zoneStep = (of: Expression, zone: string): Step => ({
  of,
  widen: ({ low, high, exact }) =>
    around(zone, {
      low: `(${low}) at time zone ${zone}`,
      high: `(${high}) at time zone ${zone}`,
      exact,
    }),
})

/** Local time is no straight line of time: bounds near which clocks are put back or on are moved away from it. */
function around(zone: string | null, bounds: Bounds): Bounds {
  if (zone === null) return bounds
  const margin = (bound: string): string => `tidemark.clock_margin(${bound}, ${zone})`
  return {
    low: `(${bounds.low}) - ${margin(bounds.low)}`,
    high: `(${bounds.high}) + ${margin(bounds.high)}`,
    exact: [
      ...bounds.exact,
      `${margin(bounds.low)} = interval '0'`,
      `${margin(bounds.high)} = interval '0'`,
    ],
  }
}

function constantOf(expression: Expression): string | null {
  if ('TypeCast' in expression) {
    const { arg } = expression.TypeCast
    return arg === undefined ? null : constantOf(arg)
  }
  return 'A_Const' in expression ? (expression.A_Const.sval?.sval ?? null) : null
}

/** How a view is partitioned, for people. */
export function partitionReasons(
  { input, by, cuts, rest, proven }: Partition,
  { columns }: { readonly columns: readonly ResultColumn[] },
): readonly string[] {
  const at = columnsOf(input).indexOf(by)
  const keys = cuts.map(({ name, scan, key }) => `${name} is read by ${sqlOf(byName(scan, key))}`)
  return [
    `by ${columns[at]?.name ?? by}: ${keys.join(', ')}${proven ? '' : ' (declared, not proven)'}`,
    ...(rest.length === 0 ? [] : [`a change of ${rest.join(', ')} concerns every partition`]),
  ]
}
