import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { verifyView } from '../../src/engine/verify.ts'
import { relationName } from '../../src/model/ids.ts'
import type { Queryable, Session } from '../../src/postgres/connection.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { long, seed, seeded } from '../support/random.ts'
import { spawnEngine } from '../support/spawn-engine.ts'
import { casesOf } from '../support/shares.ts'

const seconds = long ? 600 : casesOf(6)
const writers = 6
/** Rows of a table that are written to; a writer may find one there or not. */
const keys = 400
const tables = ['customers', 'orders', 'lines'] as const
const views = ['by_region', 'by_customer', 'latest'] as const
/** Transactions that share a bucket of a log. */
const bucketXids = 16_384
/** What the writes of one round of the buckets come to at most, and some. */
const logBytesMax = 64 * 1024 * 1024

let db: TestDatabase

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table customers (id int primary key, region text, note text);
    create table orders (id int primary key, customer_id int, status text, placed_at timestamptz default now());
    create table lines (id int primary key, order_id int, amount numeric(10,2));
    create index on orders (customer_id);
    create index on lines (order_id);
    insert into customers select g, 'r' || g % 7 from generate_series(1, ${String(keys)}) g;
    insert into orders select g, 1 + g % 50, 'open' from generate_series(1, ${String(keys)}) g;
    insert into lines select g, 1 + g % 90, g from generate_series(1, ${String(keys)}) g;
    analyze`)
  await applyConfiguration(
    db.database,
    configured({
      views: {
        'public.by_region': {
          sql: `select c.region, count(*) as n, sum(l.amount) as total
            from lines l join orders o on o.id = l.order_id join customers c on c.id = o.customer_id group by c.region`,
          target: '1m',
          policy: 'eager',
          maintain: 'incremental',
        },
        'public.by_customer': {
          sql: `select c.id, c.note, count(distinct o.status) as states, max(o.id) as last_order
            from customers c left join orders o on o.customer_id = c.id and o.status <> 'gone' group by c.id, c.note`,
          target: '2s',
          maintain: 'incremental',
        },
        'public.latest': {
          sql: `select order_id, id, amount, row_number() over (partition by order_id order by amount desc, id) as place from lines`,
          target: '3s',
          maintain: 'incremental',
          verify: 'sample',
        },
      },
    }),
  )
})
afterAll(() => db.drop())

type Table = (typeof tables)[number]

const statements: Readonly<Record<Table, readonly string[]>> = {
  customers: [
    `insert into customers values ($1, 'r' || $2::int % 7) on conflict (id) do update set region = excluded.region`,
    `update customers set note = 'n' || $2::int where id = $1`,
    `delete from customers where id = $1 and $2::int % 3 = 0`,
  ],
  orders: [
    `insert into orders values ($1, $2::int % 50, 'open') on conflict (id) do update set customer_id = excluded.customer_id`,
    `update orders set status = (array['open', 'paid', 'gone'])[1 + $2::int % 3] where id = $1`,
    `delete from orders where id = $1 and $2::int % 3 = 0`,
  ],
  lines: [
    `insert into lines values ($1, $2::int % 90, $2) on conflict (id) do update set amount = excluded.amount`,
    `update lines set order_id = $2::int % 90 where id = $1`,
    `delete from lines where id = $1 and $2::int % 3 = 0`,
  ],
}

/** A transaction over some rows of some tables, in an order that lets no two writers wait for each other in a circle. */
async function writeOnce(session: Session, rng: () => number): Promise<void> {
  const below = (bound: number): number => Math.floor(rng() * bound)
  const places = Array.from({ length: 1 + below(5) }, () => ({
    table: below(tables.length),
    id: 1 + below(keys),
  })).toSorted((one, other) => one.table - other.table || one.id - other.id)
  const rolledBack = new Error('rolled back')
  await session
    .transaction(async (transaction) => {
      for (const { table, id } of places) {
        const choices = statements[tables[table] ?? 'lines']
        await transaction.query(choices[below(choices.length)] ?? '', [id, below(10_000)])
      }
      if (below(20) === 0) throw rolledBack
    })
    .catch((error: unknown) => {
      if (error !== rolledBack) throw error
    })
}

interface Beside {
  readonly signal: AbortSignal
  readonly body: (session: Session, turn: number) => Promise<unknown>
}

/** Does something again and again on a session of its own, until the signal fires. */
async function again({ signal, body }: Beside): Promise<number> {
  const session = await db.session()
  let turn = 0
  for (; !signal.aborted; turn += 1) await body(session, turn)
  return turn
}

const logBytes = async (queryable: Queryable): Promise<number> => {
  const [row] = await queryable.query<{ bytes: number }>(
    `select sum(pg_relation_size(to_regclass(l)))::float8 as bytes
     from tidemark.source s, unnest(tidemark.log_tables(s.name)) l`,
  )
  return row?.bytes ?? -1
}

test(`law: ${String(seconds)} s of writers, refreshes, vacuum and cleaner end in no deadlock, in bounded logs, and in views that are right`, async () => {
  const engine = await spawnEngine(db.url, 'mixed')
  onTestFinished(() => engine.kill())
  const signal = AbortSignal.timeout(seconds * 1_000)
  let largest = 0
  const [written] = await Promise.all([
    Promise.all(
      Array.from({ length: writers }, (_, nth) => {
        const rng = seeded(seed + nth)
        return again({ signal, body: (session) => writeOnce(session, rng) })
      }),
    ),
    again({
      signal,
      body: (session, turn) =>
        session
          .query(`call tidemark.run('public.${views[turn % 3] ?? ''}', 'event', 'mixed')`)
          // Why it failed is in the run log, and asked for below.
          .catch((error: unknown) => {
            if (!String(error).includes('TIDEMARK_REFRESH_FAILED')) throw error
          }),
    }),
    again({
      signal,
      body: (session, turn) => session.query(`vacuum analyze ${tables[turn % 3] ?? ''}`),
    }),
    again({
      signal,
      body: async (session) => {
        await session.query('call tidemark.clean()')
        largest = Math.max(largest, await logBytes(session))
      },
    }),
    // Uses up transaction ids, so that the buckets have their turns as in hours.
    again({
      signal,
      body: (session) =>
        session.query(
          `do $$ begin for i in 1 .. 500 loop perform pg_current_xact_id(); commit; end loop; end $$`,
        ),
    }),
  ])
  expect(await engine.stop()).toBe(0)

  expect(Math.min(...written)).toBeGreaterThan(seconds)
  const [deadlocks] = await db.sql(
    `select (select count(*)::int from tidemark.run where error_code = '40P01') as of_refreshes, deadlocks::int as all
     from pg_stat_database where datname = current_database()`,
  )
  expect(deadlocks).toEqual({ of_refreshes: 0, all: 0 })
  const failed = await db.sql(
    `select view, error_code, error from tidemark.run
     where status in ('failed', 'lost') and error_code not in ('40001', '55P03')`,
  )
  expect(failed).toEqual([])
  expect(
    await db.sql(`select view, mismatches from tidemark.view_state where mismatches > 0`),
  ).toEqual([])

  for (const view of views) {
    await db.sql(`call tidemark.run('public.${view}')`)
    const { outcome } = await verifyView(db.database, relationName('public', view))
    expect(outcome, view).toBe('equal')
  }
  expect(largest).toBeLessThan(logBytesMax)
  // What every view reflects is emptied to the last row: of the bucket that is written now when another has its turn, and of
  // one that is being vacuumed, which the cleaner does not wait for, the next time.
  const left = async (): Promise<number> => {
    await db.sql('call tidemark.clean()')
    await db.sql(
      `do $$ begin for i in 1 .. ${String(bucketXids)} loop perform pg_current_xact_id(); commit; end loop; end $$`,
    )
    return logBytes(db.database)
  }
  await expect.poll(left, { timeout: 120_000 }).toBe(0)
}, 1_200_000)
