import type { Kind } from './kinds.ts'
import { kinds } from './kinds.ts'
import type { QueryWriter, Ref, Scope } from './query-writer.ts'
import { plainPredicate } from './query-predicates.ts'
import { simplyOrdered } from './query-predicates.ts'
import { valueOfKind } from './query-values.ts'
import type { Item } from './query-values.ts'

/** What an aggregate is made of, but for its name. */
interface Shape {
  /** The name of the construct. */
  readonly construct: string
  /** The kinds of column that it takes. */
  readonly takes?: readonly Kind[]
  /** Null: nothing in the scope that it could take. */
  readonly make: (writer: QueryWriter, scope: Scope) => Call | null
}

interface Call {
  readonly sql: string
  readonly kind: Kind
}

const numbers: readonly Kind[] = ['int', 'bigint', 'money2', 'numeric', 'float8']
const exactNumbers: readonly Kind[] = ['int', 'bigint', 'money2', 'numeric']

/** A column of these kinds, mostly one whose equal values print alike. */
function argument(writer: QueryWriter, scope: Scope, among: readonly Kind[]): Ref | undefined {
  return writer.chosen(
    scope.filter(({ kind }) => among.includes(kind)),
    1,
  )[0]
}

const one = (
  name: string,
  among: readonly Kind[],
  result: (kind: Kind) => Kind,
  option: {
    readonly picks?: boolean
    readonly distinct?: boolean
    readonly rounded?: boolean
  } = {},
): Shape => ({
  construct: name,
  takes: among,
  make(writer, scope) {
    const column = argument(writer, scope, among)
    if (column === undefined) return null
    const value = writer.random.chance(0.75)
      ? writer.use(column)
      : valueOfKind(writer, scope, column.kind, 1)
    if (option.picks === true) writer.picks()
    if (name === 'sum' && kinds[column.kind].blurred) writer.mark('sum of any scale')
    const distinct = option.distinct !== false && writer.random.chance(0.15)
    if (distinct) {
      writer.mark('aggregate distinct', name === 'count' ? 'count(distinct)' : 'aggregate distinct')
      writer.picks()
    }
    const call = `${name}(${distinct ? 'distinct ' : ''}${value})`
    return { sql: call, kind: result(column.kind) }
  },
})

/** Of a column, or of whatever can be asked of the others. */
const judging = (name: string): Shape => ({
  construct: name,
  make(writer, scope) {
    const column = writer.random.chance(0.5) ? argument(writer, scope, ['bool']) : undefined
    const asked = column === undefined ? plainPredicate(writer, scope) : writer.use(column)
    return { sql: `${name}(${asked})`, kind: 'bool' }
  },
})

/** Sums of squares of floats depend on their order in the last digit: exact numbers only. */
const spread = (name: string, construct: string): Shape => ({
  construct,
  make(writer, scope) {
    const column = argument(writer, scope, exactNumbers)
    return column === undefined ? null : { sql: `${name}(${writer.use(column)})`, kind: 'numeric' }
  },
})

/** Their running sums are floats: what is exact is all but the last digits, of small numbers. */
const correlationOf = (name: string, construct: string): Shape => ({
  construct,
  make(writer, scope) {
    const left = argument(writer, scope, ['int', 'money2'])
    const right = argument(writer, scope, ['int', 'money2'])
    if (left === undefined || right === undefined) return null
    // Of equal numbers the spread is what rounding leaves of it, or 0: what is divided by it hangs on the order.
    if (/^(corr|regr_slope)$/.test(name)) writer.choice = true
    const call = `${name}(${writer.use(left)}::float8, ${writer.use(right)}::float8)`
    return { sql: call, kind: 'float8' }
  },
})

/** ORDER BY within an aggregate: total, or one that leaves a choice. */
function order(writer: QueryWriter, value: Ref, scope: Scope): string {
  const text = writer.use(value)
  writer.mark('aggregate order by')
  if (!kinds[value.kind].ordered) {
    writer.choice = true
    return ''
  }
  writer.picks()
  switch (writer.random.below(7)) {
    case 0: {
      const [other] = writer.chosen(
        scope.filter(({ kind }) => kinds[kind].ordered),
        1,
      )
      if (other === undefined) return ` order by ${text}`
      return ` order by ${writer.use(other)} desc, ${text}`
    }
    case 1:
      return ` order by ${text} desc nulls last`
    case 2:
    case 3: {
      // No order, or one with ties: any order of the elements is a result.
      writer.choice = true
      writer.mark('aggregate without a total order')
      return ''
    }
    default:
      return ` order by ${text}`
  }
}

const collecting = (
  name: string,
  among: readonly Kind[],
  write: (value: string) => string,
  result: (kind: Kind) => Kind,
): Shape => ({
  construct: name,
  takes: among,
  make(writer, scope) {
    const column = argument(writer, scope, among)
    if (column === undefined) return null
    if (kinds[column.kind].ordered && writer.random.chance(0.12)) {
      writer.mark('aggregate distinct', 'aggregate order by')
      writer.picks()
      const text = writer.use(column)
      return { sql: `${name}(distinct ${write(text)} order by ${text})`, kind: result(column.kind) }
    }
    const sort = order(writer, column, scope)
    return { sql: `${name}(${write(writer.use(column))}${sort})`, kind: result(column.kind) }
  },
})

const objects = (name: string, result: Kind): Shape => ({
  construct: name,
  make(writer, scope) {
    const key = argument(writer, scope, ['text', 'int', 'mood', 'date'])
    const value = argument(writer, scope, clear)
    if (key === undefined || value === undefined) return null
    const [k, v] = [writer.use(key), writer.use(value)]
    writer.mark('aggregate order by')
    return {
      sql: `${name}(coalesce(${k}::text, '-'), ${v} order by ${k}::text, ${v})`,
      kind: result,
    }
  },
})

const clear: readonly Kind[] = [
  'int',
  'bigint',
  'money2',
  'text',
  'bytewise',
  'date',
  'bool',
  'mood',
]
const same = (kind: Kind): Kind => kind
const arrayOf = (kind: Kind): Kind =>
  kind === 'int' ? 'ints' : kind === 'text' ? 'texts' : 'opaque'

const within = (
  name: string,
  among: readonly Kind[],
  fraction: string,
  result: (kind: Kind) => Kind,
): Shape => ({
  construct: name === 'rank' ? 'rank within group' : name,
  make(writer, scope) {
    const column = argument(writer, scope, among)
    if (column === undefined) return null
    writer.picks()
    return {
      sql: `${name}(${fraction}) within group (order by ${writer.use(column)})`,
      kind: result(column.kind),
    }
  },
})

const sumKind = (kind: Kind): Kind =>
  kind === 'int' ? 'bigint' : kind === 'float8' ? 'float8' : 'numeric'
const averageKind = (kind: Kind): Kind => (kind === 'float8' ? 'float8' : 'numeric')

/** All the aggregates that item 2 names, and some. */
export const aggregateShapes: readonly Shape[] = [
  { construct: 'count(*)', make: () => ({ sql: 'count(*)', kind: 'bigint' }) },
  one(
    'count',
    [...clear, 'jsonb', 'span', 'pair', 'pair', 'citext', 'caseless', 'numeric', 'blanks'],
    () => 'bigint',
  ),
  {
    construct: 'count(distinct)',
    make(writer, scope) {
      const column = argument(writer, scope, clear)
      if (column === undefined) return null
      writer.mark('aggregate distinct')
      return { sql: `count(distinct ${writer.use(column)})`, kind: 'bigint' }
    },
  },
  one('sum', numbers, sumKind),
  one('avg', numbers, averageKind),
  one('min', simplyOrdered, same, { picks: true, distinct: false }),
  one('max', simplyOrdered, same, { picks: true, distinct: false }),
  judging('bool_and'),
  judging('bool_or'),
  judging('every'),
  one('bit_and', ['int', 'bigint'], same),
  one('bit_or', ['int'], same),
  spread('stddev', 'stddev'),
  spread('stddev_pop', 'stddev'),
  spread('variance', 'variance'),
  spread('var_pop', 'variance'),
  correlationOf('corr', 'corr'),
  correlationOf('covar_pop', 'covar'),
  correlationOf('regr_slope', 'regr'),
  correlationOf('regr_count', 'regr'),
  collecting('string_agg', ['text'], (x) => `${x}, ','`, same),
  collecting('array_agg', [...clear, 'citext', 'jsonb', 'pair', 'span'], (x) => x, arrayOf),
  collecting(
    'json_agg',
    [...clear, 'jsonb', 'json', 'numeric', 'citext'],
    (x) => x,
    () => 'json',
  ),
  collecting(
    'jsonb_agg',
    [...clear, 'jsonb', 'ints'],
    (x) => x,
    () => 'jsonb',
  ),
  objects('json_object_agg', 'json'),
  objects('jsonb_object_agg', 'jsonb'),
  within('percentile_cont', ['int', 'float8', 'money2'], '0.5', () => 'float8'),
  within('percentile_disc', clear, '0.4', same),
  within('mode', clear, '', same),
  within('rank', ['int'], '1', () => 'bigint'),
  {
    construct: 'user-defined aggregate',
    takes: ['text'],
    make(writer, scope) {
      const column = argument(writer, scope, ['text'])
      if (column === undefined) return null
      const text = writer.use(column)
      return writer.random.chance(0.5)
        ? { sql: `o.total_length(${text})`, kind: 'bigint' }
        : { sql: `o.chain(${text} order by ${text})`, kind: 'text' }
    },
  },
]

/** An aggregate over a scope, by its construct if one is asked for. */
export function aggregate(writer: QueryWriter, scope: Scope, wanted?: string): Item {
  const shapes =
    wanted === undefined ? [] : aggregateShapes.filter(({ construct }) => construct === wanted)
  for (let attempt = 0; attempt < 8; attempt += 1) {
    const shape = writer.random.pick(shapes.length > 0 && attempt < 4 ? shapes : aggregateShapes)
    const call = shape.make(writer, scope)
    if (call === null) continue
    writer.mark(shape.construct)
    return finished(writer, scope, { ...call, construct: shape.construct })
  }
  return { sql: 'count(*)', kind: 'bigint' }
}

function finished(
  writer: QueryWriter,
  scope: Scope,
  call: Call & { readonly construct: string },
): Item {
  let { sql } = call
  if (writer.random.chance(0.2)) {
    writer.mark('filter')
    sql = `${sql} filter (where ${plainPredicate(writer, scope)})`
  }
  if (['corr', 'covar', 'regr'].includes(call.construct))
    return { sql: `round((${sql})::numeric, 9)`, kind: 'numeric' }
  if (call.kind === 'numeric' && writer.random.chance(0.2)) {
    return { sql: `coalesce(round(${sql}, 2), 0)`, kind: 'numeric' }
  }
  return { sql, kind: call.kind }
}

/** The kinds of column that an aggregate takes; null: any relation will do. */
export const takenBy = (construct: string | undefined): readonly Kind[] | null =>
  aggregateShapes.find((shape) => shape.construct === construct)?.takes ?? null
