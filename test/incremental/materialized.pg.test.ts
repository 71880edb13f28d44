import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { Queries } from './kept-up.ts'
import { expectKeptUp, installIncremental } from './kept-up.ts'

let db: TestDatabase

const queries: Queries = {
  totals_of_names: `select c.name, t.n, t.total from customers c left join totals t on t.customer_id = c.id`,
  twice_read: `select a.customer_id, sum(b.total) as total from totals a join totals b on b.n = a.n group by a.customer_id`,
  renamed: `select x.first from totals as x (first, second, third) where third > 20`,
  never_filled: `select count(*) as n from empty_totals`,
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table customers (id int primary key, name text);
    create table orders (id int primary key, customer_id int, total numeric(10,2));
    insert into customers select g, 'name ' || g % 7 from generate_series(1, 30) g;
    insert into orders select g, g % 25, g % 40 from generate_series(1, 300) g;
    create materialized view totals as select customer_id, count(*) as n, sum(total) as total from orders group by customer_id;
    create unique index on totals (customer_id);
    create materialized view empty_totals as select * from totals where false`)
  await installIncremental(db, queries)
})
afterAll(() => db.drop())

test('what a refresh of a materialized view changed, however it was done, is found and followed', async () => {
  await expectKeptUp(db, queries, [
    `refresh materialized view totals`,
    `update orders set total = total + 1 where id % 10 = 0; refresh materialized view totals`,
    `delete from orders where customer_id = 4; refresh materialized view concurrently totals`,
    `update customers set name = 'name 1' where id = 7`,
    `insert into orders values (1000, 4, 99.5), (1001, null, 3); refresh materialized view concurrently totals; update customers set name = 'x' where id = 4`,
    `delete from orders; refresh materialized view totals`,
  ])
})

test('nobody knows whether it has changed since, so a view over it is unknown, and says why', async () => {
  const rows = await db.sql<{ state: string; reason: string }>(
    `select state, reason from tidemark.freshness where view = 'public.renamed'`,
  )
  expect(rows).toEqual([
    {
      state: 'unknown',
      reason: 'seen_by_refreshes: what changes in public.totals is seen by refreshes alone',
    },
  ])
})
