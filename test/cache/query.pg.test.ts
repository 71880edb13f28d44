import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'

let db: TestDatabase
let cache: CacheManager

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create type status as enum ('OPEN', 'WON');
    create table quotes (id int primary key, tenant_id int, status status, title varchar(20), amount int);
    create table clients (id int primary key, tenant_id bigint, name text);
    create table expenses (tenant_id int, amount int);
    create view open_quotes as select q.*, c.name from quotes q left join clients c on c.id = q.id where q.status = 'OPEN';
    create function counted() returns bigint stable language sql as 'select count(*) from public.quotes';
  `)
  await planAndApply(db.database, {
    views: {
      revenue: { sql: 'select tenant_id, sum(amount) as total from quotes group by tenant_id' },
    },
    caches: {
      shop: {
        dependsOn: {
          quotes: [['tenant_id'], ['tenant_id', 'status'], ['id'], ['title']],
          clients: [['tenant_id'], []],
          revenue: ['tenant_id'],
        },
      },
    },
  })
})
afterAll(async () => {
  await db.drop()
})
beforeEach(async () => {
  await db.sql(`
    delete from quotes;
    delete from clients;
    insert into quotes values (1, 7, 'OPEN', 'a', 10), (2, 8, 'OPEN', 'b', 20), (3, 8, 'WON', 'c', 30);
    insert into clients values (1, 7, 'x'), (2, 8, 'y');
  `)
  cache = createCache({ namespace: 'shop', database: db.url, maxLag: 0 })
})
afterEach(async () => {
  await cache.close()
})

const dependsOn = async (sql: string): Promise<readonly string[]> =>
  (await cache.dependenciesOf(sql)).dependsOn

/** How each of two answers came about, when both are asked for again. */
async function statesOf(sql: string, first: unknown, second: unknown): Promise<readonly string[]> {
  const answers = await Promise.all([cache.query(sql, [first]), cache.query(sql, [second])])
  return answers.map(({ state }) => state)
}

test('an update of a row of tenant 7 leaves the results of tenant 8 alone, through a view as well', async () => {
  for (const table of ['quotes', 'open_quotes']) {
    const sql = `select sum(amount)::int as total from ${table} where tenant_id = $1`
    await statesOf(sql, 7, 8)
    await db.sql(`update quotes set amount = amount + 1 where tenant_id = 7`)
    expect(await statesOf(sql, 7, 8)).toEqual(['miss', 'hit'])
    await db.sql(`update quotes set tenant_id = 8 where id = 1`)
    expect(await statesOf(sql, 7, 8)).toEqual(['miss', 'miss'])
    await db.sql(`update quotes set tenant_id = 7 where id = 1`)
    expect((await cache.query(sql, [7])).value).toEqual(await db.sql(sql.replace('$1', '7')))
  }
})

describe('of each table the rows are found that the result is computed from', () => {
  const cases: readonly (readonly [sql: string, ...expected: string[]])[] = [
    ['select * from quotes where tenant_id = $1', 'public.quotes: rows where tenant_id = $1'],
    [
      'select * from quotes where tenant_id = 7 and amount > 3',
      'public.quotes: rows where tenant_id = 7',
    ],
    [
      'select * from quotes where id in (1, $1) or id = 5',
      'public.quotes: rows where id in (1, $1, 5)',
    ],
    ['select * from quotes where id = any($1)', 'public.quotes: rows where id = any ($1)'],
    [`select * from quotes where title = 'a'`, 'public.quotes: rows where title = a'],
    [
      `select * from quotes where tenant_id = $1 and status = 'OPEN'`,
      'public.quotes: rows where status = OPEN and tenant_id = $1',
    ],
    ['select * from quotes where tenant_id is null', 'public.quotes: rows where tenant_id = null'],
    [
      'select * from clients c join quotes q using (tenant_id) where q.id = $1',
      'public.clients: every change',
      'public.quotes: rows where id = $1',
    ],
    [
      'select * from clients c left join quotes q on q.id = c.id and q.tenant_id = $1',
      'public.clients: every change',
      'public.quotes: rows where tenant_id = $1',
    ],
    [
      'select * from clients c where exists (select from quotes q where q.id = c.id and q.tenant_id = $1)',
      'public.clients: every change',
      'public.quotes: rows where tenant_id = $1',
    ],
    [
      'select q.*, (select max(id) from quotes z where z.tenant_id = q.tenant_id) from quotes q where q.tenant_id = $1',
      'public.quotes: rows where tenant_id = $1',
    ],
    [
      'with q as (select * from quotes) select * from q where tenant_id = $1',
      'public.quotes: rows where tenant_id = $1',
    ],
    [
      'select * from (select tenant_id, count(*) from quotes group by 1 union all select 7, 0) s where tenant_id = $1',
      'public.quotes: rows where tenant_id = $1',
    ],
    [
      'select * from open_quotes where id = $1',
      'public.quotes: rows where id = $1',
      'public.clients: every change',
    ],
    ['select * from revenue where tenant_id = $1', 'public.revenue: rows where tenant_id = $1'],
  ]
  test.each(cases)('%s', async (sql, ...expected) => {
    expect(await dependsOn(sql)).toEqual(expected)
  })
})

test.each([
  ['select id from (select * from clients order by id limit 5) s where tenant_id = $1'],
  ['select * from (select *, count(*) over () from clients) s where tenant_id = $1'],
  ['select * from quotes q full join clients c on c.tenant_id = $1 and q.id = c.id where q.id = 1'],
  [
    'select * from quotes q left join clients c on c.id = q.id where q.id = 1 and c.tenant_id is null',
  ],
  [
    'select * from (select q.id, c.tenant_id from quotes q left join clients c on c.id = q.id where q.id = 1) s where s.tenant_id is null',
  ],
  ['select * from clients where tenant_id::numeric = $1'],
  ['select * from clients where not tenant_id = $1'],
  ['select * from clients where tenant_id = $1 or name = $2'],
  [
    'with recursive r as (select id, tenant_id from clients union select c.id, c.tenant_id from clients c join r on c.id = r.id + 1) select * from r where tenant_id = $1',
  ],
])('what cannot be narrowed depends on every change: %s', async (sql) => {
  expect(await dependsOn(sql)).toContain('public.clients: every change')
})

test('a maintained view as an input is heard of after its refresh, by its own rows', async () => {
  const sql = 'select total::int from revenue where tenant_id = $1'
  await db.sql(`call tidemark.run('revenue', 'manual', 'test')`)
  await statesOf(sql, 7, 8)
  await db.sql(`update quotes set amount = 100 where id = 1`)
  expect(await statesOf(sql, 7, 8)).toEqual(['hit', 'hit'])
  await db.sql(`call tidemark.run('revenue', 'manual', 'test')`)
  expect(await statesOf(sql, 7, 8)).toEqual(['miss', 'hit'])
  expect((await cache.query(sql, [7])).value).toEqual([{ total: 100 }])
})

test('a table that nobody tells of is named with the line to add', async () => {
  await expect(
    cache.query('select * from expenses where tenant_id = $1', [7]),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_BLIND',
    mend: expect.stringContaining(`'public.expenses': [['tenant_id']]`) as unknown,
  })
})

test('a value that may be printed otherwise is refused, where not every change is told', async () => {
  await cache.query('select * from clients where tenant_id = $1', ['07'])
  await expect(
    cache.query('select * from quotes where tenant_id = $1', ['07']),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_INVALID',
  })
})

test.each([
  ['select * from clients where tenant_id = $1', [], 'has 1 parameter, and 0 values came'],
  ['select * from clients where tenant_id = $1', [7, 8], 'has 1 parameter, and 2 values came'],
  [
    'select * from quotes where tenant_id = $1 and status = $2',
    [7],
    'has 2 parameters, and 1 value came',
  ],
  ['select * from clients', [7], 'has 0 parameters, and 1 value came'],
])('as many values as the query has parameters are asked for: %s %j', async (sql, values, what) => {
  const refused = { code: 'TIDEMARK_CACHE_INVALID', what: expect.stringContaining(what) as unknown }
  await expect(cache.query(sql, values)).rejects.toMatchObject(refused)
  // Known already what it means, no less.
  await expect(cache.query(sql, values)).rejects.toMatchObject(refused)
})

test.each([
  ['select nme from clients', 'nme', '1:8'],
  ['\nselect * from nowhere', 'nowhere', '2:15'],
  ['select * from clients where tenant_id = $2', '$1', undefined],
])('SQL that the server does not accept is refused in its words: %s', async (sql, word, place) => {
  await expect(cache.query(sql)).rejects.toMatchObject({
    code: 'TIDEMARK_SQL_INVALID',
    what: expect.stringContaining(word) as unknown,
    place,
  })
})

test.each([
  ['select random(), id from clients', 'random'],
  ['select * from clients tablesample system (10)', 'TABLESAMPLE'],
  ['select xmin from clients', 'xmin'],
  ['select relname from pg_class', 'pg_catalog.pg_class'],
  ['select counted()', 'counted'],
  [`select * from clients where name = 'today'`, 'today'],
  ['select now()', 'now()'],
])('a result that may change without a commit is refused: %s', async (sql, reason) => {
  await expect(cache.query(sql)).rejects.toMatchObject({
    code: 'TIDEMARK_CACHE_QUERY_REFUSED',
    what: expect.stringContaining(reason) as unknown,
  })
})

test('who asks a closed cache for rows, or has it remove something, is told so with a code', async () => {
  const sql = 'select * from clients where tenant_id = $1'
  await cache.query(sql, [7])
  await cache.close()
  const closed = {
    code: 'TIDEMARK_CACHE_INVALID',
    what: expect.stringContaining('The cache is closed') as unknown,
  }
  await expect(cache.query(sql, [8])).rejects.toMatchObject(closed)
  await expect(cache.dependenciesOf(`${sql} or true`)).rejects.toMatchObject(closed)
  await expect(cache.remove({ patterns: ['query:*'] })).rejects.toMatchObject(closed)
})

test('a query that asks the clock says how long it may be kept', async () => {
  const sql = 'select id, current_date as day from clients where tenant_id = $1'
  expect((await cache.query(sql, [7], { ttl: '1m' })).state).toBe('miss')
  expect((await cache.query(sql, [7], { ttl: '1m' })).state).toBe('hit')
  expect((await cache.dependenciesOf(sql)).notes.join()).toContain('current_date')
})

test('law: a view that is replaced is understood anew before a result of it is kept', async () => {
  const sql = 'select count(*)::int as n from open_quotes where tenant_id = $1'
  await cache.query(sql, [7])
  await db.sql(`create or replace view open_quotes as
    select q.*, c.name from quotes q join clients c on c.id = q.id`)
  await cache.remove({ patterns: ['query:*'] })
  await cache.query(sql, [7])
  await cache.query(sql, [7])
  expect((await cache.query(sql, [7])).state).toBe('hit')
  await db.sql(`delete from clients where id = 1`)
  expect((await cache.query(sql, [7])).value).toEqual([{ n: 0 }])
})
