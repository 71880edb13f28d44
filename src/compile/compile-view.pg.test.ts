import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.ts'
import { createTestDatabase } from '../../test/support/database.ts'
import { canonicalise } from '../define/canonicalise.ts'
import type { RelationName } from '../model/ids.ts'
import { relationName } from '../model/ids.ts'
import { viewNames } from '../model/names.ts'
import type { CompiledView } from '../model/view.ts'
import type { Queryable, Session } from '../postgres/connection.ts'
import { identifier, literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import { compileView } from './compile-view.ts'

/** The columns of every type there is a trap in, and values to draw from; NULL is added to each. */
const zoo: Readonly<Record<string, { readonly type: string; readonly values: readonly string[] }>> =
  {
    flag: { type: 'boolean', values: ['t', 'f'] },
    small: { type: 'smallint', values: ['-1', '0', '1'] },
    amount: { type: 'numeric', values: ['1', '1.0', '1.00', '0', 'NaN', '-3.5', '1e20'] },
    price: { type: 'numeric(12,2)', values: ['1', '1.5', '0'] },
    wide: { type: 'double precision', values: ['0', '-0', 'NaN', 'Infinity', '0.1', '1e-300'] },
    short: { type: 'real', values: ['0', '-0', 'NaN', '0.1'] },
    word: { type: 'text', values: ['', 'a', 'A', 'ñ', 'a,b"c', 'NULL', '\\'] },
    code: { type: 'varchar(5)', values: ['', 'a', 'a '] },
    padded: { type: 'char(4)', values: ['', 'a', 'a  b'] },
    folded: { type: 'citext', values: ['a', 'A', 'B'] },
    day: { type: 'date', values: ['2026-01-01', '0001-01-01 BC', 'infinity'] },
    local: { type: 'timestamp(3)', values: ['2026-01-01 10:00', '2026-03-29 02:30'] },
    instant: {
      type: 'timestamptz',
      values: ['2026-01-01 10:00+02', '2026-01-01 08:00Z', '-infinity'],
    },
    span: { type: 'interval', values: ['1 day', '24 hours', '1 mon', '30 days'] },
    id_of: {
      type: 'uuid',
      values: ['00000000-0000-0000-0000-000000000000', 'ffffffff-0000-0000-0000-000000000000'],
    },
    doc: { type: 'json', values: ['{"a": 1}', '{"a":1}', 'null', '[1, 1.0]'] },
    docb: { type: 'jsonb', values: ['{"a": 1}', '{"a": 1.0}', 'null', '[]'] },
    spot: { type: 'point', values: ['(0,0)', '(-0,0)', '(1,2)'] },
    area: { type: 'box', values: ['(0,0),(1,1)', '(0,0),(2,0.5)'] },
    numbers: { type: 'int[]', values: ['{}', '{1,2}', '{1,NULL}', '[0:1]={1,2}'] },
    words: { type: 'text[]', values: ['{}', '{a}', '{A,NULL}'] },
    couple: { type: 'public.couple', values: ['(1,a)', '(1,)', '(,)'] },
    positive: { type: 'public.positive', values: ['1', '2'] },
    mood: { type: 'public.mood', values: ['glad', 'sad'] },
    bytes: { type: 'bytea', values: ['\\x', '\\x00ff'] },
    host: { type: 'inet', values: ['10.0.0.1', '10.0.0.1/8'] },
    reach: { type: 'int4range', values: ['[1,5)', 'empty', '(,)'] },
    lexemes: { type: 'tsvector', values: ['a b', "'a':1"] },
    bits: { type: 'bit(3)', values: ['101', '000'] },
  }
const zooColumns = Object.keys(zoo)
const withoutEquality = ['doc', 'spot', 'area']

let db: TestDatabase
let session: Session

beforeAll(async () => {
  db = await createTestDatabase()
  session = await db.session()
  await db.sql(`
    create schema tidemark_state;
    create extension citext;
    create type couple as (a int, b text);
    create domain positive as int check (value > 0);
    create type mood as enum ('sad', 'glad')`)
})
afterAll(() => db.drop())
beforeEach(() =>
  db.sql(`
    drop table if exists zoo cascade;
    create table zoo (id int primary key, ${zooColumns.map((name) => `${name} ${zoo[name]?.type ?? ''}`).join(', ')})`),
)

interface Given {
  readonly name?: string
  readonly sql: string
  readonly key?: readonly string[]
  readonly uniqueBesidesKey?: boolean
}

interface Counts {
  readonly rows_total: number
  readonly rows_inserted: number | null
  readonly rows_updated: number | null
  readonly rows_deleted: number | null
  readonly differing: number | null
}

interface Maintained {
  readonly compiled: CompiledView
  readonly state: string
  readonly refresh: (on?: Queryable) => Promise<Counts>
}

/** Compiles a view and creates what a plan would: its state table and its function. */
async function maintained(given: Given): Promise<Maintained> {
  const name = relationName('public', given.name ?? 'dashboard')
  const compiled = await compiledOf(name, given, 'view')
  const state = qualified('tidemark_state', viewNames.state(name))
  const columns = compiled.query.columns.map((each) => `${identifier(each.name)} ${each.type}`)
  await db.sql(`drop table if exists ${state}; create table ${state} (${columns.join(', ')})`)
  await db.sql(compiled.maintainSql)
  return { compiled, state, refresh: (on = session) => refresh(on, name) }
}

async function compiledOf(
  name: RelationName,
  given: Given,
  as: 'view' | 'matview',
): Promise<CompiledView> {
  const query = await db.database.transaction((transaction) =>
    canonicalise(transaction, { name, sql: given.sql }, []),
  )
  const live = qualified('tidemark_state', viewNames.fallback(name))
  await db.sql(`drop view if exists ${live} cascade; create view ${live} as ${query.sql}`)
  return compileView({
    declaration: {
      name,
      as,
      key: given.key ?? null,
      maintain: 'auto',
      definition: { kind: 'sql', sql: given.sql },
    },
    query,
    timeZone: 'America/Mexico_City',
    uniqueBesidesKey: given.uniqueBesidesKey ?? false,
    incremental: [],
  })
}

/** As a refresh does it: one REPEATABLE READ transaction. */
async function refresh(on: Queryable, name: RelationName): Promise<Counts> {
  await on.query('begin isolation level repeatable read')
  try {
    const [counts] = await on.query<Counts>(
      `select ${Object.keys(nothingWritten).join(', ')}, rows_total
       from ${qualified('tidemark_state', viewNames.maintain(name))}(true, null)`,
    )
    await on.query('commit')
    if (counts === undefined) throw new Error('no counts')
    return counts
  } catch (error) {
    await on.query('rollback')
    throw error
  }
}

/** The rows of a relation or query as texts, sorted: equal for equal bags. */
async function bag(relation: string): Promise<readonly string[]> {
  const rows = await db.sql<{ image: string }>(
    `select row(bag.*)::text as image from ${relation} as bag order by row(bag.*)::text collate "C"`,
  )
  return rows.map(({ image }) => image)
}

/** What each stored row is and by whom it was written. */
const versions = (state: string): Promise<unknown> =>
  db.sql(`select ctid::text, xmin::text from ${state} order by ctid`)

/** A change of the table zoo, as SQL. */
const change = (): fc.Arbitrary<string> => {
  const value = (name: string): fc.Arbitrary<string> =>
    fc.constantFrom('null', ...(zoo[name]?.values ?? []).map(literal))
  const row = fc.tuple(...zooColumns.map(value)).map((values) => values.join(', '))
  const ids = fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 })
  const insert = fc
    .tuple(ids, row)
    .map(
      ([some, values]) =>
        `insert into zoo select i, ${values} from unnest(array[${some.join()}]) i on conflict do nothing`,
    )
  const update = fc
    .tuple(ids, fc.constantFrom(...zooColumns))
    .chain(([some, name]) =>
      value(name).map((to) => `update zoo set ${name} = ${to} where id in (${some.join()})`),
    )
  const remove = ids.map((some) => `delete from zoo where id in (${some.join()})`)
  const rename = ids.map((some) => `update zoo set id = id + 100 where id in (${some.join()})`)
  return fc.oneof(
    { weight: 5, arbitrary: insert },
    { weight: 4, arbitrary: update },
    { weight: 2, arbitrary: remove },
    { weight: 1, arbitrary: rename },
    { weight: 1, arbitrary: fc.constant('delete from zoo') },
  )
}

/** Applies random changes; after each the state equals the query and a second refresh writes nothing. */
async function staysExact(given: Given, runs: number): Promise<void> {
  const view = await maintained(given)
  await fc.assert(
    fc.asyncProperty(fc.array(change(), { minLength: 1, maxLength: 4 }), async (changes) => {
      for (const sql of changes) await db.sql(sql).catch(ignoreDuplicate)
      const before = await bag(view.state)
      const counts = await view.refresh()
      const after = await bag(view.state)
      expect(after).toEqual(await bag(`(${given.sql})`))
      expect(counts.differing).toBe(0)
      expect(counts.rows_total).toBe(after.length)
      expect(Number(counts.rows_inserted) - Number(counts.rows_deleted)).toBe(
        after.length - before.length,
      )
      const written = await versions(view.state)
      expect(await view.refresh()).toEqual({ ...nothingWritten, rows_total: after.length })
      expect(await versions(view.state)).toEqual(written)
    }),
    { numRuns: runs, seed: 20261122, endOnFailure: true },
  )
}

const nothingWritten = { rows_inserted: 0, rows_updated: 0, rows_deleted: 0, differing: 0 }

/** Moving an id to where one is already. */
function ignoreDuplicate(error: unknown): void {
  if (!(error instanceof Error) || !/zoo_pkey/.test(error.message)) throw error
}

describe('after every random change the stored rows are the query as a bag, image by image', () => {
  test('for whole rows of every type, duplicates among them', async () => {
    await staysExact({ sql: `select ${zooColumns.join(', ')} from zoo` }, 40)
  })

  test('for few columns, where most rows have a twin', async () => {
    await staysExact({ sql: 'select amount, doc, flag from zoo' }, 40)
  })

  test('for rows of every type with a declared key', async () => {
    await staysExact({ sql: 'select * from zoo', key: ['id'] }, 40)
  })

  test('with unique indexes besides the key', async () => {
    const sql = 'select id, word, row_number() over (order by word, id) as place from zoo'
    const view = { sql, key: ['id'], uniqueBesidesKey: true }
    const { state } = await maintained(view)
    await db.sql(`create unique index on ${state} (place)`)
    await staysExact(view, 40)
  })

  test.each(zooColumns.filter((name) => !withoutEquality.includes(name)))(
    'for groups by %s, NULL among them',
    async (name) => {
      await staysExact({ sql: `select ${name}, count(*), max(id) from zoo group by ${name}` }, 8)
    },
  )

  test('for groups by several columns and for distinct rows', async () => {
    await staysExact({ sql: 'select word, amount, mood, sum(id) from zoo group by 1, 2, 3' }, 20)
    await staysExact({ sql: 'select distinct folded, wide, numbers from zoo' }, 20)
  })

  test('for a single row', async () => {
    await staysExact({ sql: 'select count(*), sum(id) from zoo' }, 10)
  })
})

const numbers =
  'insert into zoo (id, word, small) select i, i::text, i % 3 from generate_series(1, 100) i'

test('only rows that differ are written', async () => {
  await db.sql(numbers)
  const view = await maintained({ sql: 'select id, word, amount from zoo', key: ['id'] })
  expect(await view.refresh()).toEqual({ ...nothingWritten, rows_total: 100, rows_inserted: 100 })
  const before = await versions(view.state)
  await db.sql(`update zoo set word = 'x' where id <= 3; delete from zoo where id = 50;
    insert into zoo (id) values (1001), (1002); update zoo set flag = true`)
  expect(await view.refresh()).toEqual({
    rows_total: 101,
    rows_inserted: 2,
    rows_updated: 3,
    rows_deleted: 1,
    differing: 0,
  })
  const after = await versions(view.state)
  const kept = (after as unknown[]).filter((row) =>
    (before as unknown[]).some((other) => JSON.stringify(other) === JSON.stringify(row)),
  )
  expect(kept).toHaveLength(96)
})

test('a change that SQL equality does not see is written', async () => {
  await db.sql(`insert into zoo (id, amount, wide, folded) values (1, 1.0, 0, 'a')`)
  const view = await maintained({ sql: 'select id, amount, wide, folded from zoo', key: ['id'] })
  await view.refresh()
  await db.sql(`update zoo set amount = 1.00`)
  expect(await view.refresh()).toMatchObject({ rows_updated: 1 })
  await db.sql(`update zoo set wide = '-0'`)
  expect(await view.refresh()).toMatchObject({ rows_updated: 1 })
  await db.sql(`update zoo set folded = 'A'`)
  expect(await view.refresh()).toMatchObject({ rows_updated: 1 })
})

test('the verification counts what a hand has changed, each side by itself', async () => {
  await db.sql(numbers)
  const view = await maintained({ sql: 'select id, word from zoo', key: ['id'] })
  await view.refresh()
  const [, verify] = /execute \$verify\$([^]*)\$verify\$/.exec(view.compiled.maintainSql) ?? []
  await db.sql(
    `update ${view.state} set word = 'wrong' where id = 1; delete from ${view.state} where id = 2`,
  )
  expect(await db.sql(verify ?? '')).toEqual([{ coalesce: 3 }])
})

describe('a key', () => {
  test('that is not unique is refused, and nothing is stored', async () => {
    await db.sql(numbers)
    const view = await maintained({ sql: 'select id, word, small from zoo', key: ['small'] })
    await expect(view.refresh()).rejects.toThrow(
      /key \(small\) of public.dashboard is not unique.*TIDEMARK_KEY_NOT_UNIQUE.*leave it out/s,
    )
    expect(await bag(view.state)).toEqual([])
  })

  test('that stops being unique is refused, and what is stored stays', async () => {
    await db.sql(numbers)
    const view = await maintained({ sql: 'select word, id from zoo', key: ['word'] })
    await view.refresh()
    const before = await versions(view.state)
    await db.sql(`update zoo set word = '1' where id = 2`)
    await expect(view.refresh()).rejects.toThrow(/TIDEMARK_KEY_NOT_UNIQUE/)
    await db.sql(`update zoo set word = null where id in (2, 3)`)
    await expect(view.refresh()).rejects.toThrow(/TIDEMARK_KEY_NOT_UNIQUE/)
    await db.sql(`insert into zoo (id, word) values (500, '1')`)
    await expect(view.refresh()).rejects.toThrow(/TIDEMARK_KEY_NOT_UNIQUE/)
    expect(await versions(view.state)).toEqual(before)
    await db.sql(`delete from zoo where id in (3, 500)`)
    expect(await view.refresh()).toMatchObject({ differing: 0, rows_deleted: 2, rows_inserted: 1 })
  })

  test('that an index upholds is refused by name too, before the index says so', async () => {
    await db.sql(numbers)
    const view = await maintained({ sql: 'select word, id from zoo', key: ['word'] })
    await db.sql(`create unique index on ${view.state} (word)`)
    await view.refresh()
    await db.sql(`insert into zoo (id, word) values (500, 'x'), (501, 'x')`)
    await expect(view.refresh()).rejects.toThrow(/TIDEMARK_KEY_NOT_UNIQUE/)
  })

  test('that what is stored breaches, from an earlier declaration, is mended', async () => {
    await db.sql(numbers)
    const view = await maintained({ sql: 'select word, id from zoo', key: ['word'] })
    await db.sql(`insert into ${view.state} values ('1', 1), ('1', 2), ('1', 3)`)
    expect(await view.refresh()).toMatchObject({ rows_total: 100, differing: 0 })
    expect(await view.refresh()).toEqual({ ...nothingWritten, rows_total: 100 })
  })

  test.each([
    [['nothing'], /names nothing, which is no column of its result.*Its columns are id, doc/s],
    [['idd'], /Did you mean id\?/],
    [['doc'], /type json has no equality/],
    [[], /names no column/],
  ])('%j is refused when the view is compiled', async (key, message) => {
    const name = relationName('public', 'dashboard')
    await expect(compiledOf(name, { sql: 'select id, doc from zoo', key }, 'view')).rejects.toThrow(
      message,
    )
  })
})

test('values may change places under a unique index', async () => {
  await db.sql(`insert into zoo (id, word) values (1, 'a'), (2, 'b'), (3, 'c')`)
  const view = await maintained({
    sql: 'select id, word from zoo',
    key: ['id'],
    uniqueBesidesKey: true,
  })
  await db.sql(`create unique index on ${view.state} (word)`)
  await view.refresh()
  await db.sql(`update zoo set word = case id when 1 then 'b' when 2 then 'a' else word end`)
  expect(await view.refresh()).toEqual({ ...nothingWritten, rows_total: 3, rows_updated: 2 })
})

test('a value may move to a row whose own becomes free with it, and on to one that is new', async () => {
  await db.sql(`insert into zoo (id, word) select i, 'w' || i from generate_series(1, 500) i`)
  const view = await maintained({
    sql: 'select id, word from zoo',
    key: ['id'],
    uniqueBesidesKey: true,
  })
  await db.sql(`create unique index on ${view.state} (word)`)
  await view.refresh()
  // Every word goes to the next row, the last to a row that is inserted; the first row is deleted.
  await db.sql(`update zoo set word = 'w' || id - 1; delete from zoo where id = 1;
    insert into zoo (id, word) values (501, 'w500')`)
  expect(await view.refresh()).toEqual({
    ...nothingWritten,
    rows_total: 500,
    rows_inserted: 1,
    rows_updated: 499,
    rows_deleted: 1,
  })
})

test('a key whose image changes does not meet itself in a unique index', async () => {
  await db.sql(`insert into zoo (id, folded) values (1, 'a'), (2, 'B')`)
  const view = await maintained({ sql: 'select folded, count(*) from zoo group by 1' })
  await db.sql(`create unique index on ${view.state} (folded)`)
  await view.refresh()
  await db.sql(`update zoo set folded = 'A' where id = 1`)
  expect(await view.refresh()).toEqual({ ...nothingWritten, rows_total: 2, rows_updated: 1 })
})

test('readers wait for nothing and see what was there before, until the commit', async () => {
  await db.sql(numbers)
  const view = await maintained({ sql: 'select id, word from zoo', key: ['id'] })
  await view.refresh()
  await db.sql(`update zoo set word = 'new'`)
  const writer = await db.session()
  await writer.query('begin isolation level repeatable read')
  await writer.query(
    `select * from ${qualified('tidemark_state', viewNames.maintain(view.compiled.name))}(true, null)`,
  )
  const read = `set lock_timeout = '100ms'; select count(*)::int as new from ${view.state} where word = 'new'`
  expect(await session.query(read)).toEqual([{ new: 0 }])
  await writer.query('commit')
  expect(await session.query(read)).toEqual([{ new: 100 }])
})

test('the settings of whoever refreshes do not change the result', async () => {
  await db.sql(`insert into zoo (id, instant, wide, span, bytes)
    values (1, '2026-07-01 10:00Z', 0.1::float8 + 0.2, '1 day 02:00', '\\x41')`)
  const view = await maintained({
    sql: 'select id, instant::text as at, instant::date as day, wide::text as w, span::text as s, bytes::text as b from zoo',
    key: ['id'],
  })
  await view.refresh()
  const other = await db.session()
  await other.query(`set timezone = 'Pacific/Auckland'; set datestyle = 'German';
    set extra_float_digits = -5; set intervalstyle = 'iso_8601'; set bytea_output = 'escape';
    set search_path = ''`)
  expect(await view.refresh(other)).toEqual({ ...nothingWritten, rows_total: 1 })
  expect(await bag(view.state)).toEqual([
    `(1,"2026-07-01 04:00:00-06",2026-07-01,0.30000000000000004,"1 day 02:00:00","\\\\x41")`,
  ])
})

test('the word that opens the guard is taken back', async () => {
  const view = await maintained({ sql: 'select id from zoo', key: ['id'] })
  await session.query('begin isolation level repeatable read')
  await session.query(
    `select * from ${qualified('tidemark_state', viewNames.maintain(view.compiled.name))}(false, null)`,
  )
  const [left] = await session.query(`select current_setting('tidemark.refreshing', true) as word`)
  await session.query('commit')
  expect(left).toEqual({ word: '' })
})

test('names may be any: key words, quotes, those that the function uses itself', async () => {
  const names = [
    'order',
    'place',
    'is_new',
    'hash',
    'ordinal',
    'fresh',
    'verify',
    'rows_total',
    'Día "x"',
    '$diff$',
  ]
  const sql = `select ${names.map((each, i) => `${i === 0 ? 'id' : `word || ${literal('$diff$ $maintain$')}`} as ${identifier(each)}`).join(', ')} from zoo`
  await db.sql(numbers)
  for (const key of [undefined, ['order', 'place']]) {
    const view = await maintained({ name: `o'dd "name" $verify$`, sql, ...(key && { key }) })
    expect(await view.refresh()).toEqual({ ...nothingWritten, rows_total: 100, rows_inserted: 100 })
    expect(await view.refresh()).toEqual({ ...nothingWritten, rows_total: 100 })
  }
})

test('the function is for nobody but its owner', async () => {
  await maintained({ sql: 'select id from zoo', key: ['id'] })
  const [row] = await db.sql(
    `select has_function_privilege('pg_monitor', 'tidemark_state."maintain public.dashboard"(boolean, pg_snapshot, timestamptz)', 'execute') as may`,
  )
  expect(row).toEqual({ may: false })
})

test('a query that calls a volatile function is not checked against itself', async () => {
  const view = await maintained({ sql: 'select random() as r' })
  expect(await view.refresh()).toMatchObject({ rows_total: 1, differing: null })
  expect(view.compiled.reasons.join()).toMatch(/volatile/)
})

describe('a materialized view as it stands', () => {
  const name = relationName('public', 'old')

  const matview = async (sql: string): Promise<CompiledView> => {
    await db.sql(`drop materialized view if exists old;
      create materialized view old as ${sql} with no data`)
    const compiled = await compiledOf(name, { sql }, 'matview')
    await db.sql(compiled.maintainSql)
    return compiled
  }

  /** Refreshes while somebody reads: only a concurrent refresh gets through. */
  const refreshBeside = async (): Promise<Counts> => {
    const reader = await db.session()
    await reader.query('begin; select from old')
    try {
      return await refresh(session, name)
    } finally {
      await reader.query('rollback')
      await reader.close()
    }
  }

  beforeEach(async () => {
    await db.sql(numbers)
    await session.query(`set lock_timeout = '200ms'`)
  })

  test('is populated plainly, then refreshed concurrently when an index allows it', async () => {
    const compiled = await matview('select id, word from zoo')
    expect(compiled.method).toBe('refresh')
    await db.sql('create unique index on old (id)')
    const counts = { rows_inserted: null, rows_updated: null, rows_deleted: null, differing: 0 }
    expect(await refresh(session, name)).toEqual({ ...counts, rows_total: 100 })
    await db.sql(`delete from zoo where id > 90`)
    expect(await refreshBeside()).toEqual({ ...counts, rows_total: 90 })
  })

  test.each([
    'create index on old (id)',
    'create unique index on old (id) where id > 0',
    'create unique index on old ((id + 0))',
  ])('is refreshed plainly when its index does not allow better: %s', async (index) => {
    await matview('select id, word from zoo')
    await db.sql(index)
    await refresh(session, name)
    await expect(refreshBeside()).rejects.toMatchObject({ code: 'TIDEMARK_LOCK_TIMEOUT' })
    expect(await refresh(session, name)).toMatchObject({ rows_total: 100, differing: 0 })
  })

  test('is read under the snapshot of the transaction that refreshes', async () => {
    await matview('select id, word from zoo')
    await session.query('begin isolation level repeatable read; select 1')
    await db.sql('delete from zoo')
    const [counts] = await session.query<Counts>(
      'select * from tidemark_state."maintain public.old"(true, null)',
    )
    await session.query('commit')
    expect(counts).toMatchObject({ rows_total: 100, differing: 0 })
    expect(await bag(qualifiedName(name))).toHaveLength(100)
  })
})

test('the reasons say why the strategy is what it is, with places in what was written', async () => {
  const { reasons } = await compiledOf(
    relationName('public', 'dashboard'),
    { sql: 'select small,\n  count(*)\nfrom zoo\nwhere instant > now()\ngroup by 1' },
    'view',
  )
  expect(reasons).toEqual([
    'moves with time: calls now at 4:17',
    'rows are paired by small: the query returns each once',
  ])
})
