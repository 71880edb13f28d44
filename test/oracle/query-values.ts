import type { Kind } from './kinds.ts'
import { kinds } from './kinds.ts'
import type { QueryWriter, Scope } from './query-writer.ts'

type Make = (writer: QueryWriter, scope: Scope, depth: number) => string

/** The text of an expression of a kind. Never raises, whatever the rows. */
export function valueOfKind(writer: QueryWriter, scope: Scope, kind: Kind, depth: number): string {
  const { random } = writer
  const column = writer.column(scope, [kind])
  if (column !== undefined && (depth <= 0 || random.chance(0.55))) return writer.use(column)
  if (depth > 0 && byKind[kind].length > 0 && random.chance(0.6)) {
    const made = random.pick(byKind[kind])(writer, scope, depth - 1)
    if (made !== '') {
      writer.shows(kind)
      return made
    }
  }
  if (depth > 0 && random.chance(0.6)) return general(writer, scope, kind, depth - 1)
  if (column !== undefined) return writer.use(column)
  return writer.literal(kind)
}

/** An expression of a kind that the scope has, or of one that can be made of it. */
export function anyValue(
  writer: QueryWriter,
  scope: Scope,
  depth: number,
  fit: (kind: Kind) => boolean = () => true,
): { readonly sql: string; readonly kind: Kind } {
  const fitting = scope.filter((ref) => fit(ref.kind))
  const [column] = writer.chosen(fitting, 1)
  if (column?.kind === 'opaque') return { sql: column.sql, kind: 'opaque' }
  const kind = column?.kind ?? 'int'
  return { kind, sql: valueOfKind(writer, scope, kind, depth) }
}

/** CASE, COALESCE and their like, for any kind. */
function general(writer: QueryWriter, scope: Scope, kind: Kind, depth: number): string {
  const value = (): string => valueOfKind(writer, scope, kind, depth)
  switch (writer.random.below(kinds[kind].equatable ? 6 : 3)) {
    case 0:
      writer.mark('case')
      return `case when ${simplePredicate(writer, scope)} then ${value()} else ${value()} end`
    case 1:
      writer.mark('coalesce')
      return `coalesce(${value()}, ${writer.literal(kind)})`
    case 2:
      writer.mark('case')
      return `case when ${simplePredicate(writer, scope)} then ${value()} end`
    case 3:
      writer.mark('nullif')
      return `nullif(${value()}, ${writer.literal(kind)})`
    case 4:
      if (!kinds[kind].ordered) return value()
      writer.mark('greatest and least')
      writer.picks()
      return `${writer.random.pick(['greatest', 'least'])}(${value()}, ${value()})`
    default:
      writer.mark('case')
      return `case ${value()} when ${writer.literal(kind)} then ${value()} else ${writer.literal(kind)} end`
  }
}

/** A predicate without a subquery in it, over what the scope has. */
export function simplePredicate(writer: QueryWriter, scope: Scope): string {
  const column = writer.column(scope, clearKinds)
  if (column === undefined) return 'true'
  const sql = writer.use(column)
  const operator = writer.random.pick(['=', '<>', '<>', '<', '<=', '<=', '>', '>=', '>='])
  return writer.random.chance(0.2)
    ? `${sql} is ${writer.random.pick(['', 'not '])}null`
    : `${sql} ${operator} ${writer.literal(column.kind)}`
}

const clearKinds: readonly Kind[] = [
  'int',
  'bigint',
  'money2',
  'text',
  'date',
  'bool',
  'mood',
  'pos',
  'bytewise',
]

const via =
  (from: Kind, write: (text: string, writer: QueryWriter) => string, ...marks: string[]): Make =>
  (writer, scope, depth) => {
    if (!scope.some(({ kind }) => kind === from)) return ''
    writer.mark(...marks)
    return write(valueOfKind(writer, scope, from, depth), writer)
  }

const pairOf =
  (kind: Kind, write: (left: string, right: string) => string): Make =>
  (writer, scope, depth) =>
    write(valueOfKind(writer, scope, kind, depth), valueOfKind(writer, scope, kind, depth))

/** Ways to come by each kind from others. */
const byKind: Readonly<Record<Kind, readonly Make[]>> = {
  int: [
    pairOf('int', (l, r) => `(${l} + ${r})`),
    pairOf('int', (l, r) => `(${l} - ${r})`),
    via('int', (x) => `(${x} * 2)`),
    via('int', (x) => `abs(${x})`),
    via('int', (x) => `(${x} % 2)`),
    via('int', (x) => `o.twice(${x})`, 'user function'),
    via('text', (x) => `length(${x})`),
    via('pos', (x) => `(${x} + 1)`, 'domain'),
    via('ints', (x) => `(${x})[1]`, 'array operators'),
    via('ints', (x) => `cardinality(${x})`, 'array operators'),
    via('date', (x) => `extract(day from ${x})::int`, 'cast'),
    via('pair', (x) => `(${x}).x`, 'composite'),
    via('span', (x) => `lower(${x})`, 'range'),
    via('jsonb', (x) => `(${x}->>'k')::numeric::int`, 'json operators', 'cast'),
    via('bool', (x) => `(${x})::int`, 'cast'),
  ],
  bigint: [
    via('int', (x) => `(${x}::bigint * 1000)`, 'cast'),
    via('bigint', (x) => `(${x} + 1)`),
    via('bigint', (x) => `(${x} / 2)`),
  ],
  numeric: [
    via('int', (x) => `(${x} / 4.0)`),
    via('money2', (x) => `(${x} * 1.5)`),
    via('numeric', (x) => `round(${x}, 1)`),
    pairOf('numeric', (l, r) => `(${l} + ${r})`),
    via('int', (x) => `(7.5 / nullif(${x}, 0))`, 'nullif'),
    via('bigint', (x) => `${x}::numeric`, 'cast'),
  ],
  money2: [
    via('int', (x) => `${x}::numeric(10,2)`, 'cast'),
    via('money2', (x) => `(${x} + 1)::numeric(10,2)`, 'cast'),
  ],
  float8: [
    via('int', (x) => `(${x}::float8 / 2)`, 'cast'),
    via('money2', (x) => `${x}::float8`, 'cast'),
    via('float8', (x) => `(${x} * 2)`),
  ],
  text: [
    via('text', (x) => `(${x} || '!')`),
    via('text', (x) => `upper(${x})`),
    via('text', (x) => `substr(${x}, 1, 1)`),
    via('text', (x) => `${x} collate "C"`, 'collation'),
    via('int', (x) => `${x}::text`, 'cast'),
    via('bool', (x) => `${x}::text`, 'cast'),
    via('mood', (x) => `${x}::text`, 'cast', 'enum'),
    via('citext', (x) => `${x}::text`, 'cast', 'citext'),
    via('jsonb', (x) => `(${x}->>'t')`, 'json operators'),
    via('jsonb', (x) => `jsonb_typeof(${x})`, 'json operators'),
    via('json', (x) => `(${x}->>'t')`, 'json operators'),
    via('pair', (x) => `(${x}).z`, 'composite'),
    via('texts', (x) => `array_to_string(${x}, '+')`, 'array operators'),
    via('date', (x) => `to_char(${x}, 'YYYY-MM')`, 'stable function'),
    pairOf('text', (l, r) => `concat_ws('-', ${l}, ${r})`),
    via('money2', (x) => `${x}::text`, 'cast'),
  ],
  citext: [via('text', (x) => `${x}::public.citext`, 'cast', 'citext')],
  bytewise: [via('bytewise', (x) => `upper(${x})`)],
  caseless: [via('caseless', (x) => `(${x} || '!')`)],
  date: [
    via('date', (x, w) => `(${x} + ${w.random.between(0, 3)})`),
    via('timestamptz', (x) => `${x}::date`, 'stable function', 'cast'),
    via('date', (x) => `date_trunc('month', ${x})::date`, 'stable function'),
  ],
  timestamptz: [
    via('date', (x) => `${x}::timestamptz`, 'stable function', 'cast'),
    via('timestamptz', (x) => `date_trunc('day', ${x})`, 'stable function'),
    via('timestamptz', (x) => `(${x} + interval '1 hour')`, 'stable function'),
  ],
  bool: [
    (writer, scope) => `(${simplePredicate(writer, scope)})`,
    via('bool', (x) => `(not ${x})`),
    via('int', (x) => `(${x} is null)`),
  ],
  mood: [via('bool', (x) => `case when ${x} then 'ok'::o.mood else 'sad' end`, 'enum', 'case')],
  pos: [],
  blanks: [via('text', (x) => `${x}::bpchar`, 'cast')],
  interval: [
    via('interval', (x) => `(${x} * 2)`),
    pairOf('interval', (l, r) => `(${l} + ${r})`),
    pairOf('timestamptz', (l, r) => `(${l} - ${r})`),
  ],
  opaque: [],
  ints: [
    via('int', (x) => `array[${x}, 1]`, 'array operators'),
    via('ints', (x) => `(${x} || 4)`, 'array operators'),
    pairOf('int', (l, r) => `array[${l}, ${r}]`),
  ],
  texts: [
    via('text', (x) => `array[${x}]`, 'array operators'),
    via('text', (x) => `string_to_array(${x}, ',')`, 'array operators'),
  ],
  jsonb: [
    via('int', (x) => `jsonb_build_object('k', ${x})`, 'json operators'),
    via('jsonb', (x) => `(${x}->'k')`, 'json operators'),
    via('text', (x) => `to_jsonb(${x})`, 'json operators'),
    via('jsonb', (x) => `(${x} #> '{l,0}')`, 'json operators'),
  ],
  json: [via('int', (x) => `json_build_object('k', ${x})`, 'json operators')],
  pair: [
    (writer, scope, depth) =>
      `row(${valueOfKind(writer, scope, 'int', depth)}, ${valueOfKind(writer, scope, 'text', depth)})::o.pair`,
  ],
  span: [
    (writer, scope, depth) => {
      writer.mark('range')
      const one = valueOfKind(writer, scope, 'int', depth)
      return `int4range(${one}, ${one} + 2)`
    },
    pairOf('span', (l, r) => `(${l} * ${r})`),
  ],
}

/** An item of a select list. */
export interface Item {
  readonly sql: string
  readonly kind: Kind
}

/** Columns and expressions over a scope for a select list. */
export function items(writer: QueryWriter, scope: Scope, count: number): Item[] {
  const made: Item[] = []
  for (let left = count; left > 0; left -= 1) {
    if (writer.random.chance(0.6)) {
      const [ref] = writer.chosen(scope, 1)
      if (ref !== undefined) made.push({ sql: writer.use(ref), kind: ref.kind })
    } else {
      const value = anyValue(writer, scope, 2)
      writer.mark('projected expression')
      made.push(value)
    }
  }
  return made.length > 0 ? made : [{ sql: '1', kind: 'int' }]
}
