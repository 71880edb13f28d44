import { kinds } from './kinds.ts'
import { aggregate } from './query-aggregates.ts'
import type { FromItem, QueryWriter, Ref } from './query-writer.ts'
import type { Item } from './query-values.ts'
import { plainPredicate } from './query-predicates.ts'

/** How the rows of a window function are ordered. */
type Ties =
  /** The result is the same whatever the order of equal rows. */
  | 'harmless'
  /** It is not, so the order must be total for there to be one result. */
  | 'matter'

interface WindowCall {
  readonly sql: string
  readonly kind: Item['kind']
  readonly ties: Ties
  /** Whether a frame may be written. */
  readonly framed: boolean
}

const call = (sql: string, kind: Item['kind'], ties: Ties, framed = false): WindowCall => ({
  sql,
  kind,
  ties,
  framed,
})

const ranking = {
  row_number: () => call('row_number()', 'bigint', 'matter'),
  rank: () => call('rank()', 'bigint', 'harmless'),
  dense_rank: () => call('dense_rank()', 'bigint', 'harmless'),
  percent_rank: () => call('percent_rank()', 'float8', 'harmless'),
  cume_dist: () => call('cume_dist()', 'float8', 'harmless'),
  ntile: () => call('ntile(3)', 'int', 'matter'),
} as const

const shifting = ['lag', 'lead', 'first_value', 'last_value', 'nth_value'] as const

/** Window functions by the construct that they show. */
export const windowConstructs: readonly string[] = [
  ...Object.keys(ranking),
  ...shifting,
  'window aggregate',
  'frame rows',
  'frame range',
  'frame groups',
  'frame exclude',
  'range with offset',
  'window without partition',
  'several windows',
  'named window',
  'window filter',
]

/** What a window function stands on: a few columns of a relation, and nothing else of it. */
interface Ground {
  readonly from: FromItem
  readonly columns: readonly Ref[]
}

/** The function itself. */
function windowCall(writer: QueryWriter, { columns }: Ground, wanted: string): WindowCall {
  const ranks = Object.keys(ranking) as (keyof typeof ranking)[]
  const rank = ranks.find((name) => name === wanted)
  const shift = shifting.find((name) => name === wanted)
  if (rank !== undefined) return ranked(writer, rank)
  if (shift !== undefined) return shifted(writer, columns, shift)
  const aggregates = /^frame|^range with offset$|^window (aggregate|filter)$/.test(wanted)
  if (!aggregates && writer.random.chance(0.35)) return ranked(writer, writer.random.pick(ranks))
  if (!aggregates && writer.random.chance(0.45)) {
    return shifted(writer, columns, writer.random.pick(shifting))
  }
  return windowAggregate(writer, columns, wanted === 'window filter')
}

function ranked(writer: QueryWriter, name: keyof typeof ranking): WindowCall {
  writer.mark(name)
  return ranking[name]()
}

function shifted(
  writer: QueryWriter,
  columns: readonly Ref[],
  name: (typeof shifting)[number],
): WindowCall {
  const column = writer.random.pick(columns)
  const text = writer.use(column)
  writer.mark(name)
  writer.picks()
  if (name === 'nth_value') return call(`nth_value(${text}, 2)`, column.kind, 'matter', true)
  if (name === 'lag' || name === 'lead') {
    const more = writer.random.pick(['', ', 2', `, 1, ${writer.literal(column.kind)}`])
    return call(`${name}(${text}${column.kind === 'opaque' ? '' : more})`, column.kind, 'matter')
  }
  return call(`${name}(${text})`, column.kind, 'matter', true)
}

function windowAggregate(
  writer: QueryWriter,
  columns: readonly Ref[],
  filtered: boolean,
): WindowCall {
  const name = writer.random.pick([
    'sum',
    'count',
    'avg',
    'min',
    'max',
    'array_agg',
    'bool_or',
    'sum',
  ])
  const fitting: Readonly<Record<string, readonly Item['kind'][]>> = {
    sum: ['int', 'bigint', 'money2', 'numeric'],
    avg: ['int', 'bigint', 'money2'],
    min: ['int', 'text', 'date', 'money2', 'mood'],
    max: ['int', 'text', 'date', 'timestamptz'],
    array_agg: ['int', 'text'],
    bool_or: ['bool'],
    count: ['int', 'text', 'date', 'bool', 'mood'],
  }
  const column = columns.find(({ kind }) => fitting[name]?.includes(kind) === true)
  writer.mark('window aggregate')
  const filter = filtered ? ` filter (where ${plainPredicate(writer, columns)})` : ''
  if (filtered) writer.mark('window filter')
  if (column === undefined) return call(`count(*)${filter}`, 'bigint', 'harmless', true)
  const kind =
    name === 'count' || (name === 'sum' && column.kind === 'int')
      ? 'bigint'
      : name === 'sum' || name === 'avg'
        ? 'numeric'
        : name === 'array_agg'
          ? column.kind === 'int'
            ? 'ints'
            : 'texts'
          : column.kind
  const ties: Ties = name === 'array_agg' ? 'matter' : 'harmless'
  return call(`${name}(${writer.use(column)})${filter}`, kind, ties, true)
}

interface Spec {
  readonly sql: string
  /** Which of several equal rows comes first shows. */
  readonly tied: boolean
}

/** PARTITION BY, ORDER BY and frame. */
function specification(
  writer: QueryWriter,
  ground: Ground,
  wanted: string,
  made: WindowCall,
): Spec {
  const partitions = partitionsOf(writer, ground, wanted)
  const ordered = ground.columns.filter(({ kind }) => kinds[kind].ordered)
  const frame = made.framed ? frameIn(writer, ordered, wanted) : null
  const tied = made.ties === 'matter' || frame?.rows === true
  const order = frame?.by === undefined ? orderOf(writer, ground, tied) : [frame.by]
  if (frame?.by !== undefined && tied) writer.choice = true
  if (frame?.groups === true && order.length === 0) order.push('1')
  const parts = `${clause('partition by', partitions)}${clause('order by', order)}`
  return { tied, sql: `${parts}${frame?.sql ?? ''}`.trim() }
}

const clause = (words: string, terms: readonly string[]): string =>
  terms.length === 0 ? '' : `${words} ${terms.join(', ')} `

function partitionsOf(writer: QueryWriter, ground: Ground, wanted: string): string[] {
  const { random } = writer
  const count =
    wanted === 'window without partition'
      ? 0
      : random.weighted([[2, 0] as const, [8, 1] as const, [1, 2] as const])
  const partitions = random.sample(writer.equatable(ground.columns), count)
  if (partitions.length === 0) writer.mark('window without partition')
  return partitions.map((ref) => writer.use(ref))
}

/** An order that is total wherever ties would matter, or the choice is noted. */
function orderOf(writer: QueryWriter, { columns }: Ground, matters: boolean): string[] {
  const { random } = writer
  const ordered = columns.filter(({ kind }) => kinds[kind].ordered)
  const term = (ref: Ref): string => `${writer.use(ref)}${direction(writer)}`
  if (matters && random.chance(0.75)) {
    // Rows that agree in all the columns that are used are alike.
    if (ordered.length < columns.length) writer.choice = true
    writer.picks()
    return random.sample(ordered, ordered.length).map(term)
  }
  if (matters) writer.choice = true
  return matters && random.chance(0.3) ? [] : random.sample(ordered, 1).map(term)
}

const direction = (writer: QueryWriter): string =>
  writer.random.weighted([
    [4, ''],
    [2, ' desc'],
    [1, ' desc nulls last'],
    [1, ' nulls first'],
  ] as const)

interface Frame {
  readonly sql: string
  readonly rows: boolean
  readonly groups: boolean
  /** The order that it needs. */
  readonly by?: string
}

function frameIn(writer: QueryWriter, ordered: readonly Ref[], wanted: string): Frame | null {
  const framed = /^frame|^range with offset$/.test(wanted) || writer.random.chance(0.4)
  return framed ? frameOf(writer, ordered, wanted) : null
}

const offsetBounds = [
  '1 preceding and 1 following',
  'unbounded preceding and 1 following',
  '2 preceding and current row',
  'current row and unbounded following',
  '1 following and 2 following',
]
const plainBounds = [
  'unbounded preceding and current row',
  'current row and unbounded following',
  'unbounded preceding and unbounded following',
]

function frameOf(writer: QueryWriter, ordered: readonly Ref[], wanted: string): Frame {
  const { random } = writer
  const mode =
    ['rows', 'range', 'groups'].find((each) =>
      wanted.startsWith('range') ? each === 'range' : wanted === `frame ${each}`,
    ) ?? random.pick(['rows', 'range', 'groups'])
  const excluding = wanted === 'frame exclude' || random.chance(0.25)
  const exclude = excluding
    ? random.pick([' exclude current row', ' exclude ties', ' exclude group'])
    : ''
  if (excluding) writer.mark('frame exclude')
  writer.mark(`frame ${mode}`)
  const numbers = ordered.filter(({ kind }) => ['int', 'bigint', 'money2'].includes(kind))
  const [numeric] = wanted === 'range with offset' || random.chance(0.5) ? numbers : []
  const offset = mode !== 'range' || numeric !== undefined
  const bounds = offset ? offsetBounds : plainBounds
  const sql = `${mode} between ${random.pick(bounds)}${exclude}`
  // Which of its ties a row excludes, or stands before, is no choice; which is the current row of ROWS is.
  if (mode === 'range' && offset && numeric !== undefined) {
    writer.mark('range with offset')
    return {
      sql,
      rows: false,
      groups: false,
      by: `${writer.use(numeric)}${random.pick(['', ' desc'])}`,
    }
  }
  return { sql, rows: mode === 'rows', groups: mode === 'groups' }
}

/** `SELECT columns, f() OVER (…) FROM …`, by the construct wanted. */
export function windowSelect(
  writer: QueryWriter,
  from: FromItem,
  wanted: string,
): { readonly items: readonly Item[]; readonly tail: string } {
  const { random } = writer
  const columns = writer.chosen(from.refs, random.between(2, 4))
  const ground: Ground = { from, columns }
  const items: Item[] = columns.map((ref) => ({ sql: writer.use(ref), kind: ref.kind }))
  const several = wanted === 'several windows' || random.chance(0.2)
  const first = windowCall(writer, ground, wanted)
  const spec = specification(writer, ground, wanted, first)
  let tail = ''
  if (wanted === 'named window' || random.chance(0.1)) {
    writer.mark('named window')
    items.push({ sql: `${first.sql} over w`, kind: first.kind })
    tail = ` window w as (${spec.sql})`
    if (first.ties === 'harmless') items.push({ sql: 'count(*) over w', kind: 'bigint' })
  } else items.push({ sql: `${first.sql} over (${spec.sql})`, kind: first.kind })
  if (several) {
    writer.mark('several windows')
    const second = windowCall(writer, ground, 'any')
    const other = specification(writer, ground, 'any', second)
    // Rows that are alike come in an order of their own in each window.
    if (spec.tied && other.tied) writer.choice = true
    items.push({ sql: `${second.sql} over (${other.sql})`, kind: second.kind })
  }
  return { items, tail }
}

/** Window functions over groups: `rank() over (order by sum(x))`. */
export function windowOverGroups(
  writer: QueryWriter,
  from: FromItem,
): { readonly items: readonly Item[]; readonly tail: string } {
  const keys = writer.chosen(writer.equatable(from.refs), writer.random.between(1, 2))
  const items: Item[] = keys.map((ref) => ({ sql: writer.use(ref), kind: ref.kind }))
  const names = items.map(({ sql }) => sql).join(', ')
  const measure = aggregate(
    writer,
    from.refs,
    writer.random.pick(['sum', 'count(*)', 'count', 'avg', 'max']),
  )
  writer.mark('window over aggregate', 'group by')
  writer.picks()
  items.push(measure)
  const partition =
    keys.length > 1 && writer.random.chance(0.5)
      ? `partition by ${writer.use(writer.random.pick(keys))} `
      : ''
  const over = kinds[measure.kind].ordered
    ? `over (${partition}order by ${measure.sql} desc)`
    : `over (${partition})`
  items.push({ sql: `rank() ${over}`, kind: 'bigint' })
  if (measure.kind === 'bigint' || measure.kind === 'numeric')
    items.push({ sql: `sum(${measure.sql}) over (${partition})`, kind: 'numeric' })
  return { items, tail: names === '' ? '' : ` group by ${names}` }
}
