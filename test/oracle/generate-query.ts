import type { Table } from './generate-schema.ts'
import type { Kind } from './kinds.ts'
import { kinds } from './kinds.ts'
import { aggregate, aggregateShapes, takenBy } from './query-aggregates.ts'
import type { Predicate, SubqueryPredicate } from './query-predicates.ts'
import {
  allOfArray,
  correlation,
  inner,
  plainPredicate,
  predicate,
  scalarSubquery,
  subqueryPredicateNames,
  subqueryPredicates,
} from './query-predicates.ts'
import type { Item } from './query-values.ts'
import { items as valueItems, simplePredicate, valueOfKind } from './query-values.ts'
import { windowConstructs, windowOverGroups, windowSelect } from './query-windows.ts'
import type { FromItem, Query, Readable, Ref, Scope, WriterInput } from './query-writer.ts'
import { QueryWriter } from './query-writer.ts'

/** A query, and what is known of it. */
export interface GeneratedQuery {
  readonly sql: string
  readonly columns: Query['columns']
  /** The construct that it was made for. */
  readonly featured: string
  readonly constructs: readonly string[]
  /** SQL leaves PostgreSQL a choice of results, so that only the determinised query can be compared. */
  readonly choice: boolean
}

type Feature = (writer: QueryWriter, depth: number) => Query

/** Parts of a SELECT, put together in their order. */
interface Parts {
  readonly items: readonly Item[]
  readonly from: string
  readonly where?: string | undefined
  readonly tail?: string
  readonly distinct?: string
  readonly rows: number
}

function select(writer: QueryWriter, parts: Parts): Query {
  const columns = parts.items.map(({ kind }) => ({ name: writer.fresh('c'), kind }))
  const list = parts.items.map(({ sql }, at) => `${sql} as ${columns[at]?.name ?? ''}`).join(', ')
  const where = parts.where === undefined || parts.where === '' ? '' : ` where ${parts.where}`
  return {
    sql: `select ${parts.distinct ?? ''}${list}${parts.from === '' ? '' : ` from ${parts.from}`}${where}${parts.tail ?? ''}`,
    columns,
    rows: parts.rows,
  }
}

/** One relation, or now and then a join of two. */
function ground(writer: QueryWriter, depth: number): FromItem {
  const left = writer.source(depth)
  if (!writer.random.chance(0.3)) return left
  const right = writer.source(0)
  return joined(
    writer,
    left,
    right,
    writer.random.pick(['inner join', 'left join', 'inner join'] as const),
  )
}

type JoinWord = 'inner join' | 'left join' | 'right join' | 'full join'

function joined(writer: QueryWriter, left: FromItem, right: FromItem, word: JoinWord): FromItem {
  const on = joinCondition(writer, left.refs, right.refs, word)
  writer.mark(word)
  return {
    sql: `${left.sql} ${word} ${right.sql} on ${on}`,
    refs: [...left.refs, ...right.refs],
    rows: Math.max(left.rows, right.rows, (left.rows * right.rows) / 6),
    columns: [],
  }
}

function joinCondition(writer: QueryWriter, left: Scope, right: Scope, word: JoinWord): string {
  const pairs = writer
    .equatable(right)
    .flatMap((mine) =>
      left.filter(({ kind }) => kind === mine.kind).map((theirs) => [theirs, mine] as const),
    )
  const clear = pairs.filter(([{ kind }]) => !kinds[kind].blurred && kind !== 'bool')
  const among = clear.length > 0 ? clear : pairs
  if (among.length === 0) return 'true'
  const references = among.filter(([one, other]) =>
    [`${one.sql} ${other.sql}`, `${other.sql} ${one.sql}`].some((both) =>
      /\.up \S+\.id$/.test(both),
    ),
  )
  const [theirs, mine] =
    references.length > 0 && writer.random.chance(0.6)
      ? writer.random.pick(references)
      : writer.random.pick(among)
  const equal = `${writer.use(theirs)} = ${writer.use(mine)}`
  if (!writer.random.chance(0.25)) return equal
  writer.mark('join on more than equality')
  if (word === 'full join') writer.mark('full join on more than equality')
  return `${equal} and ${plainPredicate(writer, writer.random.chance(0.5) ? right : [...left, ...right])}`
}

const maybeWhere = (writer: QueryWriter, scope: Scope, depth: number): string | undefined => {
  if (!writer.random.chance(0.33)) return undefined
  writer.mark('where')
  return predicate(writer, scope, depth)
}

const projection: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  return select(writer, {
    items: valueItems(writer, from.refs, writer.random.between(1, 4)),
    from: from.sql,
    where: maybeWhere(writer, from.refs, depth),
    rows: from.rows,
  })
}

const where: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  writer.mark('where')
  return select(writer, {
    items: valueItems(writer, from.refs, writer.random.between(1, 3)),
    from: from.sql,
    where: predicate(writer, from.refs, 1),
    rows: from.rows / 2,
  })
}

const join =
  (word: JoinWord): Feature =>
  (writer, depth) => {
    let from = joined(writer, writer.source(depth), writer.source(Math.max(0, depth - 1)), word)
    if (writer.random.chance(0.35) && writer.affordable(from.rows * 2)) {
      from = joined(
        writer,
        from,
        writer.source(0),
        writer.random.pick(['inner join', 'left join', 'right join', 'full join'] as const),
      )
      writer.mark('join of three')
    }
    const absent = writer.random.chance(0.15) ? writer.column(from.refs, joinedKinds) : undefined
    if (absent !== undefined) writer.mark('where', 'is null')
    return select(writer, {
      items: valueItems(writer, from.refs, writer.random.between(2, 4)),
      from: from.sql,
      where:
        absent === undefined
          ? maybeWhere(writer, from.refs, depth)
          : `${writer.use(absent)} is null`,
      rows: from.rows,
    })
  }

const joinedKinds: readonly Kind[] = ['int', 'text', 'date', 'bigint']

const crossJoin: Feature = (writer, depth) => {
  const left = writer.source(depth)
  const right = writer.source(0)
  const all: Scope = [...left.refs, ...right.refs]
  writer.mark('cross join')
  return select(writer, {
    items: valueItems(writer, all, 3),
    from: `${left.sql} ${writer.random.pick(['cross join', ', '])} ${right.sql}`.replace(
      ' , ',
      ', ',
    ),
    where: predicate(writer, writer.affordable(left.rows * right.rows) ? all : left.refs, 0),
    rows: (left.rows * right.rows) / 2,
  })
}

const usingJoin: Feature = (writer, depth) => {
  const left =
    writer.pending === null
      ? writer.table(writer.random.pick(writer.schema.tables))
      : writer.source(depth)
  const right = writer.table(writer.random.pick(writer.schema.tables))
  const shared = right.columns.filter(
    (column) =>
      kinds[column.kind].equatable &&
      left.columns.some((each) => each.name === column.name && each.kind === column.kind),
  )
  const names = writer.random.sample(shared, writer.random.between(1, 2))
  if (names.length === 0) return join('inner join')(writer, depth)
  const word = writer.random.pick(['join', 'left join', 'right join', 'full join', 'join'])
  writer.mark('using', ...(word === 'join' ? ['inner join'] : [word]))
  if (word !== 'join') writer.picks()
  const merged: Ref[] = names.map(({ name, kind }) => ({ sql: name, kind }))
  const others = [...left.refs, ...right.refs].filter(
    ({ sql }) => !names.some(({ name }) => sql.endsWith(`.${name}`)),
  )
  return select(writer, {
    items: [
      ...merged.map((ref) => ({ sql: writer.use(ref), kind: ref.kind })),
      ...valueItems(writer, others, 2),
    ],
    from: `${left.sql} ${word} ${right.sql} using (${names.map(({ name }) => name).join(', ')})`,
    where: writer.random.chance(0.3) ? predicate(writer, [...merged, ...others], depth) : undefined,
    rows: (left.rows * right.rows) / 6,
  })
}

const selfJoin: Feature = (writer) => {
  const table = writer.random.pick(writer.schema.tables)
  const left = writer.aliased(table.name, table.columns, 12)
  const right = writer.aliased(table.name, table.columns, 12)
  const from = joined(
    writer,
    left,
    right,
    writer.random.pick(['inner join', 'left join', 'full join', 'inner join'] as const),
  )
  writer.mark('self join')
  return select(writer, {
    items: valueItems(writer, from.refs, 3),
    from: from.sql,
    where: maybeWhere(writer, from.refs, 0),
    rows: from.rows,
  })
}

const nonEquiJoin: Feature = (writer, depth) => {
  const left = writer.source(depth)
  const right = writer.source(0)
  const shared = writer.random
    .sample(right.refs, 20)
    .flatMap((mine) =>
      left.refs
        .filter(({ kind }) => kind === mine.kind && kinds[kind].ordered && !kinds[kind].blurred)
        .map((theirs) => [theirs, mine] as const),
    )
  const [pair] = shared
  if (pair === undefined) return crossJoin(writer, depth)
  const word = writer.random.pick(['join', 'left join', 'right join'])
  writer.mark('non-equi join', word === 'join' ? 'inner join' : word)
  const [theirs, mine] = pair
  const on = `${writer.use(theirs)} ${writer.random.pick(['<', '>', '<=', '<>', 'is distinct from'])} ${writer.use(mine)}`
  const extra = writer.random.chance(0.5) ? ` and ${simplePredicate(writer, right.refs)}` : ''
  const all: Scope = [...left.refs, ...right.refs]
  return select(writer, {
    items: valueItems(writer, all, 3),
    from: `${left.sql} ${word} ${right.sql} on ${on}${extra}`,
    where: maybeWhere(writer, all, 0),
    rows: (left.rows * right.rows) / 2,
  })
}

const lateral: Feature = (writer, depth) => {
  const left = writer.source(depth)
  const nested = inner(writer, left.refs, 0, 1)
  writer.mark('lateral')
  const alias = writer.fresh('x')
  const form = writer.random.below(3)
  let sub: { readonly sql: string; readonly columns: readonly { name: string; kind: Kind }[] }
  if (form === 0) {
    const item = aggregate(writer, nested.scope)
    sub = {
      sql: `select ${item.sql} as g from ${nested.from.sql}${nested.where}`,
      columns: [{ name: 'g', kind: item.kind }],
    }
    writer.mark('lateral aggregate')
  } else {
    const made = valueItems(writer, nested.scope, 2)
    const list = made.map(({ sql }, at) => `${sql} as g${at}`).join(', ')
    const limit = form === 1 ? topOf(writer, made, 'limit per group') : ''
    sub = {
      sql: `select ${list} from ${nested.from.sql}${nested.where}${limit}`,
      columns: made.map(({ kind }, at) => ({ name: `g${at}`, kind })),
    }
  }
  const refs: Ref[] = sub.columns.map(({ name, kind }) => ({ sql: `${alias}.${name}`, kind }))
  const word = writer.random.pick(['cross join lateral', 'left join lateral'])
  if (word.startsWith('left')) writer.mark('left join', 'lateral left join')
  const all: Scope = [...left.refs, ...refs]
  const shown = refs.map((ref) => ({ sql: writer.use(ref), kind: ref.kind }))
  return select(writer, {
    items: [...shown, ...valueItems(writer, left.refs, 2)],
    from: `${left.sql} ${word} (${sub.sql}) ${alias}${word.startsWith('left') ? ' on true' : ''}`,
    where: maybeWhere(writer, all, 0),
    rows: left.rows * 3,
  })
}

/** ORDER BY the first columns and LIMIT; total over the items, or the choice is noted. */
function topOf(writer: QueryWriter, made: readonly Item[], construct: string): string {
  const { random } = writer
  const sortable = made
    .map(({ kind }, at) => [at + 1, kinds[kind].ordered] as const)
    .filter(([, ordered]) => ordered)
  writer.mark(construct, 'order by and limit')
  writer.picks()
  const total = random.chance(0.7)
  const positions = random.sample(
    sortable,
    total ? sortable.length : Math.max(1, sortable.length - 1),
  )
  if (positions.length === 0) {
    writer.choice = true
    return ` limit ${random.between(1, 5)}`
  }
  if (positions.length < made.length) writer.choice = true
  const by = positions.map(
    ([at]) => `${at}${random.pick(['', '', ' desc', ' desc nulls last', ' nulls first'])}`,
  )
  return ` order by ${by.join(', ')} limit ${random.between(1, 5)}`
}

const filtering =
  (name: SubqueryPredicate): Feature =>
  (writer, depth) => {
    const from = ground(writer, depth)
    return select(writer, {
      items: valueItems(writer, from.refs, writer.random.between(1, 3)),
      from: from.sql,
      where: `${subqueryPredicates[name](writer, from.refs, 1)}${writer.random.chance(0.25) ? ` and ${predicate(writer, from.refs, 0)}` : ''}`,
      rows: from.rows / 2,
    })
  }

const asking =
  (condition: Predicate): Feature =>
  (writer, depth) => {
    const from = ground(writer, depth)
    writer.mark('where')
    return select(writer, {
      items: valueItems(writer, from.refs, writer.random.between(1, 3)),
      from: from.sql,
      where: condition(writer, from.refs, 0),
      rows: from.rows / 2,
    })
  }

const scalarInSelect =
  (form: 'aggregate' | 'limit'): Feature =>
  (writer, depth) => {
    const from = ground(writer, depth)
    const scalar = scalarSubquery(writer, from.refs, 1, form)
    writer.mark('subquery in the select list')
    const shown: Item =
      kinds[scalar.kind].ordered && writer.random.chance(0.3)
        ? { sql: `coalesce(${scalar.sql}, ${writer.literal(scalar.kind)})`, kind: scalar.kind }
        : scalar
    return select(writer, {
      items: [...valueItems(writer, from.refs, 2), shown],
      from: from.sql,
      where: maybeWhere(writer, from.refs, 0),
      rows: from.rows,
    })
  }

const subqueryInCase: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const name = writer.random.pick([
    'exists',
    'not exists',
    'in subquery',
    'not in with nulls',
    'any subquery',
  ] as const)
  const condition = subqueryPredicates[name](writer, from.refs, 0)
  const scalar = scalarSubquery(writer, from.refs, 0)
  writer.mark('subquery in case', 'subquery in the select list', 'case')
  const sql = writer.random.chance(0.5)
    ? `case when ${condition} then 'yes' when ${simplePredicate(writer, from.refs)} then 'perhaps' else 'no' end`
    : `case when ${condition} then ${scalar.sql} end`
  const kind = sql.endsWith("'no' end") ? 'text' : scalar.kind
  return select(writer, {
    items: [...valueItems(writer, from.refs, 1), { sql, kind }],
    from: from.sql,
    rows: from.rows,
  })
}

const predicateInSelect: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const name = writer.random.pick([
    'exists',
    'in subquery',
    'not in with nulls',
    'all subquery',
  ] as const)
  writer.mark('subquery in the select list')
  const item: Item = { sql: `(${subqueryPredicates[name](writer, from.refs, 0)})`, kind: 'bool' }
  return select(writer, {
    items: [...valueItems(writer, from.refs, 2), item],
    from: from.sql,
    rows: from.rows,
  })
}

const arraySubquery: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const nested = inner(writer, from.refs, 0, 0.8)
  const [column] = writer.chosen(
    nested.scope.filter(({ kind }) => kind === 'int' || kind === 'text'),
    1,
  )
  const text = column === undefined ? '1' : writer.use(column)
  writer.mark('array subquery', 'subquery in the select list')
  const item: Item = {
    sql: `array(select ${text} from ${nested.from.sql}${nested.where} order by 1)`,
    kind: column?.kind === 'text' ? 'texts' : 'ints',
  }
  return select(writer, {
    items: [...valueItems(writer, from.refs, 2), item],
    from: from.sql,
    rows: from.rows,
  })
}

/** Grouping keys: columns, and expressions of them. */
function groupKeys(writer: QueryWriter, scope: Scope, count: number): Item[] {
  const keys = writer.chosen(
    writer.equatable(scope).filter(({ kind }) => kinds[kind].ordered),
    count,
  )
  writer.picks()
  return keys.map((ref): Item => {
    if (writer.random.chance(0.75)) return { sql: writer.use(ref), kind: ref.kind }
    writer.mark('group by expression')
    return { sql: valueOfKind(writer, scope, ref.kind, 2), kind: ref.kind }
  })
}

/** Keys that are constants would be read as positions. */
const safeKey = ({ sql }: Item): boolean => /[a-z]\d*\./.test(sql)

function grouped(
  writer: QueryWriter,
  from: FromItem,
  options: {
    readonly keys: number
    readonly wanted?: string
    readonly having?: boolean
    readonly where?: string | undefined
  },
): Query {
  const keys = groupKeys(writer, from.refs, options.keys).filter(safeKey)
  const made = [aggregate(writer, from.refs, options.wanted)]
  while (made.length < 3 && writer.random.chance(0.5)) made.push(aggregate(writer, from.refs))
  const names = keys.map(({ sql }) => sql)
  writer.mark(keys.length === 0 ? 'aggregate without group by' : 'group by')
  const shown = writer.random.chance(0.9) ? keys : keys.slice(1)
  let tail = names.length === 0 ? '' : ` group by ${names.join(', ')}`
  if (options.having === true) {
    writer.mark('having')
    const measured = writer.random.chance(0.5)
      ? { sql: 'count(*)', kind: 'bigint' as const }
      : aggregate(writer, from.refs, writer.random.pick(['count', 'sum', 'max', 'min']))
    const [first] = keys
    const condition =
      measured.sql === 'count(*)'
        ? `count(*) ${writer.random.pick(['>', '<=', '>='])} ${writer.random.between(1, 3)}`
        : `${measured.sql} ${writer.random.pick(['>', 'is not null and count(*) <', '<'])} ${measured.sql.includes('is not null') ? '4' : havingLiteral(writer, measured)}`
    tail += ` having ${condition}${first !== undefined && writer.random.chance(0.3) ? ` or ${first.sql} is null` : ''}`
  }
  return select(writer, {
    items: [...shown, ...made],
    from: from.sql,
    where: options.where,
    tail,
    rows: keys.length === 0 ? 1 : from.rows / 2,
  })
}

function havingLiteral(writer: QueryWriter, { kind }: Item): string {
  return kinds[kind].ordered && kind !== 'opaque' ? writer.literal(kind) : '2'
}

/** A relation that has a column of one of these kinds, mostly. */
function groundWith(writer: QueryWriter, depth: number, wanted: readonly Kind[] | null): FromItem {
  if (wanted === null || writer.random.chance(0.3)) return ground(writer, depth)
  const tables = writer.schema.tables.filter(({ columns }) =>
    columns.some(({ kind }) => wanted.includes(kind)),
  )
  if (tables.length === 0) return ground(writer, depth)
  const left = writer.table(writer.random.pick(tables))
  if (!writer.random.chance(0.3)) return left
  return joined(
    writer,
    left,
    writer.source(depth),
    writer.random.pick(['inner join', 'left join'] as const),
  )
}

const groupBy =
  (options: {
    readonly keys?: number
    readonly wanted?: string
    readonly having?: boolean
  }): Feature =>
  (writer, depth) => {
    const from = groundWith(writer, depth, takenBy(options.wanted))
    const keys =
      options.keys ??
      writer.random.weighted([
        [1, 0],
        [8, 1],
        [4, 2],
        [1, 3],
      ] as const)
    return grouped(writer, from, { ...options, keys, where: maybeWhere(writer, from.refs, depth) })
  }

const groupByExpression: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const key = valueItems(
    writer,
    from.refs.filter(({ kind }) => ['int', 'text', 'date', 'money2'].includes(kind)),
    1,
  )[0]
  const [column] = writer.chosen(
    from.refs.filter(({ kind }) => kind === 'int'),
    1,
  )
  const sql =
    column === undefined || (key !== undefined && safeKey(key) && writer.random.chance(0.6))
      ? (key?.sql ?? '1')
      : `${writer.use(column)} % 2`
  const kind = sql.endsWith('% 2') ? 'int' : (key?.kind ?? 'int')
  if (!safeKey({ sql, kind })) return groupBy({})(writer, depth)
  writer.mark('group by expression', 'group by')
  writer.picks()
  return select(writer, {
    items: [{ sql, kind }, aggregate(writer, from.refs)],
    from: from.sql,
    tail: ` group by ${sql}`,
    where: maybeWhere(writer, from.refs, 0),
    rows: from.rows / 2,
  })
}

const groupingSets =
  (construct: 'grouping sets' | 'rollup' | 'cube'): Feature =>
  (writer, depth) => {
    const from = ground(writer, depth)
    const keys = writer.chosen(writer.equatable(from.refs), 2)
    const [first, second] = keys.map((ref) => writer.use(ref))
    if (first === undefined || second === undefined || first === second)
      return groupBy({})(writer, depth)
    writer.mark(construct)
    writer.picks()
    const sets = {
      'grouping sets': writer.random.pick([
        `grouping sets ((${first}), (${second}), ())`,
        `grouping sets ((${first}, ${second}), (${second}))`,
        `distinct rollup (${first}, ${second}), rollup (${first})`,
        `grouping sets ((${first}), (${first}), ())`.replace('((', `((${second}), (`),
        `${first}, grouping sets ((${second}), ())`,
      ]),
      rollup: `rollup (${first}, ${second})`,
      cube: `cube (${first}, ${second})`,
    }
    const made: Item[] = keys.map((ref) => ({ sql: ref.sql, kind: ref.kind }))
    if (writer.random.chance(0.6)) {
      writer.mark('grouping()')
      made.push({ sql: `grouping(${first}, ${second})`, kind: 'int' })
    }
    made.push(aggregate(writer, from.refs))
    return select(writer, {
      items: made,
      from: from.sql,
      where: maybeWhere(writer, from.refs, 0),
      tail: ` group by ${sets[construct]}`,
      rows: from.rows,
    })
  }

const distinct: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  writer.mark('distinct')
  writer.picks()
  const made = valueItems(
    writer,
    from.refs.filter(({ kind }) => kinds[kind].ordered),
    writer.random.between(1, 2),
  )
  return select(writer, {
    items: made,
    from: from.sql,
    where: maybeWhere(writer, from.refs, depth),
    distinct: 'distinct ',
    rows: from.rows / 2,
  })
}

const distinctOn: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const columns = writer.chosen(
    from.refs.filter(({ kind }) => kinds[kind].ordered),
    writer.random.between(2, 3),
  )
  const [key] = columns
  if (key === undefined) return distinct(writer, depth)
  writer.mark('distinct on')
  writer.picks()
  const made: Item[] = columns.map((ref) => ({ sql: writer.use(ref), kind: ref.kind }))
  const total = writer.random.chance(0.75)
  const order = total ? columns.map(({ sql }) => sql) : [key.sql]
  if (!total || columns.some(({ kind }) => !kinds[kind].ordered)) writer.choice = true
  const [, ...rest] = order
  return select(writer, {
    items: made,
    from: from.sql,
    where: maybeWhere(writer, from.refs, 0),
    distinct: `distinct on (${key.sql}) `,
    tail: ` order by ${[order[0], ...rest.map((name) => `${name}${writer.random.pick(['', ' desc'])}`)].join(', ')}`,
    rows: from.rows / 2,
  })
}

const window =
  (construct: string): Feature =>
  (writer, depth) => {
    const from = ground(writer, depth)
    const { items, tail } = windowSelect(writer, from, construct)
    return select(writer, {
      items,
      from: from.sql,
      where: maybeWhere(writer, from.refs, 0),
      tail,
      rows: from.rows,
    })
  }

const windowOverAggregate: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const { items, tail } = windowOverGroups(writer, from)
  return select(writer, {
    items,
    from: from.sql,
    where: maybeWhere(writer, from.refs, 0),
    tail,
    rows: from.rows / 2,
  })
}

const aggregateOverWindow: Feature = (writer, depth) => {
  writer.pending = window(writer.random.pick(['row_number', 'rank', 'window aggregate', 'lag']))(
    writer,
    depth,
  )
  writer.mark('aggregate over window')
  return grouped(writer, writer.source(0), { keys: 1 })
}

const setKinds: readonly Kind[] = [
  'int',
  'text',
  'bool',
  'mood',
  'date',
  'money2',
  'bigint',
  'bytewise',
  'caseless',
]

function shaped(writer: QueryWriter, wanted: readonly Kind[], depth: number, table?: Table): Query {
  const from = table === undefined ? writer.source(depth) : writer.table(table)
  const made = wanted.map((kind): Item => ({ kind, sql: valueOfKind(writer, from.refs, kind, 1) }))
  return select(writer, {
    items: made,
    from: from.sql,
    where: maybeWhere(writer, from.refs, 0),
    rows: from.rows,
  })
}

/** Two queries that show the same of one table, each of some of its rows: most have rows in common. */
function alike(writer: QueryWriter, wanted: readonly Kind[], table: Table): [Query, Query] {
  const from = writer.table(table)
  const items = wanted.map((kind): Item => ({ kind, sql: valueOfKind(writer, from.refs, kind, 1) }))
  const arm = (): Query =>
    select(writer, {
      items,
      from: from.sql,
      where: maybeWhere(writer, from.refs, 0),
      rows: from.rows,
    })
  return [arm(), arm()]
}

const setOperation =
  (word: string): Feature =>
  (writer, depth) => {
    const count = writer.random.weighted([
      [3, 1],
      [2, 2],
      [1, 3],
    ] as const)
    const wanted = writer.random.sample(
      setKinds.slice(0, writer.random.chance(0.6) ? 2 : setKinds.length),
      count,
    )
    // Arms over one table have rows in common.
    const common =
      writer.pending === null && writer.random.chance(0.5)
        ? writer.random.pick(writer.schema.tables)
        : undefined
    const [left, right] =
      common !== undefined && writer.random.chance(word.startsWith('intersect') ? 0.8 : 0.2)
        ? alike(writer, wanted, common)
        : [
            shaped(writer, wanted, depth, common),
            shaped(writer, wanted, Math.max(0, depth - 1), common),
          ]
    writer.mark(word)
    // Which of equal rows stay is open, also where as many stay as there are on the other side.
    if (word !== 'union all') writer.picks()
    let sql = `(${left.sql}) ${word} (${right.sql})`
    if (writer.random.chance(0.25)) {
      const other = writer.random.pick([
        'union',
        'union all',
        'intersect',
        'except',
        'except all',
        'intersect all',
      ])
      writer.mark(other, 'set operation of three')
      if (other !== 'union all') writer.picks()
      sql = `(${sql}) ${other} (${shaped(writer, wanted, 0).sql})`
    }
    return { sql, columns: left.columns, rows: left.rows + right.rows }
  }

const setOfAggregates: Feature = (writer) => {
  const wanted: readonly Kind[] = ['int']
  const arms = [0, 1].map(() => {
    const from = writer.source(0)
    const key = valueOfKind(writer, from.refs, 'int', 0)
    return select(writer, {
      items: [
        { sql: key, kind: 'int' },
        { sql: 'count(*)', kind: 'bigint' },
      ],
      from: from.sql,
      tail: /\./.test(key) ? ` group by ${key}` : '',
      rows: 6,
    })
  })
  const word = writer.random.pick(['union', 'union all', 'intersect', 'except'])
  writer.mark('set operation of aggregates', word, 'group by')
  return {
    sql: arms.map(({ sql }) => `(${sql})`).join(` ${word} `),
    columns: arms[0]?.columns ?? wanted.map((kind) => ({ name: 'c', kind })),
    rows: 12,
  }
}

const limited =
  (construct: 'order by and limit' | 'offset' | 'with ties'): Feature =>
  (writer, depth) => {
    const from = ground(writer, depth)
    const made = valueItems(
      writer,
      from.refs.filter(({ kind }) => kinds[kind].ordered),
      writer.random.between(1, 3),
    )
    let tail: string
    if (construct === 'with ties') {
      writer.mark('with ties')
      writer.picks()
      // All ties are kept: no choice, however coarse the order.
      tail = ` order by 1${writer.random.pick(['', ' desc', ' nulls first'])} fetch first ${writer.random.between(1, 4)} rows with ties`
    } else {
      tail = topOf(writer, made, 'order by and limit')
      if (construct === 'offset') {
        writer.mark('offset')
        tail = `${tail} offset ${writer.random.between(1, 4)}`
      }
    }
    return select(writer, {
      items: made,
      from: from.sql,
      where: maybeWhere(writer, from.refs, depth),
      tail,
      rows: 5,
    })
  }

const limitInSubquery: Feature = (writer, depth) => {
  writer.pending = limited(writer.random.pick(['order by and limit', 'offset', 'with ties']))(
    writer,
    depth,
  )
  writer.mark('limit in a subquery')
  return writer.random.pick([projection, groupBy({}), join('inner join')])(writer, 0)
}

const limitPerGroup: Feature = (writer, depth) => {
  const left = writer.source(depth)
  const nested = inner(writer, left.refs, 0, 1)
  const made = valueItems(writer, nested.scope, 2)
  const list = made.map(({ sql }, at) => `${sql} as g${at}`).join(', ')
  const alias = writer.fresh('x')
  writer.mark('lateral')
  const sql = `select ${list} from ${nested.from.sql}${nested.where}${topOf(writer, made, 'limit per group')}`
  const refs = made.map(({ kind }, at): Ref => ({ sql: `${alias}.g${at}`, kind }))
  return select(writer, {
    items: [
      ...valueItems(writer, left.refs, 1),
      ...refs.map((ref) => ({ sql: writer.use(ref), kind: ref.kind })),
    ],
    from: `${left.sql}, lateral (${sql}) ${alias}`,
    rows: left.rows * 3,
  })
}

/** A body that reads a CTE once or more, beside other things. */
function over(writer: QueryWriter, readable: Readable, uses: number): Query {
  const first = writer.readable(readable)
  if (uses === 1)
    return writer.random.chance(0.5)
      ? grouped(writer, first, { keys: 1 })
      : select(writer, {
          items: valueItems(writer, first.refs, 2),
          from: first.sql,
          where: maybeWhere(writer, first.refs, 1),
          rows: first.rows,
        })
  const second = writer.readable(readable)
  writer.mark('cte used many times')
  const word = writer.random.pick(['inner join', 'left join', 'full join'] as const)
  if (writer.random.chance(0.5)) {
    const from = joined(writer, first, second, word)
    return select(writer, {
      items: valueItems(writer, from.refs, 3),
      from: from.sql,
      where: maybeWhere(writer, from.refs, 0),
      rows: from.rows,
    })
  }
  const tie = correlation(writer, first.refs, second.refs)
  writer.mark('exists')
  return select(writer, {
    items: valueItems(writer, first.refs, 2),
    from: first.sql,
    where: `${writer.random.pick(['', 'not '])}exists (select from ${second.sql}${tie === '' ? '' : ` where ${tie}`})`,
    rows: first.rows,
  })
}

const hints = {
  cte: '',
  'cte materialized': 'materialized ',
  'cte not materialized': 'not materialized ',
} as const

const cte =
  (
    construct: 'cte' | 'cte materialized' | 'cte not materialized' | 'cte used many times',
  ): Feature =>
  (writer, depth) => {
    const body = writer.derived(Math.max(0, depth - 1))
    const name = writer.fresh('w')
    const hint =
      construct === 'cte used many times'
        ? writer.random.pick(['', 'materialized '])
        : hints[construct]
    const readable: Readable = {
      name,
      columns: body.columns,
      rows: body.rows,
      constructs: [construct],
    }
    let heads = `${name} as ${hint}(${body.sql})`
    let read = readable
    if (writer.random.chance(0.3)) {
      const next = over(writer, readable, 1)
      const own = writer.random.pick(['cte', 'cte materialized', 'cte not materialized'] as const)
      read = {
        name: writer.fresh('w'),
        columns: next.columns,
        rows: next.rows,
        constructs: [own],
      }
      heads = `${heads}, ${read.name} as ${hints[own]}(${next.sql})`
      writer.mark('cte over cte')
    }
    const main = over(
      writer,
      read,
      construct === 'cte used many times' || writer.random.chance(0.3) ? 2 : 1,
    )
    writer.mark(construct)
    return { ...main, sql: `with ${heads} ${main.sql}` }
  }

const recursive: Feature = (writer) => {
  const table = writer.random.pick(writer.schema.tables)
  const seed = writer.aliased(table.name, table.columns, 12)
  const step = writer.random.chance(0.6)
    ? writer.aliased(table.name, table.columns, 12)
    : writer.source(0)
  const name = writer.fresh('w')
  const integers = (scope: Scope): string[] => {
    const found = scope.filter(({ kind }) => kind === 'int')
    const [from = '1', to = from] = writer.random.sample(found, 2).map((ref) => writer.use(ref))
    return [from, to]
  }
  const [start = '1'] = integers(seed.refs)
  const [from = '1', to = '1'] = integers(step.refs)
  const all = writer.random.chance(0.3)
  writer.mark('with recursive', all ? 'recursive union all' : 'recursive union')
  const condition = writer.random.chance(0.4) ? ` where ${simplePredicate(writer, seed.refs)}` : ''
  const first = all
    ? `select distinct ${start}, 0 from ${seed.sql}${condition}`
    : `select ${start}, 0 from ${seed.sql}${condition}`
  const sql = `with recursive ${name} (n, far) as (${first} union ${all ? 'all ' : ''}select ${to}, ${name}.far + 1 from ${name} join ${step.sql} on ${from} = ${name}.n where ${name}.far < ${all ? 2 : 4})`
  const read = writer.aliased(
    name,
    [
      { name: 'n', kind: 'int' },
      { name: 'far', kind: 'int' },
    ],
    30,
  )
  const main = writer.random.chance(0.5)
    ? grouped(writer, read, { keys: 1 })
    : select(writer, {
        items: valueItems(writer, read.refs, 2),
        from: read.sql,
        where: maybeWhere(writer, read.refs, 0),
        rows: 40,
      })
  return { ...main, sql: `${sql} ${main.sql}` }
}

const values: Feature = (writer, depth) => {
  const alias = writer.fresh('x')
  writer.mark('values')
  const rows = [0, 1, 2]
    .map(() => `(${writer.literal('int')}, ${writer.literal('text')})`)
    .join(', ')
  const item: FromItem = {
    sql: `(values ${rows}) ${alias} (n, t)`,
    refs: [
      { sql: `${alias}.n`, kind: 'int' },
      { sql: `${alias}.t`, kind: 'text' },
    ],
    rows: 3,
    columns: [],
  }
  const from = joined(
    writer,
    ...(writer.random.chance(0.5)
      ? ([item, writer.source(depth)] as const)
      : ([writer.source(depth), item] as const)),
    writer.random.pick(['inner join', 'left join', 'right join', 'full join'] as const),
  )
  return select(writer, {
    items: valueItems(writer, from.refs, 3),
    from: from.sql,
    where: maybeWhere(writer, from.refs, 0),
    rows: from.rows,
  })
}

interface RowSource {
  readonly sql: string
  readonly columns: Query['columns']
}

/** A function that returns rows, of the columns of a relation or of constants. */
function rowSource(writer: QueryWriter, scope: Scope, construct: string): RowSource | null {
  const column = (kind: Kind): string | undefined => {
    const found = writer.column(scope, [kind])
    return found === undefined ? undefined : writer.use(found)
  }
  switch (construct) {
    case 'generate_series':
      return {
        sql: `generate_series(1, least(abs(${column('int') ?? '3'}), 4))`,
        columns: [{ name: 'v', kind: 'int' }],
      }
    case 'unnest': {
      const ints = column('ints')
      if (ints !== undefined)
        return { sql: `unnest(${ints})`, columns: [{ name: 'v', kind: 'int' }] }
      const texts = column('texts')
      if (texts !== undefined)
        return { sql: `unnest(${texts})`, columns: [{ name: 'v', kind: 'text' }] }
      return {
        sql: `unnest(array[${column('int') ?? '1'}, 2])`,
        columns: [{ name: 'v', kind: 'int' }],
      }
    }
    default: {
      const json = column('jsonb')
      if (json !== undefined && writer.random.chance(0.5))
        return {
          sql: `jsonb_array_elements(case when jsonb_typeof(${json}) = 'array' then ${json} else '[7]' end)`,
          columns: [{ name: 'v', kind: 'jsonb' }],
        }
      if (json !== undefined)
        return {
          sql: `jsonb_each_text(case when jsonb_typeof(${json}) = 'object' then ${json} else '{"z": 0}' end)`,
          columns: [
            { name: 'k', kind: 'text' },
            { name: 'v', kind: 'text' },
          ],
        }
      return {
        sql: `regexp_split_to_table(${column('text') ?? "'a,b'"}, ',')`,
        columns: [{ name: 'v', kind: 'text' }],
      }
    }
  }
}

const setReturning =
  (construct: 'unnest' | 'set-returning function in from', ordinality = 0.4): Feature =>
  (writer, depth) => {
    const left = writer.source(depth)
    const made = rowSource(writer, left.refs, construct)
    if (made === null) return projection(writer, depth)
    const alias = writer.fresh('x')
    writer.mark(construct, 'set-returning function in from')
    const numbered = writer.random.chance(ordinality)
    if (numbered) writer.mark('with ordinality')
    const columns = [
      ...made.columns,
      ...(numbered ? [{ name: 'nr', kind: 'bigint' as const }] : []),
    ]
    const refs = columns.map(({ name, kind }): Ref => ({ sql: `${alias}.${name}`, kind }))
    const call = `${made.sql}${numbered ? ' with ordinality' : ''} ${alias} (${columns.map(({ name }) => name).join(', ')})`
    const sql = writer.random.chance(0.3)
      ? `${left.sql} left join lateral ${call} on true`
      : `${left.sql}, ${call}`
    const all: Scope = [...left.refs, ...refs]
    const shown = refs.map((ref) => ({ sql: writer.use(ref), kind: ref.kind }))
    return select(writer, {
      items: [...shown, ...valueItems(writer, left.refs, 2)],
      from: sql,
      where: maybeWhere(writer, all, 0),
      rows: left.rows * 2,
    })
  }

const setReturningInSelect: Feature = (writer, depth) => {
  const left = writer.source(depth)
  const one = (): Item => {
    const made = rowSource(writer, left.refs, writer.random.pick(['generate_series', 'unnest']))
    return { sql: made?.sql ?? '1', kind: made?.columns[0]?.kind ?? 'int' }
  }
  writer.mark('set-returning function in select')
  const made = [one(), ...(writer.random.chance(0.25) ? [one()] : [])]
  return select(writer, {
    items: [...valueItems(writer, left.refs, 2), ...made],
    from: left.sql,
    where: maybeWhere(writer, left.refs, 0),
    rows: left.rows * 2,
  })
}

const functionScan: Feature = (writer, depth) => {
  const alias = writer.fresh('x')
  writer.mark('generate_series', 'set-returning function in from')
  const item: FromItem = {
    sql: `generate_series(0, 3) ${alias} (n)`,
    refs: [{ sql: `${alias}.n`, kind: 'int' }],
    rows: 4,
    columns: [],
  }
  const from = joined(
    writer,
    item,
    writer.source(depth),
    writer.random.pick(['left join', 'inner join', 'full join'] as const),
  )
  const counted: Item = aggregate(writer, from.refs)
  if (writer.random.chance(0.5))
    return select(writer, {
      items: [{ sql: `${alias}.n`, kind: 'int' }, counted],
      from: from.sql,
      tail: ` group by ${alias}.n`,
      rows: 4,
    })
  return select(writer, {
    items: valueItems(writer, from.refs, 2),
    from: from.sql,
    rows: from.rows,
  })
}

const nowInOutput: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const column = writer.column(from.refs, ['date'])
  const instant = writer.column(from.refs, ['timestamptz'])
  writer.mark('now in an output')
  const sql = writer.random.pick([
    `date_trunc('year', now())`,
    'current_date',
    `extract(year from now())`,
    ...(column === undefined
      ? []
      : [`(current_date - ${writer.use(column)})`, `(${writer.use(column)} < current_date)`]),
    ...(instant === undefined
      ? []
      : [`(${writer.use(instant)} < now())`, `age(${writer.use(instant)})`]),
  ])
  return select(writer, {
    items: [...valueItems(writer, from.refs, 2), { sql, kind: 'opaque' }],
    from: from.sql,
    rows: from.rows,
  })
}

const nowInPredicate: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const column = writer.column(from.refs, ['date', 'timestamptz'])
  if (column === undefined) return projection(writer, depth)
  writer.mark('now in a predicate')
  const text = writer.use(column)
  const condition = writer.random.pick(
    column.kind === 'date'
      ? [`${text} <= current_date`, `${text} > current_date - 200`]
      : [
          `${text} < now()`,
          `${text} >= now() - interval '300 days'`,
          `${text} > current_timestamp`,
        ],
  )
  if (writer.random.chance(0.4)) return grouped(writer, from, { keys: 1, where: condition })
  return select(writer, {
    items: valueItems(writer, from.refs, 2),
    from: from.sql,
    where: condition,
    rows: from.rows,
  })
}

/** Reads a table that has a column of a kind, if there is one, in a query of any sort. */
const onKind =
  (wanted: readonly Kind[]): Feature =>
  (writer, depth) => {
    const tables = writer.schema.tables.filter(({ columns }) =>
      columns.some(({ kind }) => wanted.includes(kind)),
    )
    if (tables.length === 0) return projection(writer, depth)
    const from = writer.table(writer.random.pick(tables))
    const column = writer.column(from.refs, wanted)
    if (column === undefined) return projection(writer, depth)
    const { random } = writer
    const shown: Item = { sql: writer.use(column), kind: column.kind }
    const narrow: FromItem = {
      ...from,
      refs: [column, ...from.refs.filter((ref) => ref !== column).slice(0, 3)],
    }
    switch (kinds[column.kind].ordered ? random.below(4) : 0) {
      case 1:
        return grouped(writer, narrow, { keys: 1 })
      case 2: {
        const second = joined(
          writer,
          narrow,
          writer.source(0),
          random.pick(['inner join', 'left join'] as const),
        )
        return select(writer, {
          items: [shown, ...valueItems(writer, second.refs, 2)],
          from: second.sql,
          rows: second.rows,
        })
      }
      case 3:
        return select(writer, {
          items: [shown, { sql: valueOfKind(writer, [column], column.kind, 2), kind: column.kind }],
          from: from.sql,
          where: predicate(writer, [column], 0),
          rows: from.rows,
        })
      default:
        return select(writer, {
          items: [shown, ...valueItems(writer, narrow.refs, 2)],
          from: from.sql,
          where: maybeWhere(writer, narrow.refs, 0),
          rows: from.rows,
        })
    }
  }

const ofTable =
  (fit: (table: Table) => boolean): Feature =>
  (writer, depth) => {
    const tables = writer.schema.tables.filter(fit)
    if (tables.length === 0) return projection(writer, depth)
    const table = writer.random.pick(tables)
    const from = writer.table(table)
    const form = writer.random.below(3)
    if (form === 0) return grouped(writer, from, { keys: 1 })
    if (form === 1) {
      const both = joined(
        writer,
        from,
        writer.source(0),
        writer.random.pick(['inner join', 'left join'] as const),
      )
      return select(writer, {
        items: valueItems(writer, both.refs, 3),
        from: both.sql,
        rows: both.rows,
      })
    }
    return select(writer, {
      items: valueItems(writer, from.refs, 3),
      from: from.sql,
      where: maybeWhere(writer, from.refs, 1),
      rows: from.rows,
    })
  }

const ofReadable =
  (construct: string): Feature =>
  (writer, depth) => {
    const found = writer.readables.filter(({ constructs }) => constructs.includes(construct))
    if (found.length === 0) return projection(writer, depth)
    const from = writer.readable(writer.random.pick(found))
    if (writer.random.chance(0.4)) return grouped(writer, from, { keys: 1 })
    const both = writer.random.chance(0.5)
      ? joined(
          writer,
          from,
          writer.source(0),
          writer.random.pick(['inner join', 'left join', 'full join'] as const),
        )
      : from
    return select(writer, {
      items: valueItems(writer, both.refs, 2),
      from: both.sql,
      where: maybeWhere(writer, both.refs, 1),
      rows: both.rows,
    })
  }

/** `group by` a primary key, with other columns of its table beside. */
const groupByKey: Feature = (writer, depth) => {
  const keyed = writer.schema.tables.filter(({ key }) => key !== null)
  const table = writer.random.pick(keyed)
  const left = writer.table(table)
  const from = joined(
    writer,
    left,
    writer.source(depth),
    writer.random.pick(['inner join', 'left join', 'left join'] as const),
  )
  const [key] = left.refs
  if (key === undefined) return groupBy({})(writer, depth)
  writer.mark('group by primary key', 'group by')
  const shown = writer.random
    .sample(left.refs, 2)
    .map((ref): Item => ({ sql: writer.use(ref), kind: ref.kind }))
  return select(writer, {
    items: [{ sql: writer.use(key), kind: 'int' }, ...shown, aggregate(writer, from.refs)],
    from: from.sql,
    where: maybeWhere(writer, from.refs, 0),
    tail: ` group by ${key.sql}`,
    rows: from.rows / 2,
  })
}

const wholeRow: Feature = (writer, depth) => {
  const left = writer.source(depth)
  const right = writer.source(0)
  const from = joined(writer, left, right, writer.random.pick(['inner join', 'left join'] as const))
  const alias = right.sql.split(' ').at(-1) ?? ''
  writer.mark('whole row')
  // What a row of unknown columns shows may differ between equal rows.
  writer.choice = true
  if (writer.random.chance(0.5)) {
    const [key] = writer.chosen(writer.equatable(left.refs), 1)
    if (key !== undefined) {
      const sql = writer.random.pick([`count(${alias}.*)`, `jsonb_agg(${alias}.*)`])
      return select(writer, {
        items: [
          { sql: writer.use(key), kind: key.kind },
          { sql, kind: 'opaque' },
        ],
        from: from.sql,
        tail: ` group by ${key.sql}`,
        rows: 8,
      })
    }
  }
  const sql = writer.random.pick([
    `to_jsonb(${alias})`,
    `row_to_json(${alias})::text`,
    `(${alias} is null)`,
  ])
  return select(writer, {
    items: [...valueItems(writer, left.refs, 1), { sql, kind: 'opaque' }],
    from: from.sql,
    where: maybeWhere(writer, from.refs, depth),
    rows: from.rows,
  })
}

/** LIMIT and OFFSET by what a table holds. */
const limitOfSubquery: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const made = valueItems(
    writer,
    from.refs.filter(({ kind }) => kinds[kind].ordered),
    writer.random.between(1, 3),
  )
  const held = writer.source(0)
  writer.mark('limit of a subquery')
  const bound = `(select ${writer.random.pick(['count(*)', 'count(*) / 2', 'nullif(count(*), 3)'])} from ${held.sql} where ${plainPredicate(writer, held.refs)})`
  const order = topOf(writer, made, 'order by and limit').replace(/ limit \d+$/, '')
  const tail = writer.random.pick([
    `${order} limit ${bound}`,
    `${order} offset ${bound}`,
    `${order} limit 3 offset ${bound}`,
    ...(order === '' ? [] : [`${order} fetch first ${bound} rows with ties`]),
  ])
  return select(writer, {
    items: made,
    from: from.sql,
    where: maybeWhere(writer, from.refs, depth),
    tail,
    rows: 8,
  })
}

/** An aggregate of the query around a subquery, within it. */
const aggregateOfOuter: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const [key, other] = writer.chosen(
    writer.equatable(from.refs).filter(({ kind }) => kinds[kind].ordered),
    2,
  )
  if (key === undefined || other === undefined) return groupBy({ keys: 1 })(writer, depth)
  const held = writer.source(0)
  const partner = held.refs.find(({ kind }) => kind === other.kind)
  if (partner === undefined) return groupBy({ keys: 1 })(writer, depth)
  const call = `${writer.random.pick(['max', 'min'])}(${writer.use(other)})`
  const operator = writer.random.pick(['=', '<', '>='])
  writer.mark('aggregate of the query around', 'group by')
  writer.picks()
  const condition = `from ${held.sql} where ${writer.use(partner)} ${operator} ${call}`
  const form = writer.random.below(3)
  const shown =
    form === 0
      ? `(select count(*) ${condition})`
      : form === 1
        ? `exists (select ${condition})`
        : 'count(*)'
  return select(writer, {
    items: [
      { sql: writer.use(key), kind: key.kind },
      { sql: shown, kind: 'opaque' },
    ],
    from: from.sql,
    tail: ` group by ${key.sql}${form === 2 ? ` having exists (select ${condition})` : ''}`,
    rows: 8,
  })
}

const naturalJoin: Feature = (writer, depth) => {
  const [one, other] = writer.random.sample(writer.schema.tables, 2)
  if (one === undefined || other === undefined) return usingJoin(writer, depth)
  // Three columns of each, so that few have to be equal.
  const narrow = (columns: readonly { readonly name: string; readonly kind: Kind }[]): string[] =>
    writer.random.sample(
      columns.filter(({ kind }) => kinds[kind].equatable).map(({ name }) => name),
      3,
    )
  const sides = [one, other].map((table) => ({ table, names: narrow(table.columns) }))
  const [first, second] = sides
  if (first === undefined || second === undefined) return usingJoin(writer, depth)
  const kindOf = (name: string): Kind =>
    [...one.columns, ...other.columns].find((column) => column.name === name)?.kind ?? 'int'
  const all = [...new Set([...first.names, ...second.names])]
  const word = writer.random.pick(['natural join', 'natural left join', 'natural full join'])
  writer.mark('natural join')
  writer.picks()
  const scope = all.map((name): Ref => ({ sql: name, kind: kindOf(name) }))
  return select(writer, {
    items: columnItemsOf(writer, scope),
    from: `(select ${first.names.join(', ')} from ${first.table.name}) ${writer.fresh('x')} ${word} (select ${second.names.join(', ')} from ${second.table.name}) ${writer.fresh('x')}`,
    rows: 40,
  })
}

const columnItemsOf = (writer: QueryWriter, scope: Scope): Item[] =>
  scope.map((ref) => ({ sql: writer.use(ref), kind: ref.kind }))

/** A subquery in HAVING, in the condition of a join, in an aggregate, or in a subquery. */
const subqueryIn =
  (place: 'having' | 'join condition' | 'aggregate' | 'subquery' | 'grouping'): Feature =>
  (writer, depth) => {
    const from = ground(writer, depth)
    const [key] = writer.chosen(
      writer.equatable(from.refs).filter(({ kind }) => kinds[kind].ordered),
      1,
    )
    if (key === undefined) return projection(writer, depth)
    const text = writer.use(key)
    const item: Item = { sql: text, kind: key.kind }
    const name = writer.random.pick([
      'exists',
      'not exists',
      'in subquery',
      'any subquery',
    ] as const)
    writer.mark(`subquery in ${place === 'subquery' ? 'a subquery' : place}`)
    writer.picks()
    switch (place) {
      case 'having': {
        const condition = subqueryPredicates[name](writer, [key], 0)
        return select(writer, {
          items: [item, { sql: 'count(*)', kind: 'bigint' }],
          from: from.sql,
          tail: ` group by ${text} having ${condition}`,
          rows: 6,
        })
      }
      case 'aggregate': {
        const scalar = scalarSubquery(writer, from.refs, 0, 'aggregate')
        return select(writer, {
          items: [
            item,
            { sql: `max(${scalar.sql})`, kind: scalar.kind },
            {
              sql: `count(*) filter (where ${subqueryPredicates[name](writer, from.refs, 0)})`,
              kind: 'bigint',
            },
          ],
          from: from.sql,
          tail: ` group by ${text}`,
          rows: 6,
        })
      }
      case 'grouping': {
        const sql = `(${subqueryPredicates[name](writer, from.refs, 0)})`
        return select(writer, {
          items: [
            { sql, kind: 'bool' },
            { sql: 'count(*)', kind: 'bigint' },
          ],
          from: from.sql,
          tail: ` group by 1`,
          rows: 3,
        })
      }
      case 'join condition': {
        const left = writer.source(0)
        const right = writer.source(0)
        const word = writer.random.pick(['join', 'left join', 'right join', 'full join'])
        const both = [...left.refs, ...right.refs]
        const asked = writer.random.pick([left.refs, right.refs, both, both])
        const on = `${joinCondition(writer, left.refs, right.refs, 'inner join')} and ${subqueryPredicates[name](writer, asked, 0)}`
        if (word === 'full join') writer.mark('full join with a subquery in its condition')
        return select(writer, {
          items: valueItems(writer, both, 3),
          from: `${left.sql} ${word} ${right.sql} on ${on}`,
          rows: 20,
        })
      }
      case 'subquery': {
        const middle = writer.source(0)
        const inmost = writer.source(0)
        const tie = correlation(writer, from.refs, middle.refs)
        const deep = correlation(writer, [...from.refs, ...middle.refs], inmost.refs)
        const condition = [
          tie,
          `${writer.random.pick(['', 'not '])}exists (select from ${inmost.sql}${deep === '' ? '' : ` where ${deep}`})`,
        ]
          .filter((each) => each !== '')
          .join(' and ')
        return select(writer, {
          items: valueItems(writer, from.refs, 2),
          from: from.sql,
          where: `${writer.random.pick(['', 'not '])}exists (select from ${middle.sql} where ${condition})`,
          rows: from.rows,
        })
      }
    }
  }

/** DISTINCT, window, HAVING, ORDER BY and LIMIT in one SELECT. */
const everything: Feature = (writer, depth) => {
  const from = ground(writer, depth)
  const [key, other] = writer.chosen(
    writer.equatable(from.refs).filter(({ kind }) => kinds[kind].ordered),
    2,
  )
  if (key === undefined || other === undefined)
    return groupBy({ having: true, keys: 1 })(writer, depth)
  const [one, two] = [writer.use(key), writer.use(other)]
  writer.mark('all clauses at once', 'group by', 'having', 'distinct', 'window over aggregate')
  writer.picks()
  return select(writer, {
    items: [
      { sql: one, kind: key.kind },
      { sql: `rank() over (partition by ${one} order by count(*) desc)`, kind: 'bigint' },
      { sql: 'count(*)', kind: 'bigint' },
    ],
    from: from.sql,
    where: maybeWhere(writer, from.refs, 0),
    distinct: writer.random.pick(['distinct ', '']),
    tail: ` group by ${one}, ${two} having count(*) ${writer.random.pick(['>= 1', '< 4', '> 1'])} order by 2${writer.random.pick(['', ' desc'])}, 3, 1 limit ${writer.random.between(2, 6)}`,
    rows: 6,
  })
}

const withoutFrom: Feature = (writer) => {
  const one = writer.source(0)
  const scalar = aggregate(writer, one.refs, writer.random.pick(['count(*)', 'sum', 'max']))
  const held = writer.source(0)
  writer.mark('without from', 'subquery in the select list', 'exists')
  const items: Item[] = [
    { sql: `(select ${scalar.sql} from ${one.sql})`, kind: scalar.kind },
    {
      sql: `exists (select from ${held.sql} where ${plainPredicate(writer, held.refs)})`,
      kind: 'bool',
    },
  ]
  return select(writer, { items, from: '', rows: 1 })
}

/** Sums and averages of numbers that are equal and look different. */
const sumOfAnyScale: Feature = (writer, depth) => {
  const tables = writer.schema.tables.filter(({ columns }) =>
    columns.some(({ kind }) => kind === 'numeric' || kind === 'float8'),
  )
  if (tables.length === 0) return groupBy({ wanted: 'sum' })(writer, depth)
  const from = writer.table(writer.random.pick(tables))
  const number = writer.column(from.refs, ['numeric', 'float8'])
  const [key] = writer.chosen(
    from.refs.filter(({ kind }) => kinds[kind].ordered && !kinds[kind].blurred),
    1,
  )
  if (number === undefined || key === undefined) return groupBy({ wanted: 'sum' })(writer, depth)
  const text = writer.use(number)
  writer.mark('sum of any scale', 'group by', 'sum')
  const extra = writer.random.pick([
    `avg(${text})`,
    `count(${text})`,
    `sum(${text}) filter (where ${plainPredicate(writer, [key])})`,
    `sum(distinct ${text})`,
  ])
  if (extra.includes('distinct')) writer.choice = true
  const alone = writer.random.chance(0.2)
  return select(writer, {
    items: [
      ...(alone ? [] : [{ sql: writer.use(key), kind: key.kind }]),
      { sql: `sum(${text})`, kind: number.kind },
      { sql: extra, kind: 'opaque' },
    ],
    from: from.sql,
    tail: alone ? '' : ` group by ${key.sql}`,
    rows: 6,
  })
}

const aggregateConstructs = [...new Set(aggregateShapes.map(({ construct }) => construct))]

/** What the issue wants maintained, each with a way to write a query that shows it. */
const features: Readonly<Record<string, Feature>> = {
  'projected expression': projection,
  where,
  'inner join': join('inner join'),
  'left join': join('left join'),
  'right join': join('right join'),
  'full join': join('full join'),
  'cross join': crossJoin,
  using: usingJoin,
  'self join': selfJoin,
  'non-equi join': nonEquiJoin,
  lateral,
  ...Object.fromEntries(subqueryPredicateNames.map((name) => [name, filtering(name)])),
  'correlated by equality and otherwise': (writer, depth) =>
    writer.random.pick([
      scalarInSelect('aggregate'),
      scalarInSelect('limit'),
      lateral,
      limitPerGroup,
      filtering('exists'),
    ])(writer, depth),
  'scalar subquery, correlated': scalarInSelect('aggregate'),
  'scalar subquery, order by limit 1': scalarInSelect('limit'),
  'subquery in case': subqueryInCase,
  'subquery in the select list': predicateInSelect,
  'array subquery': arraySubquery,
  'group by': groupBy({}),
  'group by expression': groupByExpression,
  'aggregate without group by': groupBy({ keys: 0 }),
  having: groupBy({ having: true, keys: 1 }),
  ...Object.fromEntries(aggregateConstructs.map((wanted) => [wanted, groupBy({ wanted })])),
  'grouping sets': groupingSets('grouping sets'),
  rollup: groupingSets('rollup'),
  cube: groupingSets('cube'),
  distinct,
  'distinct on': distinctOn,
  ...Object.fromEntries(windowConstructs.map((name) => [name, window(name)])),
  'window over aggregate': windowOverAggregate,
  'aggregate over window': aggregateOverWindow,
  ...Object.fromEntries(
    ['union', 'union all', 'intersect', 'intersect all', 'except', 'except all'].map((word) => [
      word,
      setOperation(word),
    ]),
  ),
  'set operation of aggregates': setOfAggregates,
  'order by and limit': limited('order by and limit'),
  offset: limited('offset'),
  'with ties': limited('with ties'),
  'limit in a subquery': limitInSubquery,
  'limit per group': limitPerGroup,
  cte: cte('cte'),
  'cte materialized': cte('cte materialized'),
  'cte not materialized': cte('cte not materialized'),
  'cte used many times': cte('cte used many times'),
  'with recursive': recursive,
  values,
  generate_series: functionScan,
  unnest: setReturning('unnest'),
  'set-returning function in from': setReturning('set-returning function in from'),
  'set-returning function in select': setReturningInSelect,
  'with ordinality': setReturning('unnest', 1),
  'ordinary view': ofReadable('ordinary view'),
  'view over view': ofReadable('view over view'),
  'nested ordinary view': ofReadable('nested ordinary view'),
  'materialized view': ofReadable('materialized view'),
  'partitioned table': ofTable(({ shape }) => shape === 'partitioned'),
  'inherited table': ofTable(({ shape }) => shape === 'inherited'),
  only: ofTable(({ shape }) => shape === 'inherited'),
  'partition by name': ofTable(({ shape }) => shape === 'partitioned'),
  'row-level security': ofTable(({ secured }) => secured),
  'group by primary key': groupByKey,
  'whole row': wholeRow,
  'limit of a subquery': limitOfSubquery,
  'aggregate of the query around': aggregateOfOuter,
  'natural join': naturalJoin,
  'subquery in having': subqueryIn('having'),
  'subquery in join condition': subqueryIn('join condition'),
  'full join with a subquery in its condition': subqueryIn('join condition'),
  'full join on more than equality': join('full join'),
  'subquery in aggregate': subqueryIn('aggregate'),
  'subquery in grouping': subqueryIn('grouping'),
  'subquery in a subquery': subqueryIn('subquery'),
  'all clauses at once': everything,
  'without from': withoutFrom,
  'sum of any scale': sumOfAnyScale,
  domain: onKind(['pos']),
  enum: onKind(['mood']),
  range: onKind(['span']),
  citext: onKind(['citext']),
  collation: onKind(['bytewise', 'caseless']),
  'nondeterministic collation': onKind(['caseless']),
  NaN: onKind(['numeric', 'float8']),
  'numeric of any scale': onKind(['numeric']),
  composite: onKind(['pair']),
  'array column': onKind(['ints', 'texts']),
  'json column': onKind(['jsonb', 'json']),
  float: onKind(['float8']),
  'all of array': asking(allOfArray),
  'now in an output': nowInOutput,
  'now in a predicate': nowInPredicate,
}

const featureNames: readonly string[] = Object.keys(features)

/** What is part of an expression, rather than of a query, is looked for in conditions and select lists. */
const feature = (name: string): Feature =>
  features[name] ?? ((writer, depth) => writer.random.pick([projection, where])(writer, depth))

/** What may stand in parentheses in FROM: anything. */
const anything = (writer: QueryWriter, depth: number): Query =>
  feature(writer.random.pick(featureNames))(writer, depth)

/** What is asked for may need a column that the tables do not have. */
const attemptsMax = 40

/**
 * A query that shows a construct, often beneath or above others, of those that are wanted as well; another one where none
 * could be made.
 */
export function generateQuery(
  input: WriterInput,
  featured: string,
  wanted: readonly string[],
): GeneratedQuery {
  for (let attempt = 1; ; attempt += 1) {
    const made = attemptQuery({ ...input, random: input.random.fork() }, featured, wanted)
    if (attempt === attemptsMax || made.constructs.includes(featured)) return made
  }
}

function attemptQuery(
  input: WriterInput,
  featured: string,
  wanted: readonly string[],
): GeneratedQuery {
  const writer = new QueryWriter(input, anything)
  const depth = writer.random.weighted([
    [4, 0],
    [4, 1],
    [2, 2],
  ] as const)
  let query = feature(featured)(writer, depth)
  if (writer.random.chance(0.45) && writer.affordable(query.rows)) {
    writer.pending = query
    const before = [...writer.constructs]
    const around =
      wanted.length > 0 && writer.random.chance(0.7)
        ? feature(writer.random.pick(wanted))(writer, 0)
        : anything(writer, 0)
    // Not every construct reads what it is given.
    if (writer.unread()) writer.only(before)
    else query = around
  }
  return {
    sql: query.sql,
    columns: query.columns,
    featured,
    constructs: [...writer.constructs],
    choice: writer.leavesChoice,
  }
}
