/** A type of column as the generator sees it. */
export type Kind =
  | 'int'
  | 'bigint'
  | 'numeric'
  | 'money2'
  | 'float8'
  | 'text'
  | 'citext'
  /** Compared byte by byte. */
  | 'bytewise'
  /** Of a nondeterministic collation: 'a' and 'A' are equal. */
  | 'caseless'
  | 'date'
  | 'timestamptz'
  | 'bool'
  | 'mood'
  | 'pos'
  | 'ints'
  | 'texts'
  | 'jsonb'
  | 'json'
  | 'pair'
  | 'span'
  /** Blanks at the end do not count. */
  | 'blanks'
  /** A day and 24 hours are equal. */
  | 'interval'
  /** Shown, and nothing else. */
  | 'opaque'

interface KindFacts {
  /** As DDL names it. */
  readonly type: string
  /** Few, so that joins and groups hit. Text of the value, without quotes. */
  readonly values: readonly string[]
  /** Two values may be equal and yet print differently: who picks one of them has a choice. */
  readonly blurred: boolean
  readonly equatable: boolean
  readonly ordered: boolean
}

const plain = { blurred: false, equatable: true, ordered: true }

/** What is known of each kind. Floats are multiples of 1/4, so that their sums are exact in any order. */
export const kinds: Readonly<Record<Kind, KindFacts>> = {
  int: { ...plain, type: 'int', values: ['0', '1', '2', '3', '4', '-1'] },
  bigint: { ...plain, type: 'bigint', values: ['0', '1', '2', '10', '5000000000'] },
  numeric: {
    ...plain,
    type: 'numeric',
    values: ['1', '1.0', '1.00', '2', '0', '-3.5', '2.25', 'NaN', 'Infinity'],
    blurred: true,
  },
  money2: { ...plain, type: 'numeric(10,2)', values: ['1', '1.5', '0', '20.25', '-3.1'] },
  float8: {
    ...plain,
    type: 'float8',
    values: ['0', '0.25', '1.5', '-2.75', '100', 'NaN', '-0', 'Infinity'],
    blurred: true,
  },
  text: { ...plain, type: 'text', values: ['', 'a', 'A', 'b', 'bb', 'ñ', 'a,b"c'] },
  citext: { ...plain, type: 'public.citext', values: ['a', 'A', 'b', 'B'], blurred: true },
  bytewise: { ...plain, type: 'text collate "C"', values: ['a', 'A', 'b', 'B', 'ñ', ''] },
  caseless: { ...plain, type: 'text collate o.ci', values: ['a', 'A', 'b', 'B'], blurred: true },
  date: {
    ...plain,
    type: 'date',
    values: ['2026-01-01', '2026-01-02', '2026-02-28', '2030-06-30'],
  },
  timestamptz: {
    ...plain,
    type: 'timestamptz',
    values: [
      '2026-01-01 10:00:00+00',
      '2026-01-01 23:30:00-02',
      '2026-03-29 02:30:00+00',
      '2031-01-01 00:00:00+00',
    ],
  },
  bool: { ...plain, type: 'bool', values: ['t', 'f'] },
  mood: { ...plain, type: 'o.mood', values: ['sad', 'ok', 'glad'] },
  pos: { ...plain, type: 'o.pos', values: ['1', '2', '3'] },
  ints: { ...plain, type: 'int[]', values: ['{}', '{1}', '{1,2}', '{2,NULL,1}', '{3,3}'] },
  texts: { ...plain, type: 'text[]', values: ['{}', '{a}', '{b,a}', '{a,NULL}'] },
  jsonb: {
    ...plain,
    type: 'jsonb',
    values: [
      '{"k": 1, "t": "a"}',
      '{"k": 1.0}',
      '{"k": null, "l": [1, 2]}',
      '[1, 2]',
      '{}',
      'null',
    ],
    blurred: true,
  },
  json: {
    type: 'json',
    values: ['{"k": 1}', '{"k":1}', '[1, 2]', '{"t": "b"}'],
    blurred: true,
    equatable: false,
    ordered: false,
  },
  pair: { ...plain, type: 'o.pair', values: ['(1,a)', '(1,)', '(2,b)', '(,a)', '(,)'] },
  blanks: { ...plain, type: 'bpchar', values: ['a', 'a ', 'a  ', 'b', ''], blurred: true },
  interval: {
    ...plain,
    type: 'interval',
    values: ['1 day', '24:00:00', '1 mon', '30 days', '00:30:00'],
    blurred: true,
  },
  opaque: { type: 'text', values: [''], blurred: false, equatable: false, ordered: false },
  span: { ...plain, type: 'int4range', values: ['[1,3)', '[2,5)', 'empty', '[,2)', '[4,)'] },
}

export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A value as an expression that has its type wherever it stands. */
export function literalOf(kind: Kind, value: string): string {
  if (kind === 'int') return value.startsWith('-') ? `(${value})` : value
  return `${quoted(value)}::${kinds[kind].type}`
}
