import { afterAll, beforeAll, test } from 'vitest'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { Queries } from './kept-up.ts'
import { expectKeptUp, installIncremental } from './kept-up.ts'

let db: TestDatabase

const queries: Queries = {
  plain: `select id, total from orders where total > 20`,
  grouped: `select customer_id, count(*) as n, sum(total) as total from orders group by customer_id`,
  joined: `select o.id, c.name, o.total from orders o join customers c on c.id = o.customer_id`,
  by_name: `select c.name, sum(o.total) as total from customers c left join orders o on o.customer_id = c.id group by c.name having count(*) > 0`,
  missing: `select c.id from customers c where not exists (select from orders o where o.customer_id = c.id)`,
  ranked: `select id, customer_id, rank() over (partition by customer_id order by total desc) as place from orders`,
  best: `select id, total from orders order by total desc, id limit 5`,
  distincts: `select distinct status from orders`,
  scalar: `select c.id, (select max(o.total) from orders o where o.customer_id = c.id) as most from customers c`,
  unions: `select id from customers union select customer_id from orders`,
  excepted: `select id from customers except select customer_id from orders`,
  rolled: `select status, customer_id, count(*) as n from orders group by rollup (status, customer_id)`,
  staged: `with t as (select customer_id, sum(total) as total from orders group by customer_id) select total, count(*) as n from t group by total`,
  above: `select id from orders where total > (select avg(total) from orders)`,
  lateral_best: `select c.id, x.total from customers c left join lateral (select o.total from orders o where o.customer_id = c.id order by o.total desc limit 2) x on true`,
  lateral_but_best: `select c.id, x.total from customers c, lateral (select o.total from orders o where o.customer_id = c.id order by o.total desc limit 9223372036854775807 offset 1) x`,
  by_subquery: `select (select c.name from customers c where c.id = o.customer_id) as name, count(*) as n from orders o group by (select c.name from customers c where c.id = o.customer_id)`,
  on_subquery: `select o.id, c.name from orders o join customers c on c.id = o.customer_id and exists (select from orders x where x.customer_id = c.id and x.total > 30)`,
  left_on_subquery: `select o.id, c.name from orders o left join customers c on c.id = o.customer_id and c.id in (select x.customer_id from orders x where x.total > 35)`,
  under_or: `select id from orders o where total > 38 or exists (select from customers c where c.id = o.customer_id and c.name = 'name 1')`,
  not_in: `select id from customers where id not in (select customer_id from orders)`,
  tests: `select id, (not (total > 5)) is null as unknown, (total > 5 and status = 'a') is not true as other from orders`,
  fulls: `select c.id as c, o.id as o from customers c full join orders o on o.customer_id = c.id`,
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table customers (id int primary key, name text);
    create table orders (id int primary key, customer_id int, status text, total numeric(10,2));
    insert into customers select g, 'name ' || g % 7 from generate_series(1, 30) g;
    insert into orders select g, nullif(g % 25, 0), case g % 3 when 0 then null when 1 then 'a' else 'b' end, g % 40 from generate_series(1, 300) g;`)
  await installIncremental(db, queries)
})
afterAll(() => db.drop())

const writes = [
  `insert into orders values (1000, 3, 'c', 99.5)`,
  `update orders set total = total + 1 where id % 10 = 0`,
  `delete from orders where customer_id = 4`,
  `update orders set customer_id = 4 where id % 17 = 0`,
  `insert into customers values (100, null), (101, 'new')`,
  `delete from customers where id in (5, 6)`,
  `update customers set name = 'name 1' where id = 7`,
  `update orders set status = null where id % 7 = 0`,
  `insert into orders values (2000, null, null, null), (2001, 100, 'z', 7)`,
  `delete from orders`,
  `insert into orders values (1, 1, 'a', 1), (2, 1, 'a', 1)`,
]

test('views equal their queries after each write, from what changed alone', async () => {
  await expectKeptUp(db, queries, writes)
})
