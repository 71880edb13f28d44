import type {
  A_Const,
  A_Expr,
  BoolExpr,
  BooleanTest,
  ColumnRef,
  Node,
  NullTest,
  TypeCast,
} from 'libpg-query'
import { deparseSync, QuoteUtils } from 'pgsql-deparser'
import { nearest } from '../base/nearest.ts'
import type { ColumnShape } from '../model/capture.ts'
import type { Fault } from '../model/errors.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { partsOf } from '../model/ids.ts'
import { parseExpression, placeInExpression } from './syntax/parse.ts'
import { nodesOf } from './syntax/walk.ts'

/** An event rule's condition and the table whose rows it is asked of. */
export interface EventCondition {
  /** As declared: `monto_total >= 10000`. */
  readonly when: string
  readonly source: RelationName
  readonly columns: readonly ColumnShape[]
  /** What the fault calls it, `event 'big payment' of public.sales`. */
  readonly rule: string
}

/** A condition ready for a trigger. */
export interface BoundCondition {
  /** SQL over `$1`, the row: `($1).monto_total >= 10000`. */
  readonly condition: string
  /** The columns that it reads, in the order of the table. */
  readonly columns: readonly string[]
}

/**
 * Binds a condition to the row of its table.
 *
 * It runs inside the transaction of whoever writes the table, so only what cannot fail there is let
 * through: columns, constants, comparisons, AND, OR, NOT, IS NULL, IN, BETWEEN, LIKE with a constant
 * pattern, `->` and `->>` with constant keys, IS DISTINCT FROM, COALESCE.
 * Does not guarantee that types fit (`price >= 'abc'`): PostgreSQL says so when the function that
 * holds the condition is created, before any writer meets it.
 * Throws `TIDEMARK_EVENT_CONDITION_REFUSED` or `TIDEMARK_SQL_INVALID`, with the place in the condition.
 */
export async function bindEventCondition(event: EventCondition): Promise<BoundCondition> {
  const parsed = await parseExpression(event.when)
  if (parsed === undefined) {
    throw refused(event, {
      what: 'it is not one expression',
      mend: 'Write only what would follow WHERE.',
    })
  }
  const binding: Binding = { event, used: new Set() }
  const condition = conditionOf(binding, parsed.node)
  const columns = event.columns.map(({ name }) => name).filter((name) => binding.used.has(name))
  return { condition, columns }
}

interface Binding {
  readonly event: EventCondition
  /** Names of the columns met so far. */
  readonly used: Set<string>
}

/** A node that stands where true or false is wanted. */
function conditionOf(binding: Binding, node: Node): string {
  if ('BoolExpr' in node) return connected(binding, node.BoolExpr)
  if ('A_Expr' in node) return comparison(binding, node.A_Expr)
  if ('NullTest' in node) return nullTest(binding, node.NullTest)
  if ('BooleanTest' in node) return booleanTest(binding, node.BooleanTest)
  if ('CoalesceExpr' in node) {
    for (const argument of node.CoalesceExpr.args ?? []) needsBoolean(binding, argument)
    return operandOf(binding, node)
  }
  needsBoolean(binding, node)
  return operandOf(binding, node)
}

function connected(binding: Binding, { boolop, args }: BoolExpr): string {
  const conditions = (args ?? []).map((argument) => `(${conditionOf(binding, argument)})`)
  if (boolop === 'NOT_EXPR') return `not ${conditions.join('')}`
  return conditions.join(boolop === 'AND_EXPR' ? ' and ' : ' or ')
}

function nullTest(binding: Binding, { arg, nulltesttype }: NullTest): string {
  return `${operandOf(binding, arg)} is ${nulltesttype === 'IS_NULL' ? '' : 'not '}null`
}

function booleanTest(binding: Binding, { arg, booltesttype }: BooleanTest): string {
  const words = (booltesttype ?? '').replace(/^IS_/, '').replace('_', ' ').toLowerCase()
  return `(${arg === undefined ? '' : conditionOf(binding, arg)}) is ${words}`
}

const comparisonSigns: readonly string[] = ['=', '<>', '!=', '<', '<=', '>', '>=']

const likeWords: Readonly<Record<string, string>> = {
  '~~': 'like',
  '!~~': 'not like',
  '~~*': 'ilike',
  '!~~*': 'not ilike',
}

type Emit = (left: string, sign: string, rest: Rest) => string

/** What stands to the right of an operator, bound when asked for. */
interface Rest {
  readonly operand: () => string
  readonly list: () => readonly string[]
  readonly pattern: () => string
}

const emitters: Readonly<Partial<Record<NonNullable<A_Expr['kind']>, Emit>>> = {
  AEXPR_OP: (left, sign, rest) => `${left} ${sign} ${rest.operand()}`,
  AEXPR_DISTINCT: (left, _, rest) => `${left} is distinct from ${rest.operand()}`,
  AEXPR_NOT_DISTINCT: (left, _, rest) => `${left} is not distinct from ${rest.operand()}`,
  AEXPR_IN: (left, sign, rest) =>
    `${left} ${sign === '=' ? 'in' : 'not in'} (${rest.list().join(', ')})`,
  AEXPR_BETWEEN: (left, _, rest) => `${left} between ${rest.list().join(' and ')}`,
  AEXPR_NOT_BETWEEN: (left, _, rest) => `${left} not between ${rest.list().join(' and ')}`,
  AEXPR_LIKE: (left, sign, rest) => `${left} ${likeWords[sign] ?? 'like'} ${rest.pattern()}`,
  AEXPR_ILIKE: (left, sign, rest) => `${left} ${likeWords[sign] ?? 'ilike'} ${rest.pattern()}`,
}

function comparison(binding: Binding, node: A_Expr): string {
  const sign = signOf(node)
  const emit = node.kind === undefined ? undefined : emitters[node.kind]
  if (emit === undefined || (node.kind === 'AEXPR_OP' && !comparisonSigns.includes(sign))) {
    throw operatorRefused(binding, node, sign)
  }
  const left = operandOf(binding, node.lexpr)
  return emit(needsCollation(binding, node) ? `${left} collate pg_catalog."default"` : left, sign, {
    operand: () => operandOf(binding, node.rexpr),
    list: () => listOf(binding, node.rexpr),
    pattern: () => patternOf(binding, node.rexpr),
  })
}

const collated = /^(text|character varying|character|name|citext|.*\.citext)(\(\d+\))?$/

/**
 * Two columns of different collations cannot be compared, nor one of a nondeterministic collation be
 * matched with LIKE, and PostgreSQL says so only when it meets a row. A collation that is named wins.
 */
function needsCollation(binding: Binding, node: A_Expr): boolean {
  const texts = new Set<string>()
  for (const { kind, node: reference } of nodesOf([node.lexpr, node.rexpr])) {
    if (kind === 'A_Expr' && signOf(reference) === '->>') texts.add('->>')
    if (kind !== 'ColumnRef') continue
    const { name, baseType } = columnOf(binding, reference, { ColumnRef: reference })
    if (collated.test(baseType)) texts.add(name)
  }
  const matches = node.kind === 'AEXPR_LIKE' || node.kind === 'AEXPR_ILIKE'
  return texts.size > (matches ? 0 : 1)
}

/** A node that stands for a value. */
function operandOf(binding: Binding, node: Node | undefined): string {
  if (node === undefined) return ''
  if ('ColumnRef' in node) return rowColumn(columnOf(binding, node.ColumnRef, node))
  if ('A_Const' in node) return constant(binding, node.A_Const, node)
  if ('TypeCast' in node) return castConstant(binding, node.TypeCast, node)
  if ('CoalesceExpr' in node) {
    const args = (node.CoalesceExpr.args ?? []).map((argument) => operandOf(binding, argument))
    return `coalesce(${args.join(', ')})`
  }
  if ('A_Expr' in node && ['->', '->>'].includes(signOf(node.A_Expr))) {
    return extraction(binding, node.A_Expr)
  }
  throw constructRefused(binding, node)
}

/** After a dot every key word may stand unquoted. */
const rowColumn = ({ name }: ColumnShape): string =>
  `($1).${/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`}`

/** `monto_total`, `orders.monto_total` or `public.orders.monto_total`. */
function columnOf(binding: Binding, { fields }: ColumnRef, node: Node): ColumnShape {
  const { event } = binding
  const names = (fields ?? []).map((field) => ('String' in field ? (field.String.sval ?? '') : '*'))
  const name = names.at(-1) ?? ''
  const { schema, name: table } = partsOf(event.source)
  const column = event.columns.find((each) => each.name === name)
  const qualifier = names.slice(0, -1).join('.')
  if (column === undefined || !['', table, `${schema}.${table}`].includes(qualifier)) {
    const known = event.columns.map((each) => each.name)
    const meant = nearest(name, known)
    throw refused(event, {
      what: `${event.source} has no column ${names.join('.')}`,
      mend: `${meant === undefined ? '' : `Did you mean ${meant}? `}Its columns are ${known.join(', ')}.`,
      place: placeInExpression(event.when, node),
    })
  }
  if (column.generatedVirtual) {
    throw refused(event, {
      what: `column ${name} is computed when it is read and has no value in a trigger`,
      mend: 'Write the condition over the columns that it is computed from.',
      place: placeInExpression(event.when, node),
    })
  }
  binding.used.add(name)
  return column
}

/** PostgreSQL reads longer numbers as numeric; beyond this a comparison with a float could fail. */
const numberMax = 1e300

function constant({ event }: Binding, value: A_Const, node: Node): string {
  if (value.fval !== undefined && !(Math.abs(Number(value.fval.fval)) < numberMax)) {
    throw refused(event, {
      what: 'the number is too large to be compared with every numeric type',
      mend: 'Write a smaller one.',
      place: placeInExpression(event.when, node),
    })
  }
  return deparseSync(node)
}

/** These words are the moment at which the condition is created, not that of the write. */
const movingWords = /^\s*(now|today|tomorrow|yesterday|allballs)\s*$/i

function castConstant({ event }: Binding, { arg }: TypeCast, node: Node): string {
  const place = placeInExpression(event.when, node)
  if (arg === undefined || !('A_Const' in arg)) {
    throw refused(event, {
      what: 'it casts what is not a constant, and a cast can fail on a row',
      mend: "Cast the constant to the column's type instead, or compare as text.",
      place,
    })
  }
  if (movingWords.test(arg.A_Const.sval?.sval ?? '')) {
    throw refused(event, {
      what: `'${arg.A_Const.sval?.sval ?? ''}' would stay what it is when the condition is created`,
      mend: 'Compare with a fixed value; schedules and targets follow the clock.',
      place,
    })
  }
  return deparseSync(node)
}

/** `payload ->> 'status'`, `payload -> 'a' ->> 0`. */
function extraction(binding: Binding, node: A_Expr): string {
  const { event } = binding
  const { lexpr, rexpr } = node
  const root = rootOf(lexpr)
  if (root === undefined || !/^jsonb?$/.test(columnOf(binding, root.ColumnRef, root).baseType)) {
    throw refused(event, {
      what: `${signOf(node)} is let through on json and jsonb columns alone`,
      mend: 'Compare the column itself, or keep the value in a column of its own.',
      place: placeInExpression(event.when, node),
    })
  }
  if (rexpr === undefined || !('A_Const' in rexpr)) {
    throw refused(event, {
      what: `the key after ${signOf(node)} is not a constant`,
      mend: "Write the key as a text or a number: payload ->> 'status'.",
      place: placeInExpression(event.when, node),
    })
  }
  const key = constant(binding, rexpr.A_Const, rexpr)
  return `(${operandOf(binding, lexpr)} ${signOf(node)} ${key})`
}

/** The column at the beginning of a chain of `->`. */
function rootOf(node: Node | undefined): { ColumnRef: ColumnRef } | undefined {
  if (node === undefined) return undefined
  if ('ColumnRef' in node) return node
  if ('A_Expr' in node && signOf(node.A_Expr) === '->') return rootOf(node.A_Expr.lexpr)
  return undefined
}

function listOf(binding: Binding, node: Node | undefined): readonly string[] {
  const items = node !== undefined && 'List' in node ? (node.List.items ?? []) : []
  return items.map((item) => operandOf(binding, item))
}

/** A pattern that ends in the escape sign makes LIKE fail, so it must be known beforehand. */
function patternOf(binding: Binding, node: Node | undefined): string {
  const { event } = binding
  const place = node === undefined ? undefined : placeInExpression(event.when, node)
  const pattern = node !== undefined && 'A_Const' in node ? node.A_Const.sval?.sval : undefined
  if (node === undefined || pattern === undefined) {
    throw refused(event, {
      what: 'the pattern of LIKE is not a constant',
      mend: 'Write it as a text; ESCAPE and computed patterns can fail on a row.',
      ...(place === undefined ? {} : { place }),
    })
  }
  if (/(^|[^\\])(\\\\)*\\$/.test(pattern)) {
    throw refused(event, {
      what: 'the pattern of LIKE ends in a backslash that escapes nothing',
      mend: 'Write the backslash twice.',
      ...(place === undefined ? {} : { place }),
    })
  }
  return deparseSync(node)
}

function needsBoolean(binding: Binding, node: Node): void {
  if ('A_Const' in node && node.A_Const.boolval !== undefined) return
  if (!('A_Const' in node) && !('ColumnRef' in node)) throw constructRefused(binding, node)
  if ('ColumnRef' in node) {
    const { name, type, baseType } = columnOf(binding, node.ColumnRef, node)
    if (baseType === 'boolean') return
    throw refused(binding.event, {
      what: `column ${name} is of type ${type}, which is neither true nor false`,
      mend: `Compare it: ${QuoteUtils.quoteIdentifier(name)} = …, or ${QuoteUtils.quoteIdentifier(name)} is not null.`,
      place: placeInExpression(binding.event.when, node),
    })
  }
  throw refused(binding.event, {
    what: 'a constant alone is no condition',
    mend: 'Compare a column with it.',
    place: placeInExpression(binding.event.when, node),
  })
}

/** The operator as written; a qualified one, OPERATOR(schema.=), is none that is known here. */
function signOf({ name }: A_Expr): string {
  return (name ?? []).map((part) => ('String' in part ? (part.String.sval ?? '') : '')).join('.')
}

function operatorRefused({ event }: Binding, node: A_Expr, sign: string): TidemarkError {
  const arithmetic = /^[-+*/%^]$/.test(sign)
  return refused(event, {
    what: `it uses ${sign}${arithmetic ? ', which can overflow or divide by zero' : ', which is not known to be unable to fail'}`,
    mend: arithmetic
      ? 'Move the arithmetic to the constant, or into a generated column: GENERATED ALWAYS AS (…) STORED.'
      : 'Use =, <>, <, <=, >, >=, IN, BETWEEN, LIKE, IS NULL or IS DISTINCT FROM.',
    place: placeInExpression(event.when, node),
  })
}

const constructs: Readonly<Record<string, string>> = {
  FuncCall: 'a function',
  SQLValueFunction: 'the clock or the user',
  SubLink: 'a subquery',
  CaseExpr: 'CASE',
  RowExpr: 'a row',
  A_ArrayExpr: 'an array',
  A_Indirection: 'a part of a value',
  ParamRef: 'a parameter',
  CollateClause: 'COLLATE',
  MinMaxExpr: 'GREATEST or LEAST',
}

function constructRefused(binding: Binding, node: Node): TidemarkError {
  if ('A_Expr' in node) return operatorRefused(binding, node.A_Expr, signOf(node.A_Expr))
  const kind = Object.keys(node)[0] ?? ''
  const called = 'FuncCall' in node ? (node.FuncCall.funcname ?? []) : []
  const name = called.map((part) => ('String' in part ? (part.String.sval ?? '') : '')).join('.')
  return refused(binding.event, {
    what: `it uses ${constructs[kind] ?? kind}${name === '' ? '' : `, ${name}()`}, which could fail or be slow inside a writer`,
    mend: 'Keep the value in a column (GENERATED ALWAYS AS (…) STORED) and compare that column.',
    place: placeInExpression(binding.event.when, node),
  })
}

function refused(event: EventCondition, fault: Omit<Fault, 'code'>): TidemarkError {
  return new TidemarkError({
    ...fault,
    code: 'TIDEMARK_EVENT_CONDITION_REFUSED',
    what: `The condition of ${event.rule} is refused: ${fault.what}`,
    place: fault.place === undefined ? `"${event.when}"` : `${fault.place} of "${event.when}"`,
  })
}
