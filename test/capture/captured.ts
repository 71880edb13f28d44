import type { CaptureProgram, CaptureWish, SourceShape } from '../../src/model/capture.ts'
import type { RelationName } from '../../src/model/ids.ts'

import { pairWeight } from '../../src/model/capture.ts'
import { beforeName, captureNames } from '../../src/model/names.ts'
import { captureProgram } from '../../src/capture/program.ts'
import { readSourceShape } from '../../src/capture/shape.ts'
import type { Database, Queryable } from '../../src/postgres/connection.ts'
import { identifier, qualified, qualifiedName } from '../../src/postgres/identifier.ts'

export type Mode = CaptureWish['mode']

export interface CaptureOptions {
  readonly mode: Mode
  /** All columns unless given. */
  readonly columns?: readonly string[]
  readonly events?: CaptureWish['events']
  /** Row triggers, as a subscriber has them, on a table that would do with statement triggers. */
  readonly firing?: 'statement' | 'row'
}

export const shapeOf = (database: Database, relation: RelationName): Promise<SourceShape> =>
  database.transaction((transaction) => readSourceShape(transaction, relation))

export async function install(database: Database, program: CaptureProgram): Promise<void> {
  await database.transaction(async (transaction) => {
    for (const statement of program.install) await transaction.query(statement)
  })
}

export async function uninstall(database: Database, program: CaptureProgram): Promise<void> {
  await database.transaction(async (transaction) => {
    for (const statement of program.uninstall) await transaction.query(statement)
  })
}

/** Reads the shape of a table, and captures it. */
export async function capture(
  database: Database,
  relation: RelationName,
  options: CaptureOptions,
): Promise<CaptureProgram> {
  const shape = await shapeOf(database, relation)
  const program = captureProgram({
    shape: options.firing === 'row' ? { ...shape, subscribed: true } : shape,
    mode: options.mode,
    columns: options.columns ?? shape.columns.map(({ name }) => name),
    events: options.events ?? [],
    wakes: false,
    cached: false,
  })
  await install(database, program)
  return program
}

/** The three tables of a change log as one, for FROM. */
export function logOf(source: RelationName): string {
  const logs = ([0, 1, 2] as const).map(
    (bucket) => `select * from ${qualified('tidemark', captureNames.log(source, bucket))}`,
  )
  return `(${logs.join(' union all ')})`
}

/** A bag of rows as their texts: how often each is there; never zero. */
export type Bag = ReadonlyMap<string, number>

export async function bagOf(
  queryable: Queryable,
  relation: RelationName,
  columns: readonly string[],
): Promise<Bag> {
  const row = `row(${columns.map(identifier).join(', ')})::text`
  return toBag(
    await queryable.query<Weighted>(`select ${row} as row, 1 as w from ${qualifiedName(relation)}`),
  )
}

/** Rows of a log that `after` sees and `before` does not: by the rule that refreshes use. */
export function changesBetween(
  queryable: Queryable,
  source: RelationName,
  before: string,
): Promise<readonly { readonly xid: string; readonly w: number; readonly row: string }[]> {
  return queryable.query(
    `select xid, w, (to_jsonb(l) - 'xid' - 'w')::text as row
     from ${logOf(source)} l
     where xid >= pg_snapshot_xmax($1::pg_snapshot)
        or xid = any (array(select pg_snapshot_xip($1::pg_snapshot)))`,
    [before],
  )
}

/** Their sum, where updates are logged as pairs, with each image as the text of a row of `columns`; null if it was not described row by row. */
export async function sumOfChanges(
  queryable: Queryable,
  source: RelationName,
  columns: readonly string[],
  before: string,
): Promise<Bag | null> {
  const row = (names: readonly string[]): string => `row(${names.map(identifier).join(', ')})::text`
  const changes = await queryable.query<Weighted>(
    `select c.row, c.w from ${logOf(source)} l
     cross join lateral (
       select ${row(columns)} as row, least(l.w, 1) as w
       union all
       select ${row(columns.map(beforeName))}, -1 where l.w = ${String(pairWeight)}) c
     where xid >= pg_snapshot_xmax($1::pg_snapshot)
        or xid = any (array(select pg_snapshot_xip($1::pg_snapshot)))`,
    [before],
  )
  return changes.some(({ w }) => w === 0) ? null : toBag(changes)
}

export async function snapshotOf(queryable: Queryable): Promise<string> {
  const [row] = await queryable.query<{ snapshot: string }>(
    'select pg_current_snapshot()::text as snapshot',
  )
  return row?.snapshot ?? ''
}

interface Weighted {
  readonly row: string
  readonly w: number
}

function toBag(rows: readonly Weighted[]): Bag {
  const bag = new Map<string, number>()
  for (const { row, w } of rows) bag.set(row, (bag.get(row) ?? 0) + w)
  return withoutZeros(bag)
}

export function sum(...bags: readonly Bag[]): Bag {
  const total = new Map<string, number>()
  for (const bag of bags) for (const [row, w] of bag) total.set(row, (total.get(row) ?? 0) + w)
  return withoutZeros(total)
}

export const negated = (bag: Bag): Bag => new Map([...bag].map(([row, w]) => [row, -w]))

/** Sorted, so that two bags compare and print well. */
export const entries = (bag: Bag): readonly (readonly [string, number])[] =>
  [...bag].sort(([one], [other]) => (one < other ? -1 : 1))

function withoutZeros(bag: Map<string, number>): Bag {
  for (const [row, w] of bag) if (w === 0) bag.delete(row)
  return bag
}

export interface Outcome {
  /** Rows written to the log. */
  readonly logged: number
  /** Transactions that wrote to it. */
  readonly transactions: number
  /** What the table gained and lost in captured columns. */
  readonly difference: Bag
  /** What the log says that it gained and lost; null in mode `marks` and after TRUNCATE. */
  readonly described: Bag | null
}

/** Runs `action` and tells what became of the table and what the log says of it. */
export async function outcomeOf(
  database: Database,
  relation: RelationName,
  options: { readonly mode: Mode; readonly columns: readonly string[] },
  action: () => Promise<unknown>,
): Promise<Outcome> {
  const before = await snapshotOf(database)
  const bagBefore = await bagOf(database, relation, options.columns)
  await action()
  const changes = await changesBetween(database, relation, before)
  const described =
    options.mode === 'rows' ? await sumOfChanges(database, relation, options.columns, before) : null
  return {
    logged: changes.length,
    transactions: new Set(changes.map(({ xid }) => xid)).size,
    difference: sum(await bagOf(database, relation, options.columns), negated(bagBefore)),
    described,
  }
}
