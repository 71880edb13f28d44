import type { Column, Schema, Table, Writable } from './generate-schema.ts'
import { namesOf, rowOf, valueOf } from './generate-schema.ts'
import type { Kind } from './kinds.ts'
import { kinds, literalOf } from './kinds.ts'
import type { Random } from './random.ts'

/** A statement of one of the sessions, or a refresh of all views followed by their comparison. */
export type Step = { readonly session: number; readonly sql: string } | { readonly refresh: true }

export const isRefresh = (step: Step): step is { readonly refresh: true } => 'refresh' in step

/** Whether a statement begins, ends or marks a place in a transaction. */
export const isTransactional = (sql: string): boolean =>
  /^(begin|commit|rollback|savepoint|release)/.test(sql)

/** What the history may use beside the tables. */
export interface HistoryInput {
  readonly random: Random
  readonly schema: Schema
  /** Materialized views that are refreshed now and then. */
  readonly materialized: readonly string[]
  /** As `server_version_num` says it: MERGE is of 15. */
  readonly serverVersion: number
  /** Statements that write, at least. */
  readonly statementsMin: number
  /** Begins by bringing the tables back to their usual size: it does not stand alone. */
  readonly restoring?: boolean
}

export const sessionsMax = 4

interface SessionState {
  open: boolean
  savepoints: number
  /** Stays open over refreshes. */
  readonly patient: boolean
}

/**
 * What up to four sessions do, one statement at a time, so that every interleaving is the same for the
 * same seed. Statements may fail (keys, lock waits, serialization): the runner rolls back what they
 * stood in and goes on.
 */
export function generateHistory(input: HistoryInput): Step[] {
  const { random } = input
  const steps: Step[] = input.restoring === true ? restore(input) : []
  const sessions = Array.from(
    { length: random.between(2, sessionsMax) },
    (_, at): SessionState => ({
      open: false,
      savepoints: 0,
      patient: at > 0 && random.chance(0.4),
    }),
  )
  let written = 0
  let untilRefresh = random.between(3, 7)
  while (written < input.statementsMin) {
    const at = random.below(sessions.length)
    const session = sessions[at]
    if (session === undefined) continue
    const next = turn(input, session)
    steps.push({ session: at, sql: next.sql })
    if (!next.writes) continue
    written += 1
    untilRefresh -= 1
    if (untilRefresh > 0) continue
    steps.push({ refresh: true })
    untilRefresh = random.between(3, 7)
  }
  for (const [at, { open }] of sessions.entries()) {
    if (open) steps.push({ session: at, sql: random.chance(0.85) ? 'commit' : 'rollback' })
  }
  steps.push({ refresh: true })
  return steps
}

/** Trims every table and gives it some rows, so that history after history meets tables of one size. */
function restore({ random, schema }: HistoryInput): Step[] {
  return schema.tables.flatMap((table) => [
    {
      session: 0,
      sql: `delete from ${table.name} where (tableoid, ctid) in (select t.tableoid, t.ctid from ${table.name} t order by md5(t::text) offset 12)`,
    },
    ...Array.from({ length: random.between(1, 5) }, () => ({
      session: 0,
      sql: insertRows({ random }, table, table),
    })),
  ])
}

interface Turn {
  readonly sql: string
  readonly writes: boolean
}

/** What a session does next: begin, end, mark or return to a place, or write. */
function turn(input: HistoryInput, session: SessionState): Turn {
  const { random } = input
  const other = (sql: string): Turn => ({ sql, writes: false })
  if (!session.open) {
    if (!random.chance(0.35)) return { sql: write(input, true), writes: true }
    session.open = true
    session.savepoints = 0
    return other(
      random.pick([
        'begin',
        'begin',
        'begin isolation level serializable',
        'begin isolation level repeatable read',
      ]),
    )
  }
  const ends = session.patient ? 0.08 : 0.28
  const act = random.weighted([
    [0.6, 'write'],
    [0.08, 'savepoint'],
    [session.savepoints > 0 ? 0.1 : 0, 'return'],
    [ends, 'end'],
  ] as const)
  switch (act) {
    case 'write':
      return { sql: write(input, false), writes: true }
    case 'savepoint':
      session.savepoints += 1
      return other(`savepoint s${session.savepoints}`)
    case 'return': {
      const to = random.between(1, session.savepoints)
      session.savepoints = to
      return other(random.chance(0.8) ? `rollback to s${to}` : `release s${to}`)
    }
    case 'end':
      session.open = false
      return other(random.chance(0.8) ? 'commit' : 'rollback')
  }
}

type Write = (input: HistoryInput, table: Table, into: Writable) => string

/** A statement that writes. `alone`: not within a transaction, so that it may take any lock. */
function write(input: HistoryInput, alone: boolean): string {
  const { random, schema } = input
  const table = random.pick(schema.tables)
  const into = table.parts.length > 0 && random.chance(0.3) ? random.pick(table.parts) : table
  const choices: (readonly [number, Write])[] = [
    [9, insertRows],
    [2, insertSelect],
    [2, insertSame],
    [table.key === null ? 0 : 2, upsert],
    [8, update],
    [3, updateFrom],
    [3, toggleNull],
    [table.key === null ? 0 : 2, updateKey],
    [4, remove],
    [3, removeOne],
    [1, removeUsing],
    [0.5, removeAll],
    [1, move],
    [table.key === null || input.serverVersion < 150000 ? 0 : 2, merge],
    [alone ? 0.3 : 0, truncate],
    // Within a transaction it would keep every reader waiting.
    [alone && input.materialized.length > 0 ? 6 : 0, refreshMaterialized],
  ]
  return random.weighted(choices)(input, table, into)
}

/** Ids are few, so that a row that went comes back. */
const someId = (random: Random): number => random.between(1, 18)

function row(random: Random, into: Writable): string {
  return `(${rowOf(random, into.columns, someId(random))})`
}

const insertRows = (
  { random }: Pick<HistoryInput, 'random'>,
  table: Table,
  into: Writable,
): string => {
  const rows = Array.from(
    {
      length: random.weighted([
        [4, 1],
        [2, 2],
        [1, 4],
      ] as const),
    },
    () => row(random, into),
  )
  const conflict = table.key === null ? '' : ' on conflict do nothing'
  return `insert into ${into.name} (${namesOf(into.columns)}) values ${rows.join(', ')}${conflict}`
}

/** Copies of rows that are there: duplicates, where there is no key. */
const insertSelect: Write = ({ random }, table, into) => {
  const names = table.columns.map(({ name }) =>
    name === table.key ? `${name} + ${random.pick([5, 20])}` : name,
  )
  const conflict = table.key === null ? '' : ' on conflict do nothing'
  return `insert into ${table.name} (${namesOf(table.columns)}) select ${names.join(', ')} from ${table.name} t where ${someRows(random, into.columns)} order by t::text limit 6${conflict}`
}

/** The same row twice. */
const insertSame: Write = ({ random }, table, into) => {
  const made = row(random, into)
  const conflict = table.key === null ? '' : ' on conflict do nothing'
  return `insert into ${into.name} (${namesOf(into.columns)}) values ${made}, ${made}${conflict}`
}

const upsert: Write = ({ random }, table) => {
  const column = random.pick(table.columns.filter(({ name }) => name !== table.key))
  return `insert into ${table.name} (${namesOf(table.columns)}) values ${row(random, table)}, ${row(random, table)} on conflict (${table.key ?? ''}) do update set ${column.name} = excluded.${column.name}`
}

const update: Write = ({ random }, _table, into) => {
  const columns = random.sample(
    settable(into),
    random.weighted([
      [4, 1],
      [1, 2],
    ] as const),
  )
  const set = columns.map((column) => `${column.name} = ${newValue(random, column)}`)
  return `update ${into.name} set ${set.join(', ')} where ${someRows(random, into.columns)}`
}

const settable = (into: Writable): readonly Column[] =>
  into.columns.filter(({ name }) => name !== 'id')

function newValue(random: Random, column: Column): string {
  if (column.kind === 'int' && column.name !== 'up' && random.chance(0.4)) {
    return random.pick([`${column.name} + 1`, `${column.name} - 1`, `3 - ${column.name}`])
  }
  if (column.kind === 'bool' && random.chance(0.4)) return `not ${column.name}`
  return valueOf(random, column)
}

const updateFrom: Write = ({ random, schema }, table) => {
  const other = random.pick(schema.tables)
  const pairs = settable(table).flatMap((column) =>
    other.columns
      .filter(({ kind }) => kind === column.kind && column.name !== 'up')
      .map((from) => [column, from] as const),
  )
  const usable = pairs.filter(([column, from]) => !column.notNull || from.notNull)
  if (usable.length === 0)
    return `update ${table.name} set a = a where ${someRows(random, table.columns)}`
  const [column, from] = random.pick(usable)
  // The first in a total order of rows, so that the statement does the same each time.
  return `update ${table.name} as t set ${column.name} = f.v from (select ${from.name} as v from ${other.name} where ${someRows(random, other.columns)} order by ${from.name}::text limit 1) f where ${someRows(random, table.columns, 't.')}`
}

const toggleNull: Write = ({ random }, _table, into) => {
  const columns = settable(into).filter(({ notNull }) => !notNull)
  const column = columns.length === 0 ? undefined : random.pick(columns)
  if (column === undefined)
    return `update ${into.name} set a = 1 - a where ${someRows(random, into.columns)}`
  return random.chance(0.5)
    ? `update ${into.name} set ${column.name} = null where ${someRows(random, into.columns)}`
    : `update ${into.name} set ${column.name} = ${literalOf(column.kind, random.pick(valuesOf(column)))} where ${column.name} is null`
}

const valuesOf = (column: Column): readonly string[] =>
  column.name === 'up' ? ['1', '2', '3'] : kinds[column.kind].values

const updateKey: Write = ({ random }, table) =>
  random.pick([
    `update ${table.name} set id = ${someId(random)} where id = ${someId(random)}`,
    `update ${table.name} set id = id + 40 where id = ${someId(random)}`,
    `update ${table.name} set id = id - 40 where id > 40`,
    `update ${table.name} set id = 19 - id where id in (${someId(random)}, ${someId(random)})`,
  ])

const remove: Write = ({ random }, _table, into) =>
  `delete from ${into.name} where ${someRows(random, into.columns)}`

/** One of rows that may be equal. */
const removeOne: Write = ({ random }, _table, into) =>
  `delete from ${into.name} where (tableoid, ctid) = (select t.tableoid, t.ctid from ${into.name} t where ${someRows(random, into.columns, 't.')} order by t::text limit 1)`

const removeUsing: Write = ({ random, schema }, table) => {
  const other = random.pick(schema.tables)
  return `delete from ${table.name} t using ${other.name} o where t.a = o.a and ${someRows(random, other.columns, 'o.')} and ${someRows(random, table.columns, 't.')}`
}

const removeAll: Write = (_input, _table, into) => `delete from ${into.name}`

/** Rows that go from one table to another in one statement. */
const move: Write = ({ random, schema }, table) => {
  const other = random.pick(schema.tables)
  const gone = `with gone as (delete from ${table.name} where ${someRows(random, table.columns)} returning *)`
  const columns = other.columns.map((column) => {
    if (column.name === 'id') return `100 + (row_number() over ())::int`
    const same = table.columns.find(
      ({ name, kind, notNull }) =>
        name === column.name && kind === column.kind && (notNull || !column.notNull),
    )
    return same === undefined || column.name === 'up'
      ? valueOf(random, column) + cast(column.kind)
      : same.name
  })
  return `${gone} insert into ${other.name} (${namesOf(other.columns)}) select ${columns.join(', ')} from gone${other.key === null ? '' : ' on conflict do nothing'}`
}

const cast = (kind: Kind): string => `::${kinds[kind].type}`

const merge: Write = ({ random, schema }, table) => {
  const other = random.pick(schema.tables)
  const [column] = random.sample(settable(table), 1)
  const values = table.columns.map((each) => (each.name === 'id' ? 's.k' : valueOf(random, each)))
  const matched =
    column === undefined || random.chance(0.3)
      ? 'delete'
      : `update set ${column.name} = ${newValue(random, column)
          .replaceAll(/\b([abn]|"Order") ([+-])/g, 't.$1 $2')
          .replaceAll(/([-+]) ([abn]|"Order")\b/g, '$1 t.$2')
          .replace(/^not y$/, 'not t.y')}`
  return `merge into ${table.name} t using (select distinct abs(o.a) + ${random.between(0, 6)} as k from ${other.name} o where o.a is not null) s on t.id = s.k when matched then ${matched} when not matched then insert (${namesOf(table.columns)}) values (${values.join(', ')})`
}

const truncate: Write = (_input, table, into) =>
  `truncate ${into.name}${table.key === null ? '' : ' cascade'}`

const refreshMaterialized: Write = ({ random, materialized }) =>
  `refresh materialized view ${random.pick(['', 'concurrently '])}${random.pick(materialized)}`

/** A condition that some rows of few meet. */
function someRows(random: Random, columns: readonly Column[], prefix = ''): string {
  const key = columns.find(({ name }) => name === 'id')
  if (key !== undefined && random.chance(0.5)) {
    return random.pick([
      `${prefix}id = ${someId(random)}`,
      `${prefix}id in (${someId(random)}, ${someId(random)})`,
      `${prefix}id between ${someId(random)} and ${someId(random)}`,
    ])
  }
  const column = random.pick(columns.filter(({ kind }) => kinds[kind].equatable))
  if (!column.notNull && random.chance(0.15)) return `${prefix}${column.name} is null`
  return `${prefix}${column.name} = ${literalOf(column.kind, random.pick(valuesOf(column)))}`
}
