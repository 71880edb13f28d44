/**
 * What does a refresh cost that computes afresh only the days in which something changed? Dashboards over two years of
 * orders, a table range-partitioned by month: a sum of floats and a user's function (for which no rule exists), a rank
 * within each day, a category tree by WITH RECURSIVE; each maintained by partition, and as a materialized view that is
 * refreshed CONCURRENTLY and plainly, in the same run.
 *
 *   npm run bench -- partition [--rows 1000000] [--repeats 7] [--full-repeats 3] [--json]
 *
 * Changed are the amounts of so many orders of the last day, of the last week, and of all days. After each measurement
 * of all three the view is compared with its twin.
 */
import { parseArgs } from 'node:util'
import type { Database } from '../src/postgres/connection.ts'
import { onBenchServer } from './measure/bench-server.ts'
import type { Compared, Row, Times } from './measure/compare.ts'
import {
  expectEqual,
  headLine,
  lineOf,
  makeTwins,
  methodsOf,
  noTimes,
  refreshConcurrently,
  refreshIncrementally,
  refreshPlain,
  rowOf,
} from './measure/compare.ts'
import { declared, maintainViews } from './measure/maintain-views.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    repeats: { type: 'string', default: '7' },
    'full-repeats': { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})

const rowCount = Number(values.rows)
const repeats = Number(values.repeats)
const fullRepeats = Number(values['full-repeats'])

const days = 730
const lastDay = `timestamptz '2025-12-31 00:00+00'`

const views: readonly Compared[] = [
  {
    name: 'daily_revenue',
    key: ['day', 'region'],
    sql: `select date_trunc('day', created_at) as day, region, count(*) as n, sum(net(amount)) as revenue
      from orders group by 1, 2`,
  },
  {
    name: 'ranked_in_day',
    key: ['id'],
    sql: `select created_at::date as day, id, amount, net(amount) as net,
        rank() over (partition by created_at::date order by amount desc, id) as place
      from orders`,
  },
  {
    name: 'by_main_category',
    key: ['day', 'main'],
    sql: `with recursive tree (id, main) as (
        select id, id from categories where parent is null
        union all
        select c.id, t.main from categories c join tree t on t.id = c.parent)
      select date_trunc('day', o.created_at) as day, t.main, sum(o.amount) as total
      from orders o join tree t on t.id = o.category_id group by 1, 2`,
  },
]

const tell = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

/** Amounts are multiples of a quarter: sums of floats then come out alike in any order, and twins can be compared. */
async function prepare(database: Database): Promise<void> {
  const statements = [
    `set timezone = 'UTC'`,
    `create table categories (id int primary key, parent int)`,
    `insert into categories select g, case when g > 5 then 1 + g % 5 end from generate_series(1, 100) g`,
    `create function net(double precision) returns double precision language sql stable as 'select $1 * 0.75'`,
    `create table orders (id bigint not null, created_at timestamptz not null, region int not null, category_id int not null,
       amount double precision not null, primary key (id, created_at)) partition by range (created_at)`,
    `do $$ begin
       for m in 0..24 loop
         execute format('create table orders_%s partition of orders for values from (%L) to (%L)', m,
           timestamptz '2024-01-01 00:00+00' + m * interval '1 month', timestamptz '2024-01-01 00:00+00' + (m + 1) * interval '1 month');
       end loop;
     end $$`,
    `insert into orders
       select g, timestamptz '2024-01-02 00:00+00' + g * (interval '${days} days' / ${rowCount + 1}), g % 8, 1 + g % 100, g % 4000 / 4.0
       from generate_series(1::bigint, ${rowCount}) g`,
    `create index on orders (created_at)`,
  ]
  for (const statement of statements) await database.query(statement)
  await makeTwins(database, views)
  await maintainViews(database, declared(views, { maintain: 'partition', reads: [] }))
  tell(`loaded and applied ${rowCount} rows`)
}

/** Which orders are changed, and how many. */
interface Change {
  readonly what: string
  readonly changed: number
  /** Since when they were made. */
  readonly since: string
}

const changes: readonly Change[] = [
  { what: 'of one day', changed: 1, since: lastDay },
  { what: 'of one day', changed: 1000, since: lastDay },
  { what: 'of one week', changed: 1000, since: `${lastDay} - interval '6 days'` },
  { what: 'of all days', changed: 1000, since: `'-infinity'` },
]

const change = (database: Database, { changed, since }: Change, salt: number): Promise<unknown> =>
  database.query(
    `update orders set amount = amount + 0.25
     where (id, created_at) in (
       select id, created_at from orders where created_at >= ${since} order by hashint8extended(id, ${salt}) limit ${changed})`,
  )

async function measure(database: Database, what: Change, salt: number): Promise<readonly Row[]> {
  const times = new Map<string, Times>(views.map(({ name }) => [name, noTimes()]))
  for (let repeat = 0; repeat < Math.max(repeats, fullRepeats); repeat += 1) {
    await change(database, what, salt + repeat)
    for (const view of views) {
      const of = times.get(view.name) ?? noTimes()
      of.incremental.push(await refreshIncrementally(database, view))
      if (repeat >= fullRepeats) continue
      of.concurrently.push(await refreshConcurrently(database, view))
      of.plain.push(await refreshPlain(database, view))
      await expectEqual(database, view)
    }
    await database.query('call tidemark.clean()')
  }
  const rows = views.map(({ name }) =>
    rowOf(`${name}, ${what.what}`, what.changed, times.get(name) ?? noTimes()),
  )
  for (const row of rows) tell(lineOf(row))
  return rows
}

await onBenchServer(async (database) => {
  await prepare(database)
  const rows: Row[] = []
  for (const [index, what] of changes.entries())
    rows.push(...(await measure(database, what, index * 1000)))
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ rows })}\n`)
    return
  }
  process.stdout.write(`${rowCount} orders of ${days} days\n${headLine}\n`)
  for (const row of rows) process.stdout.write(`${lineOf(row)}\n`)
  for (const { name } of views)
    process.stdout.write(`${name}: ${await methodsOf(database, name)}\n`)
})
