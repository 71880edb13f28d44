import type { FuncCall, Node, TypeCast } from 'libpg-query'
import type { Expression } from './expression.ts'
import { columnsIn, replacedDeep, sqlOf } from './expression.ts'
import { functionName } from '../syntax/functions.ts'
import { nodesOf } from '../syntax/walk.ts'

/*
 * Expressions that ask the clock. Within a refresh the clock stands still at now(), the start of its transaction; what is
 * stored was computed at the now() of another one, which programs know as `since_as_of`.
 */

/** The parameter of a maintenance program: now() of the refresh that computed what is stored. */
const before: Expression = { ColumnRef: { fields: [{ String: { sval: 'since_as_of' } }] } }

const clockFunctions: readonly string[] = ['now', 'transaction_timestamp']

/** What a key word of the clock is of now(); the precision is kept. */
const typesOfKeyWords: Readonly<Record<string, string | null>> = {
  SVFOP_CURRENT_DATE: 'date',
  SVFOP_CURRENT_TIME: 'timetz',
  SVFOP_CURRENT_TIME_N: 'timetz',
  SVFOP_CURRENT_TIMESTAMP: null,
  SVFOP_CURRENT_TIMESTAMP_N: 'timestamptz',
  SVFOP_LOCALTIME: 'time',
  SVFOP_LOCALTIME_N: 'time',
  SVFOP_LOCALTIMESTAMP: 'timestamp',
  SVFOP_LOCALTIMESTAMP_N: 'timestamp',
}

const isClock = (kind: string, node: Readonly<Record<string, unknown>>): boolean =>
  kind === 'FuncCall'
    ? clockFunctions.includes(functionName(node))
    : kind === 'SQLValueFunction' && String(node['op']) in typesOfKeyWords

/** Whether the value of an expression, or of any part of a syntax tree, moves as time passes. */
export const asksClock = (tree: unknown): boolean =>
  nodesOf(tree).some(({ kind, node }) => isClock(kind, node))

/**
 * An expression with the clock asked in one way only: statement_timestamp() is now(), for a query is computed as if it
 * were the first of its transaction; age(x) is counted from midnight today, as PostgreSQL defines it.
 */
export const withOneClock = <Tree>(tree: Tree): Tree =>
  replacedDeep(tree, (node) => {
    if (!('FuncCall' in node)) return undefined
    const name = functionName(node.FuncCall)
    if (name === 'statement_timestamp')
      return { FuncCall: { ...node.FuncCall, funcname: [{ String: { sval: 'now' } }] } }
    const [argument, another] = node.FuncCall.args ?? []
    if (name !== 'age' || argument === undefined || another !== undefined) return undefined
    return { FuncCall: { ...node.FuncCall, args: [today, withOneClock(argument)] } }
  })

const today: Expression = { SQLValueFunction: { op: 'SVFOP_CURRENT_DATE', typmod: -1 } }

/** An expression as it was when what is stored was computed. */
export const asItWas = <Tree>(tree: Tree): Tree =>
  replacedDeep(tree, (node) => {
    const [kind = ''] = Object.keys(node)
    const fields = Object.values(node)[0] as Readonly<Record<string, unknown>>
    if (!isClock(kind, fields)) return undefined
    const type = kind === 'SQLValueFunction' ? typesOfKeyWords[String(fields['op'])] : null
    if (type === null || type === undefined) return before
    const precision = String(fields['op']).endsWith('_N') ? Number(fields['typmod'] ?? 0) : -1
    return {
      TypeCast: {
        arg: before,
        typeName: {
          names: (type === 'time' || type === 'timestamp' ? ['pg_catalog', type] : [type]).map(
            (sval) => ({ String: { sval } }),
          ),
          typemod: -1,
          ...(precision >= 0
            ? { typmods: [{ A_Const: { ival: precision === 0 ? {} : { ival: precision } } }] }
            : {}),
        },
      },
    }
  })

/** SQL that is true when the clock, as far as an expression asks it, shows something else than it did. */
export function movedText(tree: unknown): string {
  const calls = new Map(askedOf(tree).map((call) => [sqlOf(call), call]))
  return [...calls].map(([text, call]) => `${text} <> ${sqlOf(asItWas(call))}`).join(' or ')
}

/** What an expression asks the clock: calls, or the date or part of a date that is all it takes of one. */
function askedOf(tree: unknown): readonly Expression[] {
  const found: Expression[] = []
  replacedDeep(tree, (node) => {
    const [kind = ''] = Object.keys(node)
    const isAsked =
      isCoarse(node) || isClock(kind, Object.values(node)[0] as Readonly<Record<string, unknown>>)
    if (!isAsked) return undefined
    found.push(node)
    return node
  })
  return found
}

/** Parts of a time that stay the same for a day at least. */
const coarseParts =
  /^(day|week|month|quarter|year|decade|century|millennium|dow|isodow|doy|isoyear)$/i

/** Whether an expression asks nothing but the clock and is the same value for a day at least. */
function isCoarse(expression: Expression): boolean {
  if ('SQLValueFunction' in expression) {
    return expression.SQLValueFunction.op === 'SVFOP_CURRENT_DATE'
  }
  const isDate = 'TypeCast' in expression && lastOf(expression.TypeCast.typeName?.names) === 'date'
  const isPart = 'FuncCall' in expression && isPartOfTime(expression.FuncCall)
  return (isDate || isPart) && columnsIn(expression).size === 0 && asksClock(expression)
}

function isPartOfTime(call: FuncCall): boolean {
  const name = functionName(call).replace(/^pg_catalog\./, '')
  if (!['date_trunc', 'date_part', 'extract'].includes(name)) return false
  const [first] = call.args ?? []
  const part = first !== undefined && 'TypeCast' in first ? first.TypeCast.arg : first
  return part !== undefined && 'A_Const' in part && coarseParts.test(part.A_Const.sval?.sval ?? '')
}

/** The calls by which an expression is another value at every moment, and not just now and then. */
export const movingCalls = (expression: Expression): readonly Expression[] =>
  sidesOf(expression) === null ? askedOf(expression).filter((call) => !isCoarse(call)) : []

const comparisons: readonly string[] = ['<', '<=', '>', '>=', '=', '<>']

/** The two sides of a plain comparison; null for anything else. */
export function sidesOf(expression: Expression): readonly [Expression, Expression] | null {
  if (!('A_Expr' in expression) || expression.A_Expr.kind !== 'AEXPR_OP') return null
  const { name, lexpr, rexpr } = expression.A_Expr
  if (!comparisons.includes(operatorOf(expression)) || name?.length !== 1) return null
  return lexpr === undefined || rexpr === undefined ? null : [lexpr, rexpr]
}

function operatorOf(expression: Expression): string {
  const [name] = 'A_Expr' in expression ? (expression.A_Expr.name ?? []) : []
  return name !== undefined && 'String' in name ? (name.String.sval ?? '') : ''
}

/**
 * A condition that every row meets for which a comparison with the clock has changed, in a form that an index can
 * serve: what does not move lies between what the clock was and is. Null when none follows from the text.
 */
export function crossingRange(comparison: Expression): string | null {
  const sides = sidesOf(comparison)
  if (sides === null) return null
  for (const [still, moving] of [sides, [sides[1], sides[0]] as const]) {
    if (asksClock(still)) continue
    if (isTemporal(moving) && columnsIn(still).size > 0) return between(still, moving, null)
    // now() - column > interval
    const [minuend, subtrahend] = differenceOf(moving)
    const isColumn = subtrahend !== null && columnsIn(subtrahend).size > 0 && !asksClock(subtrahend)
    if (isColumn && minuend !== null && isTemporal(minuend) && isInterval(still)) {
      return between(subtrahend, minuend, still)
    }
  }
  return null
}

function differenceOf(expression: Expression): readonly [Expression | null, Expression | null] {
  const plain = 'A_Expr' in expression && expression.A_Expr.kind === 'AEXPR_OP'
  if (!plain || operatorOf(expression) !== '-') return [null, null]
  return [expression.A_Expr.lexpr ?? null, expression.A_Expr.rexpr ?? null]
}

/**
 * Differences of instants count hours alone, and intervals are compared as if a month had 30 days: the interval is
 * taken for as many seconds. A millisecond more on both sides makes up for rounding; two hours more, where the clock of
 * a zone is asked, for what happens to its order when it is put forward and the other side is an instant.
 */
function between(still: Expression, moving: Expression, back: Expression | null): string {
  const interval = back === null ? '' : sqlOf(back)
  const less =
    back === null
      ? ''
      : ` - make_interval(secs => extract(epoch from ${interval})::float8 - extract(year from ${interval})::float8 * 453600)`
  const [is, was] = [sqlOf(moving), sqlOf(asItWas(moving))]
  const room = back !== null ? '1 ms' : isLocal(moving) ? '2 hours' : null
  const edge = (sign: string): string => (room === null ? '' : ` ${sign} interval '${room}'`)
  const text = sqlOf(still)
  return `(${text}) >= least(${is}, ${was})${less}${edge('-')} and (${text}) <= greatest(${is}, ${was})${less}${edge('+')}`
}

/** Whether an instant is reckoned as the clock of a zone shows it. */
const isLocal = (expression: Expression): boolean =>
  nodesOf(expression).some(
    ({ kind, node }) =>
      (kind === 'SQLValueFunction' && String(node['op']).startsWith('SVFOP_LOCAL')) ||
      (kind === 'FuncCall' && functionName(node) === 'timezone') ||
      (kind === 'TypeCast' && lastOf((node as TypeCast).typeName?.names) === 'timestamp'),
  )

const isInterval = (expression: Expression): boolean =>
  'TypeCast' in expression &&
  columnsIn(expression).size === 0 &&
  lastOf(expression.TypeCast.typeName?.names) === 'interval'

const lastOf = (names: readonly Node[] | undefined): string => {
  const name = names?.at(-1)
  return name !== undefined && 'String' in name ? (name.String.sval ?? '') : ''
}

const instants: readonly string[] = ['date', 'timestamp', 'timestamptz']

/** An instant reckoned from the clock alone, of a type with one order that `least` and operators agree on. */
function isTemporal(expression: Expression): boolean {
  if (columnsIn(expression).size > 0 || !asksClock(expression)) return false
  if ('FuncCall' in expression) return isTemporalCall(expression.FuncCall)
  if ('SQLValueFunction' in expression) {
    return !/TIME(_N)?$/.test(String(expression.SQLValueFunction.op))
  }
  if ('TypeCast' in expression) {
    const { arg, typeName } = expression.TypeCast
    return arg !== undefined && isTemporal(arg) && instants.includes(lastOf(typeName?.names))
  }
  return isTemporalSum(expression)
}

function isTemporalCall(call: FuncCall): boolean {
  const name = functionName(call)
  if (clockFunctions.includes(name)) return true
  const args = call.args ?? []
  return (
    ['date_trunc', 'timezone'].includes(name) &&
    args.every((argument) => !asksClock(argument) || isTemporal(argument))
  )
}

function isTemporalSum(expression: Expression): boolean {
  if (!('A_Expr' in expression) || expression.A_Expr.kind !== 'AEXPR_OP') return false
  const { lexpr, rexpr } = expression.A_Expr
  // Instant less instant would be an interval, whose order is its own but fits as well; it is left out.
  return (
    ['+', '-'].includes(operatorOf(expression)) &&
    lexpr !== undefined &&
    rexpr !== undefined &&
    isTemporal(lexpr) &&
    !asksClock(rexpr)
  )
}

/** `left is distinct from right`, whatever their type: by image. */
export const differs = (left: string, right: string, isBoolean: boolean): string =>
  isBoolean
    ? `(${left}) is distinct from (${right})`
    : `row(${left})::record *<> row(${right})::record`
