import type { Kind } from './kinds.ts'
import { kinds } from './kinds.ts'
import type { FromItem, QueryWriter, Scope } from './query-writer.ts'
import { anyValue, simplePredicate, valueOfKind } from './query-values.ts'

/** Writes a condition on what is in scope; an empty text where it finds nothing to ask. */
export type Predicate = (writer: QueryWriter, scope: Scope, depth: number) => string

const comparisons = ['=', '<>', '<', '<=', '>', '>='] as const
const equatable = (kind: Kind): boolean => kinds[kind].equatable

/** A condition; with depth it may hold subqueries. */
export function predicate(writer: QueryWriter, scope: Scope, depth: number): string {
  const { random } = writer
  if (depth > 0 && random.chance(0.35)) {
    const name = random.pick(subqueryPredicateNames)
    return subqueryPredicates[name](writer, scope, depth - 1)
  }
  if (random.chance(0.2)) return logic(writer, scope, depth)
  return plainPredicate(writer, scope)
}

/** A condition without a subquery. */
export function plainPredicate(writer: QueryWriter, scope: Scope): string {
  for (let attempt = 0; attempt < 6; attempt += 1) {
    const made = writer.random.pick(plainPredicates)(writer, scope, 0)
    if (made !== '') return made
  }
  return simplePredicate(writer, scope)
}

function logic(writer: QueryWriter, scope: Scope, depth: number): string {
  const part = (): string => predicate(writer, scope, depth - 1)
  writer.mark('and, or, not')
  switch (writer.random.below(4)) {
    case 0:
      return `(${part()} and ${part()})`
    case 1:
      return `not (${part()})`
    case 2:
      return `(${part()} or (${part()} and ${part()}))`
    default:
      return `(${part()} or ${part()})`
  }
}

const on =
  (
    kind: Kind,
    write: (text: string, writer: QueryWriter) => string,
    ...marks: string[]
  ): Predicate =>
  (writer, scope) => {
    const column = writer.column(scope, [kind])
    if (column === undefined) return ''
    writer.mark(...marks)
    return write(writer.use(column), writer)
  }

/** A comparison with every element of an array. */
export const allOfArray: Predicate = (writer, scope) => {
  const value = anyValue(
    writer,
    scope,
    0,
    (kind) => equatable(kind) && kind !== 'ints' && kind !== 'texts',
  )
  writer.mark('all of array')
  const operator = writer.random.pick(['<>', '<>', '>', '<='])
  return `${value.sql} ${operator} all (array[${writer.literal(value.kind)}, ${writer.literal(value.kind)}])`
}

const plainPredicates: readonly Predicate[] = [
  simplePredicate,
  simplePredicate,
  (writer, scope) => {
    const left = anyValue(writer, scope, 1, equatable)
    return `${left.sql} ${writer.random.pick(comparisons)} ${valueOfKind(writer, scope, left.kind, 1)}`
  },
  (writer, scope) => {
    const value = anyValue(writer, scope, 1)
    writer.mark('is null')
    return `${value.sql} is ${writer.random.pick(['', 'not '])}null`
  },
  (writer, scope) => {
    const value = anyValue(writer, scope, 1, equatable)
    writer.mark('in list')
    return `${value.sql} ${writer.random.pick(['', '', 'not '])}in (${writer.literal(value.kind)}, ${writer.literal(value.kind)}, ${writer.literal(value.kind)})`
  },
  (writer, scope) => {
    const value = anyValue(writer, scope, 1, equatable)
    writer.mark('between')
    return `${value.sql} between symmetric ${writer.literal(value.kind)} and ${writer.literal(value.kind)}`
  },
  (writer, scope) => {
    const value = anyValue(writer, scope, 1, equatable)
    writer.mark('is distinct from')
    return `${value.sql} is ${writer.random.pick(['', 'not '])}distinct from ${valueOfKind(writer, scope, value.kind, 1)}`
  },
  (writer, scope) => {
    const value = anyValue(
      writer,
      scope,
      0,
      (kind) => equatable(kind) && kind !== 'ints' && kind !== 'texts',
    )
    writer.mark('any of array')
    return `${value.sql} = any (array[${writer.literal(value.kind)}, ${writer.literal(value.kind)}])`
  },
  allOfArray,
  allOfArray,
  on(
    'text',
    (x, w) =>
      `${x} ${w.random.pick(['like', 'not like', 'ilike'])} ${w.random.pick([`'a%'`, `'%b%'`, `'_'`])}`,
    'like',
  ),
  on('text', (x) => `${x} collate "C" < 'b'`, 'collation'),
  on('text', (x) => `${x} ~ '^[a-z]+$'`, 'like'),
  on('bool', (x, w) => `${x} is ${w.random.pick(['true', 'not true', 'false', 'unknown'])}`),
  on('bool', (x) => x),
  on('span', (x) => `${x} @> 2`, 'range'),
  on('span', (x) => `${x} && int4range(1, 4)`, 'range'),
  on('span', (x) => `not isempty(${x})`, 'range'),
  on('ints', (x) => `${x} @> array[1]`, 'array operators'),
  on('ints', (x) => `1 = any (${x})`, 'array operators', 'any of array'),
  on('ints', (x) => `3 > all (${x})`, 'array operators', 'all of array'),
  on('texts', (x) => `${x} && array['a', 'z']`, 'array operators'),
  on('jsonb', (x) => `${x} ? 'k'`, 'json operators'),
  on('jsonb', (x) => `${x} @> '{"k": 1}'`, 'json operators'),
  on('jsonb', (x) => `(${x}->>'t') is not null`, 'json operators'),
  on('timestamptz', (x) => `${x} < now()`, 'now in a predicate'),
  on('date', (x, w) => `${x} ${w.random.pick(['<=', '>'])} current_date`, 'now in a predicate'),
  on('pair', (x) => `(${x}).x = 1`, 'composite'),
  (writer, scope) => {
    const [left, right] = writer.chosen(writer.equatable(scope), 2)
    if (left === undefined || right === undefined) return ''
    writer.mark('row comparison')
    const names = `(${writer.use(left)}, ${writer.use(right)})`
    return `${names} ${writer.random.pick(['=', '<', '>=', '<>'])} (${writer.literal(left.kind)}, ${writer.literal(right.kind)})`
  },
]

interface Inner {
  readonly from: FromItem
  /** The inner columns first, the outer ones after them. */
  readonly scope: Scope
  readonly where: string
}

/** What a subquery reads, and how it hangs on the query around it, if at all. */
export function inner(writer: QueryWriter, outer: Scope, depth: number, correlated: number): Inner {
  const from = writer.source(Math.min(depth, 1))
  const conditions: string[] = []
  if (writer.random.chance(correlated)) {
    const tie = correlation(writer, outer, from.refs)
    if (tie !== '') {
      writer.mark('correlated subquery')
      conditions.push(tie)
      if (tie.includes(' = ') && writer.random.chance(0.4)) {
        conditions.push(correlation(writer, outer, from.refs, otherwise))
        writer.mark('correlated by equality and otherwise')
      }
    }
  }
  if (writer.random.chance(0.4)) conditions.push(predicate(writer, from.refs, depth - 1))
  const where = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`
  return { from, scope: from.refs, where }
}

/** What a subquery depends on its row by that no key says. */
const otherwise = [
  [2, '<'],
  [2, '>='],
  [2, '<>'],
  [1, 'is distinct from'],
] as const

const mostlyEquality = [
  [8, '='],
  [1, '<'],
  [1, '>='],
  [1, '<>'],
  [1, 'is not distinct from'],
] as const

/** A condition that ties two relations by columns of one kind; '' where they share none. */
export function correlation(
  writer: QueryWriter,
  outer: Scope,
  within: Scope,
  operators: readonly (readonly [number, string])[] = mostlyEquality,
): string {
  const pairs = writer
    .equatable(within)
    .flatMap((mine) =>
      outer.filter(({ kind }) => kind === mine.kind).map((theirs) => [mine, theirs] as const),
    )
  const clear = pairs.filter(([{ kind }]) => !kinds[kind].blurred)
  const among = clear.length > 0 ? clear : pairs
  if (among.length === 0) return ''
  const [mine, theirs] = writer.random.pick(among)
  const operator = writer.random.weighted(operators)
  return `${writer.use(mine)} ${operator} ${writer.use(theirs)}`
}

/** Two expressions of one kind, one of each relation. */
function matched(
  writer: QueryWriter,
  outer: Scope,
  within: Scope,
): { readonly left: string; readonly right: string; readonly kind: Kind } {
  const right = writer.random
    .sample(writer.equatable(within), 20)
    .find(({ kind }) => !kinds[kind].blurred && outer.some((ref) => ref.kind === kind))
  if (right === undefined) {
    return {
      left: valueOfKind(writer, outer, 'int', 1),
      right: valueOfKind(writer, within, 'int', 1),
      kind: 'int',
    }
  }
  const left = writer.random.chance(0.8) ? 0 : 1
  return {
    left: valueOfKind(writer, outer, right.kind, left),
    right: writer.use(right),
    kind: right.kind,
  }
}

const exists =
  (word: 'exists' | 'not exists'): Predicate =>
  (writer, scope, depth) => {
    const { from, where } = inner(writer, scope, depth, 0.9)
    writer.mark(word)
    return `${word} (select ${writer.random.pick(['', '1', '*'])} from ${from.sql}${where})`
  }

const membership =
  (word: 'in' | 'not in', nulls: boolean): Predicate =>
  (writer, scope, depth) => {
    const { from, where } = inner(writer, scope, depth, 0.25)
    const { left, right } = matchedRow(writer, scope, from.refs)
    writer.mark(`${word} subquery`)
    if (word === 'not in') writer.mark(nulls ? 'not in with nulls' : 'not in without nulls')
    const present = right.map((each) => `${each} is not null`).join(' and ')
    const strict = nulls ? where : `${where === '' ? ' where' : `${where} and`} ${present}`
    return `${left} ${word} (select ${right.join(', ')} from ${from.sql}${strict})`
  }

/** As {@link matched}, now and then a row of two columns of any kind. */
function matchedRow(
  writer: QueryWriter,
  outer: Scope,
  within: Scope,
): { readonly left: string; readonly right: readonly string[] } {
  const pairs = writer.random.chance(0.2)
    ? writer.random.sample(writer.equatable(within), 20).flatMap((mine) => {
        const theirs = outer.find(({ kind }) => kind === mine.kind)
        return theirs === undefined ? [] : [[theirs, mine] as const]
      })
    : []
  const [one, other] = pairs
  if (one === undefined || other === undefined) {
    const { left, right } = matched(writer, outer, within)
    return { left, right: [right] }
  }
  writer.mark('row comparison')
  return {
    left: `(${writer.use(one[0])}, ${writer.use(other[0])})`,
    right: [writer.use(one[1]), writer.use(other[1])],
  }
}

const quantified =
  (word: 'any' | 'all'): Predicate =>
  (writer, scope, depth) => {
    const { from, where } = inner(writer, scope, depth, 0.3)
    const { left, right } = matched(writer, scope, from.refs)
    writer.mark(`${word} subquery`)
    return `${left} ${writer.random.pick(comparisons)} ${word} (select ${right} from ${from.sql}${where})`
  }

export const subqueryPredicateNames = [
  'exists',
  'not exists',
  'in subquery',
  'not in with nulls',
  'not in without nulls',
  'any subquery',
  'all subquery',
  'subquery under or',
  'scalar subquery in a predicate',
] as const

export type SubqueryPredicate = (typeof subqueryPredicateNames)[number]

/** Predicates that hold a subquery, by the construct that they show. */
export const subqueryPredicates: Readonly<Record<SubqueryPredicate, Predicate>> = {
  exists: exists('exists'),
  'not exists': exists('not exists'),
  'in subquery': membership('in', true),
  'not in with nulls': (writer, scope, depth) => {
    // NOT IN of a set with a NULL is never true: beside OR it still lets rows through.
    const sql = membership('not in', true)(writer, scope, depth)
    return writer.random.chance(0.5) ? sql : `(${sql} or ${simplePredicate(writer, scope)})`
  },
  'not in without nulls': membership('not in', false),
  'any subquery': quantified('any'),
  'all subquery': quantified('all'),
  'subquery under or': (writer, scope, depth) => {
    const name = writer.random.pick([
      'exists',
      'not exists',
      'in subquery',
      'not in without nulls',
      'any subquery',
    ] as const)
    const held = subqueryPredicates[name](writer, scope, depth)
    writer.mark('subquery under or')
    return `(${plainPredicate(writer, scope)} or ${held})`
  },
  'scalar subquery in a predicate': (writer, scope, depth) => {
    const scalar = scalarSubquery(writer, scope, depth)
    const left = valueOfKind(writer, scope, scalar.kind, 1)
    writer.mark('scalar subquery in a predicate')
    return `${left} ${writer.random.pick(comparisons)} ${scalar.sql}`
  },
}

/** A subquery of one value: an aggregate, or the first row of an order. */
export function scalarSubquery(
  writer: QueryWriter,
  scope: Scope,
  depth: number,
  form: 'any' | 'aggregate' | 'limit' = 'any',
): { readonly sql: string; readonly kind: Kind } {
  const correlated = writer.random.chance(0.65)
  const { from, where } = inner(writer, scope, depth, correlated ? 1 : 0)
  writer.mark(
    where !== '' && correlated ? 'scalar subquery, correlated' : 'scalar subquery, uncorrelated',
  )
  const byLimit = form === 'limit' || (form === 'any' && writer.random.chance(0.35))
  if (byLimit) {
    const [shown, more] = writer.chosen(
      writer.equatable(from.refs).filter(({ kind }) => kinds[kind].ordered),
      2,
    )
    if (shown !== undefined) {
      const column = writer.use(shown)
      const by =
        more === undefined
          ? column
          : `${writer.use(more)} ${writer.random.pick(['', 'desc ', 'desc nulls last '])}, ${column}`
      writer.mark('scalar subquery, order by limit 1')
      writer.picks()
      return {
        sql: `(select ${column} from ${from.sql}${where} order by ${by} limit 1)`,
        kind: shown.kind,
      }
    }
  }
  const [column] = writer.chosen(
    from.refs.filter(({ kind }) => simplyOrdered.includes(kind)),
    1,
  )
  if (column === undefined || writer.random.chance(0.4)) {
    return { sql: `(select count(*) from ${from.sql}${where})`, kind: 'bigint' }
  }
  writer.picks()
  const name = writer.random.pick(['min', 'max'])
  return {
    sql: `(select ${name}(${writer.use(column)}) from ${from.sql}${where})`,
    kind: column.kind,
  }
}

/** Kinds that min and max take on every version, and return. */
export const simplyOrdered: readonly Kind[] = [
  'int',
  'bigint',
  'numeric',
  'money2',
  'float8',
  'text',
  'bytewise',
  'caseless',
  'citext',
  'date',
  'timestamptz',
  'mood',
]
