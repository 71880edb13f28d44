import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'

let db: TestDatabase

/** Views by name; those that read others after them. */
type Queries = Readonly<Record<string, string>>

const chain: Queries = {
  totals: `select customer_id, count(*) as n, sum(total) as total from orders group by customer_id`,
  named: `select c.name, t.n, t.total from totals t join customers c on c.id = t.customer_id where t.n > 1`,
  names: `select name, count(*) as customers, max(total) as most from named group by name`,
  // A diamond: both of its inputs come from totals.
  shares: `select n.name, t.customer_id, t.total from names n join totals t on t.total = n.most`,
  ranked: `select name, rank() over (order by customers desc) as place from names`,
  missing: `select c.id from customers c where not exists (select from totals t where t.customer_id = c.id)`,
  twice: `select a.customer_id as a, b.customer_id as b from totals a join totals b on a.n = b.n and a.customer_id < b.customer_id`,
  // Through an ordinary view, and with a table beside.
  by_way: `select o.id, b.total from big b left join orders o on o.customer_id = b.customer_id`,
  recursive: `with recursive r (n) as (select min(n) from totals union select t.n from r join totals t on t.n = r.n + 1) select n from r`,
}

const config = (queries: Queries, more: Record<string, object> = {}): TidemarkConfig => ({
  views: Object.fromEntries(
    Object.entries(queries).map(([name, sql]) => [
      `public.${name}`,
      {
        sql,
        maintain: 'incremental' as const,
        target: '1m',
        verify: 'full' as const,
        ...more[name],
      },
    ]),
  ),
})

/** Twice where a query reads a view by other columns than it has yet: it is understood by what is there. */
async function put(wanted: TidemarkConfig): Promise<void> {
  for (const attempt of ['first', 'again', 'settled']) {
    const plan = await planConfiguration(db.database, configured(wanted))
    const steps = plan.steps.filter(({ kind }) => kind !== 'warn')
    if (attempt === 'settled') expect(steps.map(({ detail }) => detail)).toEqual([])
    if (steps.length === 0) return
    const done = await apply(db.database, plan, { allowDestructive: true })
    expect(done.filter(({ outcome }) => outcome !== 'completed')).toEqual([])
  }
}

/** How the last refresh of a view was done; rows in which it differed from its query. */
async function lastRun(name: string): Promise<{ method: string; differing: number | null }> {
  const [run] = await db.sql<{ method: string; differing: number | null }>(
    `select method, differing from tidemark.run
     where view = 'public.${name}' and status = 'completed' order by run_id desc limit 1`,
  )
  return run ?? { method: 'none', differing: null }
}

async function differing(name: string, sql: string): Promise<number> {
  const [found] = await db.sql<{ n: number }>(
    `select count(*)::int as n from (
       (select x::text from (${sql}) x except all select x::text from public.${name} x)
       union all (select x::text from public.${name} x except all select x::text from (${sql}) x)) d`,
  )
  return found?.n ?? -1
}

async function expectSame(queries: Queries): Promise<void> {
  const wrong: Record<string, number> = {}
  for (const [name, sql] of Object.entries(queries)) {
    const n = await differing(name, sql)
    if (n > 0) wrong[name] = n
  }
  expect(wrong).toEqual({})
}

const methods = async (queries: Queries): Promise<Record<string, string>> =>
  Object.fromEntries(
    await Promise.all(
      Object.keys(queries).map(async (name) => [name, (await lastRun(name)).method] as const),
    ),
  )

const refresh = (name: string): Promise<unknown> => db.sql(`call tidemark.run('public.${name}')`)

const all = (queries: Queries, method: string): Record<string, string> =>
  Object.fromEntries(Object.keys(queries).map((name) => [name, method]))

const published = async (name: string): Promise<number> => {
  const [row] = await db.sql<{ n: number }>(
    `select count(*)::int as n from tidemark_state."changes of public.${name}"`,
  )
  return row?.n ?? -1
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table customers (id int primary key, name text);
    create table orders (id int primary key, customer_id int, total numeric(10,2));
  `)
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.sql(`
    truncate customers, orders;
    insert into customers select g, 'name ' || g % 7 from generate_series(1, 30) g;
    insert into orders select g, nullif(g % 25, 0), g % 40 from generate_series(1, 300) g`)
})

const writes = [
  `insert into orders values (1000, 3, 99.5)`,
  `update orders set total = total + 1 where id % 10 = 0`,
  `delete from orders where customer_id = 4`,
  `update orders set customer_id = 4 where id % 17 = 0`,
  `insert into customers values (100, null), (101, 'new')`,
  `update customers set name = 'name 1' where id = 7`,
  `insert into orders values (2000, null, null), (2001, 100, 7), (2002, 100, 7)`,
  `update orders set id = id`,
  `delete from orders`,
  `insert into orders values (1, 1, 1), (2, 1, 1)`,
]

describe('Views that read views', () => {
  test('follow from what changed in those, at every level, in one refresh', async () => {
    await put(
      config(Object.fromEntries(Object.entries(chain).filter(([name]) => name !== 'by_way'))),
    )
    await db.sql(`create view big as select customer_id, total from totals where n > 10`)
    await put(config(chain))
    for (const write of writes) {
      await db.sql(write)
      await refresh('totals')
      expect({ write, ...(await methods(chain)) }).toEqual({ write, ...all(chain, 'incremental') })
      await expectSame(chain)
    }
    // What every reader reflects goes with the next refresh.
    await refresh('totals')
    expect(await published('totals')).toBe(0)
    await db.sql('drop view big cascade').catch(() => [])
  })

  test('in groups of their own read what was published since, however often their input was refreshed', async () => {
    const queries = {
      totals: chain['totals'] ?? '',
      names: `select n, count(*) as customers from totals group by n`,
    }
    await put(config(queries, { totals: { group: 'one' }, names: { group: 'two' } }))
    // What the preparation has truncated.
    await refresh('totals')
    await refresh('names')
    for (const [at, write] of writes.entries()) {
      await db.sql(write)
      await refresh('totals')
      expect({ write, ...(await lastRun('totals')) }).toMatchObject({
        write,
        method: 'incremental',
      })
      if (at % 3 < 2) continue
      await refresh('names')
      expect(await methods(queries)).toEqual(all(queries, 'incremental'))
      await expectSame(queries)
    }
    await refresh('names')
    await expectSame(queries)
  })

  test('are computed in full when their input was, and from changes again after that', async () => {
    const queries = { totals: chain['totals'] ?? '', named: chain['named'] ?? '' }
    await put(config(queries, { totals: { group: 'one' }, named: { group: 'two' } }))
    await db.sql('truncate orders')
    await refresh('totals')
    await refresh('named')
    expect(await methods(queries)).toEqual(all(queries, 'diff'))
    await expectSame(queries)
    await db.sql('insert into orders values (1, 1, 1), (2, 1, 2), (3, 2, 2)')
    await refresh('totals')
    await refresh('named')
    expect(await methods(queries)).toEqual(all(queries, 'incremental'))
    await expectSame(queries)
    // Cut loose and built again, without a change of its rows.
    await db.sql(
      `update tidemark.view_state set let_go_reason = 'test' where view = 'public.totals'`,
    )
    await refresh('totals')
    await refresh('named')
    expect(await methods(queries)).toEqual(all(queries, 'diff'))
    await db.sql('delete from orders where id = 1')
    await refresh('totals')
    await db.sql(
      `update tidemark.view_state set let_go_reason = 'test' where view = 'public.named'`,
    )
    await refresh('named')
    expect(await methods(queries)).toEqual({ totals: 'incremental', named: 'diff' })
    await expectSame(queries)
  })

  test('see one state of their input while it is being refreshed', async () => {
    const queries = { totals: chain['totals'] ?? '', named: chain['named'] ?? '' }
    await put(config(queries, { totals: { group: 'one' }, named: { group: 'two' } }))
    for (let round = 0; round < 20; round += 1) {
      await db.sql(
        `update orders set customer_id = 1 + (id + ${String(round)}) % 30 where id % 5 = ${String(round % 5)}`,
      )
      await Promise.all([refresh('totals'), refresh('named')])
      expect((await lastRun('named')).differing).toBe(0)
    }
    await refresh('totals')
    await refresh('named')
    await expectSame(queries)
  })

  test('follow when the columns of their input change, when it is computed in full, and back', async () => {
    const before = { totals: chain['totals'] ?? '', named: chain['named'] ?? '' }
    await put(config(before))
    const wider = {
      totals: `select customer_id, min(id) as first, count(*)::numeric as n, sum(total) as total from orders group by customer_id`,
      named: before.named,
    }
    await put(config(wider))
    await db.sql('insert into orders values (1000, 3, 99.5)')
    await refresh('totals')
    expect(await methods(wider)).toEqual(all(wider, 'incremental'))
    await expectSame(wider)
    await put(config(wider, { totals: { maintain: 'full' }, named: { maintain: 'auto' } }))
    const [row] = await db.sql<{ strategy: string }>(
      `select strategy from tidemark.view where name = 'public.named'`,
    )
    expect(row?.strategy).toBe('full')
    await db.sql('delete from orders where id = 1000')
    await refresh('totals')
    await expectSame(wider)
    await put(config(wider))
    await db.sql('insert into orders values (1000, 3, 99.5)')
    await refresh('totals')
    expect(await methods(wider)).toEqual(all(wider, 'incremental'))
    await expectSame(wider)
  })

  test('that no longer read it leave nothing behind', async () => {
    await put(config({ totals: chain['totals'] ?? '', named: chain['named'] ?? '' }))
    await put(config({ totals: chain['totals'] ?? '' }))
    const left = await db.sql(
      `select relname from pg_class where relname like 'changes of %' or relname like '%public.named%'`,
    )
    expect(left).toEqual([])
  })

  test('read one that is computed in full: said by name', async () => {
    const queries = { totals: chain['totals'] ?? '', named: chain['named'] ?? '' }
    await expect(
      planConfiguration(db.database, configured(config(queries, { totals: { maintain: 'full' } }))),
    ).rejects.toThrow('it reads public.totals, which is computed in full')
  })
})
