import type { Kind } from './kinds.ts'
import { kinds, quoted } from './kinds.ts'
import type { Random } from './random.ts'

export interface Column {
  /** As SQL writes it. */
  readonly name: string
  readonly kind: Kind
  readonly notNull: boolean
}

/** Something that can be written to: a table, or a partition or heir of it. */
export interface Writable {
  readonly name: string
  readonly columns: readonly Column[]
}

export interface Table extends Writable {
  readonly shape: 'keyed' | 'keyless' | 'child' | 'partitioned' | 'inherited'
  /** The primary key, a column of kind int. */
  readonly key: string | null
  readonly parts: readonly Writable[]
  /** Has row-level security, which does not bind its owner. */
  readonly secured: boolean
}

export interface Schema {
  /** What makes it, empty. */
  readonly statements: readonly string[]
  /** One row a statement, so that a failing case can be made smaller. */
  readonly data: readonly string[]
  readonly tables: readonly Table[]
}

/** Columns share their names between tables, so that USING finds them. */
const pool: readonly (readonly [number, string, Kind])[] = [
  [6, 'b', 'int'],
  [6, 's', 'text'],
  [3, 'n', 'bigint'],
  [4, 'm', 'money2'],
  [4, 'q', 'numeric'],
  [2, 'f', 'float8'],
  [4, 'c', 'citext'],
  [2, 'kb', 'bytewise'],
  [3, 'kc', 'caseless'],
  [4, 'd', 'date'],
  [4, 'ts', 'timestamptz'],
  [4, 'y', 'bool'],
  [4, 'e', 'mood'],
  [2, 'p', 'pos'],
  [2, 'xs', 'ints'],
  [1, 'ws', 'texts'],
  [3, 'j', 'jsonb'],
  [1, 'js', 'json'],
  [2, 'w', 'pair'],
  [2, 'r', 'span'],
  [1, 'bl', 'blanks'],
  [1, 'iv', 'interval'],
  [1, '"Order"', 'int'],
  // A change log has a column of its own of this name.
  [1, 'xid', 'int'],
]

const preamble: readonly string[] = [
  'create schema o',
  `create collation o.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
  `create type o.mood as enum ('sad', 'ok', 'glad')`,
  'create domain o.pos as int check (value > 0)',
  'create type o.pair as (x int, z text)',
  `create function o.twice(int) returns int language sql immutable as 'select $1 * 2'`,
  `create function o.add_length(bigint, text) returns bigint language sql immutable
   as 'select $1 + coalesce(length($2), 0)'`,
  `create aggregate o.total_length(text) (sfunc = o.add_length, stype = bigint, initcond = '0')`,
  `create function o.append(text, text) returns text language sql immutable
   as 'select $1 || coalesce($2, ''-'')'`,
  `create aggregate o.chain(text) (sfunc = o.append, stype = text, initcond = '')`,
]

/** 3 to 5 tables of different shapes, with few distinct values and many NULLs, and their first rows. */
export function generateSchema(random: Random): Schema {
  const shapes: Table['shape'][] = [
    'keyed',
    'keyless',
    ...random.sample(
      ['child', 'partitioned', 'inherited', 'partitioned', 'inherited', 'keyless'] as const,
      random.between(1, 3),
    ),
  ]
  const statements = [...preamble]
  const data: string[] = []
  const tables: Table[] = []
  for (const [at, shape] of shapes.entries()) {
    const name = random.chance(0.1) ? `o."T ${at + 1}"` : `o.t${at + 1}`
    const secured = random.chance(0.12)
    const made = makeTable(random, { name, shape, secured, parent: tables[0] })
    statements.push(...made.statements)
    tables.push(made.table)
    for (let row = random.between(7, 14), id = 1; row > 0; row -= 1, id += 1) {
      data.push(insertRow(random, made.table, id))
    }
    if (hasNumbers(made.table)) data.push(insertNaN(random, made.table))
    if (made.table.secured) statements.push(`alter table ${name} enable row level security`)
  }
  return { statements, data, tables }
}

interface Wanted {
  readonly name: string
  readonly shape: Table['shape']
  readonly parent: Table | undefined
  readonly secured: boolean
}

interface Made {
  readonly table: Table
  readonly statements: readonly string[]
}

function makeTable(random: Random, wanted: Wanted): Made {
  const columns: Column[] = [{ name: 'a', kind: 'int', notNull: random.chance(0.3) }]
  const names = new Set<string>(['a'])
  for (let more = random.between(2, 6); more > 0; more -= 1) {
    const [name, kind] = random.weighted(pool.map(([weight, ...rest]) => [weight, rest] as const))
    if (names.has(name)) continue
    names.add(name)
    columns.push({ name, kind, notNull: random.chance(0.2) })
  }
  switch (wanted.shape) {
    case 'keyed':
    case 'child':
      return keyed(random, wanted, columns)
    case 'keyless':
      return simple(wanted, columns)
    case 'partitioned':
      return partitioned(random, wanted, columns)
    case 'inherited':
      return inherited(wanted, columns)
  }
}

const isNumber = ({ kind }: Column): boolean => kind === 'numeric' || kind === 'float8'

const hasNumbers = ({ columns }: Table): boolean => columns.some(isNumber)

/** A row with NaN in every column that can hold it. */
function insertNaN(random: Random, { name, columns }: Table): string {
  const values = columns.map((column) => {
    if (isNumber(column)) return `'NaN'`
    return column.name === 'id' ? '15' : valueOf(random, column)
  })
  return `insert into ${name} (${namesOf(columns)}) values (${values.join(', ')})`
}

const define = ({ name, kind, notNull }: Column): string =>
  `${name} ${kinds[kind].type}${notNull ? ' not null' : ''}`

const list = (columns: readonly Column[]): string => columns.map(define).join(', ')

function simple({ name, shape, secured }: Wanted, columns: readonly Column[]): Made {
  return {
    table: { name, shape, columns, key: null, parts: [], secured },
    statements: [`create table ${name} (${list(columns)})`],
  }
}

function keyed(random: Random, wanted: Wanted, columns: readonly Column[]): Made {
  const { name, shape, parent, secured } = wanted
  const id: Column = { name: 'id', kind: 'int', notNull: true }
  const all = [id, ...columns]
  const statements = [`create table ${name} (${list(all)}, primary key (id))`]
  if (shape === 'child' && parent?.key === 'id') {
    const reference: Column = { name: 'up', kind: 'int', notNull: random.chance(0.4) }
    all.push(reference)
    const rule = reference.notNull ? ['cascade'] : ['cascade', 'set null']
    statements[0] = `create table ${name} (${list(all)}, primary key (id), foreign key (up) references ${parent.name} on update cascade on delete ${random.pick(rule)})`
  }
  return { table: { name, shape, columns: all, key: 'id', parts: [], secured }, statements }
}

function partitioned(random: Random, wanted: Wanted, columns: readonly Column[]): Made {
  const { name, shape, secured } = wanted
  const parts = ['lo', 'hi', 'etc'].map((part): Writable => ({
    name: partName(name, part),
    columns,
  }))
  const [low, high, rest] = parts.map((part) => part.name)
  const statements = [`create table ${name} (${list(columns)}) partition by range (a)`]
  const turned = [...columns].reverse()
  statements.push(`create table ${low} partition of ${name} for values from (minvalue) to (2)`)
  if (random.chance(0.5)) {
    // Attached, with its columns in another order.
    statements.push(
      `create table ${high} (${list(turned)})`,
      `alter table ${name} attach partition ${high} for values from (2) to (4)`,
    )
  } else statements.push(`create table ${high} partition of ${name} for values from (2) to (4)`)
  statements.push(`create table ${rest} partition of ${name} default`)
  return { table: { name, shape, columns, key: null, parts, secured }, statements }
}

function inherited({ name, shape, secured }: Wanted, columns: readonly Column[]): Made {
  const heir = partName(name, 'heir')
  const extra: Column = { name: 'extra', kind: 'int', notNull: false }
  return {
    table: {
      name,
      shape,
      columns,
      key: null,
      secured,
      parts: [{ name: heir, columns: [...columns, extra] }],
    },
    statements: [
      `create table ${name} (${list(columns)})`,
      `create table ${heir} (extra int) inherits (${name})`,
    ],
  }
}

const partName = (name: string, part: string): string =>
  name.endsWith('"') ? `${name.slice(0, -1)} ${part}"` : `${name}_${part}`

/** A row as a list of values, for the columns given. */
export function rowOf(random: Random, columns: readonly Column[], id: number): string {
  return columns
    .map((column) => (column.name === 'id' ? `${id}` : valueOf(random, column)))
    .join(', ')
}

/** A value for a column; references point among the first keys. */
export function valueOf(random: Random, column: Column): string {
  if (!column.notNull && random.chance(0.22)) return 'null'
  if (column.name === 'up') return `${random.between(1, 5)}`
  return quoted(random.pick(kinds[column.kind].values))
}

export const namesOf = (columns: readonly Column[]): string =>
  columns.map(({ name }) => name).join(', ')

function insertRow(random: Random, table: Table, id: number): string {
  const into: Writable =
    table.shape === 'inherited' && random.chance(0.4) ? random.pick(table.parts) : table
  return `insert into ${into.name} (${namesOf(into.columns)}) values (${rowOf(random, into.columns, id)})`
}
