import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import type { Shell } from './run.ts'
import { jsonOf, openShell } from './run.ts'

let db: TestDatabase
let shell: Shell

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table customers (id int primary key, name text, region text);
    create table orders (id int primary key, customer_id int, status text, total numeric(10, 2), placed_at timestamptz);
    create function asked(int) returns int language sql stable as 'select $1';
    insert into orders select g, g % 1000, 'a', g, now() from generate_series(1, 20000) g;
    analyze;`)
  shell = await openShell(db.url)
  await shell.write(
    'tidemark.config.ts',
    `import { defineConfig } from 'tidemark'
     export default defineConfig({
       views: {
         sales: { sql: 'select c.region, sum(o.total) as total\\nfrom orders o join customers c on c.id = o.customer_id\\ngroup by c.region' },
         wild: { sql: 'select id,\\n  random() as r\\nfrom orders' },
         deep: { sql: 'with recursive t as (select id, customer_id from orders where id = 1 union select o.id, o.customer_id from orders o join t on t.id = o.customer_id)\\nselect id from t' },
         plain: { sql: 'select count(*) as n from orders', maintain: 'full' },
       },
     })`,
  )
})
afterAll(async () => {
  await shell.remove()
  await db.drop()
})

const objects = (): Promise<unknown> =>
  db.sql(`select relname from pg_class where relnamespace in ('public'::regnamespace) order by 1`)

interface Told {
  readonly name: string | null
  readonly place: string | null
  readonly strategy: string | null
  readonly reasons: readonly { readonly reason: string; readonly place: string | null }[]
  readonly indexes: readonly { readonly sql: string; readonly rows: number }[]
  readonly error: { readonly code: string; readonly place: string } | null
}

const explainedFile = async (
  text: string,
): Promise<{ status: number; queries: readonly Told[] }> => {
  await shell.write('views.sql', text)
  const ran = await shell.run(['explain', '--file', 'views.sql', '--json'])
  return { status: ran.status, queries: (jsonOf(ran) as { queries: Told[] }).queries }
}

describe('a view of the configuration', () => {
  test('has a strategy, stages and indexes', async () => {
    const { status, out } = await shell.run(['explain', 'sales'])
    expect(status).toBe(0)
    expect(out).toMatch(/^view sales {2}incremental\n {2}every part of the query has a rule\n/)
    expect(out).toContain('create index concurrently on public.orders (customer_id);')
    expect(out).toMatch(/\n {2}1 {2}aggregate\n/)
  })

  test('is computed in full for a reason that has a place in what was written', async () => {
    const told = jsonOf(await shell.run(['explain', 'wild', '--json']))
    expect(told).toMatchObject({
      strategy: 'full',
      reasons: [{ reason: 'it calls a volatile function', place: '2:3' }],
    })
  })

  test('is computed in full because it was declared so', async () => {
    expect((await shell.run(['explain', 'plain'])).out).toContain('declared so')
  })

  test.each([
    ['parsed', /SELECT c\.region[^]*\nSelectStmt /],
    ['bound', /^project .*\n {2}aggregate by /],
    ['relation', /^stage 1, public\.sales\n {2}stores /],
    ['delta', /Δorders ⋈ customers \+ orders ⋈ Δcustomers − Δorders ⋈ Δcustomers/],
    ['sql', /create or replace function tidemark_state\."maintain public\.sales"/],
  ])('shows its step %s', async (stage, text) => {
    const { status, out } = await shell.run(['explain', 'sales', '--stage', stage])
    expect(status).toBe(0)
    expect(out).toMatch(text)
    const told = jsonOf(await shell.run(['explain', 'sales', '--stage', stage, '--json']))
    expect(told).toMatchObject({ stage, strategy: 'incremental' })
    expect(told['text']).toMatch(text)
  })

  test('leaves nothing in the database', async () => {
    const before = await objects()
    await shell.run(['explain', 'sales', '--stage', 'sql'])
    expect(await objects()).toEqual(before)
    expect(await db.sql(`select to_regnamespace('tidemark') as there`)).toEqual([{ there: null }])
  })
})

describe('a file', () => {
  test('is told statement by statement, the others passed over', async () => {
    const { status, queries } = await explainedFile(`-- views
create materialized view by_region as
select c.region, sum(o.total) as total from orders o join customers c on c.id = o.customer_id group by c.region;
insert into orders values (-1);
create view open_orders as select * from orders where status = 'open';
select count(*) from open_orders`)
    expect(status).toBe(0)
    expect(queries.map(({ name, place, strategy }) => [name, place, strategy])).toEqual([
      ['public.by_region', '2:1', 'incremental'],
      ['public.open_orders', '5:1', 'incremental'],
      [null, '6:1', 'incremental'],
    ])
    expect(queries[0]?.indexes[0]).toMatchObject({
      sql: 'create index concurrently on public.orders (customer_id)',
      rows: 20_000,
    })
  })

  test.each([
    [
      'a volatile function',
      'select id,\n  random() as r from orders',
      'it calls a volatile function',
      '2:3',
    ],
    [
      'a function that may read anything',
      'select asked(id) as a from orders',
      'it calls public.asked(integer), and what a function reads cannot be told',
      '1:8',
    ],
    [
      'a table of the system',
      'select relname from pg_class',
      'it reads pg_catalog.pg_class, which cannot be captured',
      '1:21',
    ],
    [
      'WITH RECURSIVE for a row of the query around it',
      'select 1 as one;\n\nselect o.id, (with recursive t as (select o.id as n union select n + 1 from t where n < 5) select max(n) from t) as m\nfrom orders o',
      'WITH RECURSIVE that refers to the query around it',
      '3:30',
    ],
    [
      'a value reckoned from now()',
      'select id, placed_at < now() as is_past, current_date as today,\n  now() - placed_at as age from orders',
      'a value is reckoned from now(), so that every row changes as time passes',
      '2:3',
    ],
    [
      'the clock by another name',
      'select id, statement_timestamp() as at from orders',
      'a value is reckoned from now(), so that every row changes as time passes',
      '1:12',
    ],
  ])('names %s and its place in the file', async (_, text, reason, place) => {
    const { queries } = await explainedFile(text)
    expect(queries.at(-1)).toMatchObject({ strategy: 'full', reasons: [{ reason, place }] })
  })

  test.each([
    [
      'WITH RECURSIVE',
      'select 1 as one;\nwith recursive t as (select id, customer_id from orders where id = 1 union select o.id, o.customer_id from orders o join t on t.id = o.customer_id) select id from t',
      '2:1',
    ],
    [
      'an aggregate over all rows',
      "select\n string_agg(status, ',' order by id) as a from orders",
      '2:2',
    ],
    [
      'a window over all rows',
      'select id, row_number() over (order by id) as n from orders',
      '1:12',
    ],
  ])('names %s, which is computed altogether, and its place', async (part, text, place) => {
    const { queries } = await explainedFile(text)
    const reason = `computed afresh altogether when something that it reads has changed: ${part}`
    expect(queries.at(-1)).toMatchObject({ strategy: 'incremental', reasons: [{ reason, place }] })
  })

  test('tells what PostgreSQL does not accept, with its place, and goes on', async () => {
    const { status, queries } = await explainedFile(
      'select id from orders;\nselect *\nfrom nowhere;\nselect 1 + id from orders',
    )
    expect(status).toBe(1)
    expect(queries.map(({ strategy }) => strategy)).toEqual(['incremental', null, 'incremental'])
    expect(queries[1]?.error).toMatchObject({ code: 'TIDEMARK_SQL_INVALID', place: '3:6' })
  })

  test('tells a statement that does not parse with its place, passes over lines of psql, and goes on', async () => {
    const { status, queries } = await explainedFile(
      `\\set x 1\n\\i other.sql\nselect id from orders;\n  selec 2;\nselect 1 + id from orders`,
    )
    expect(status).toBe(1)
    expect(queries.map(({ strategy, place }) => [strategy, place])).toEqual([
      ['incremental', '3:1'],
      [null, '4:3'],
      ['incremental', '5:1'],
    ])
    expect(queries[1]?.error).toMatchObject({ code: 'TIDEMARK_SQL_INVALID', place: '4:3' })
  })

  test('leaves nothing in the database', async () => {
    const before = await objects()
    await explainedFile(
      'create view v as select id from orders; create materialized view w as select id from v',
    )
    expect(await objects()).toEqual(before)
  })

  test('is told for people with a last line that counts', async () => {
    await shell.write(
      'views.sql',
      'select id from orders; select random() as r; create table x (a int)',
    )
    const { out } = await shell.run(['explain', '--file', 'views.sql'])
    expect(out).toMatch(/2 queries: 1 incremental, 1 in full, 1 other statement passed over\.\n$/)
  })
})

test.each([
  ['nothing', ['explain'], /needs the name of a view, or a file/],
  ['both', ['explain', 'sales', '--file', 'views.sql'], /are both given/],
  [
    'a stage of a file',
    ['explain', '--file', 'views.sql', '--stage', 'sql'],
    /--stage shows a step of a view/,
  ],
  [
    'a stage that is none',
    ['explain', 'sales', '--stage', 'detla'],
    /no stage detla[^]*mean delta\?/,
  ],
  ['a file that is not there', ['explain', '--file', 'nowhere.sql'], /nowhere\.sql cannot be read/],
  ['a view that is not declared', ['explain', 'slaes'], /slaes[^]*mean sales\?/],
] as const)('%s is refused with its mend', async (_, words, says) => {
  const { status, err } = await shell.run(words)
  expect(status).toBe(1)
  expect(err).toMatch(says)
})

test('the plan names the reason with its place, and warns of an index that a large table lacks', async () => {
  const { out } = await shell.run(['plan'], { width: () => 200 })
  expect(out).toContain('it calls a volatile function, at 2:3')
  expect(out.replaceAll(/\s+/g, ' ')).toContain(
    'computed afresh altogether when something that it reads has changed: WITH RECURSIVE, at 1:1',
  )
  expect(out.replaceAll(/\s+/g, ' ')).toContain(
    '! index public.orders (customer_id) would be looked up by refreshes of public.sales',
  )
  expect(out).not.toContain('index public.customers')
})
