import { afterAll, beforeAll, test } from 'vitest'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { Queries } from './kept-up.ts'
import { expectKeptUp, installIncremental } from './kept-up.ts'

let db: TestDatabase

/** Lines are grouped, numbered and limited by part, and only lamps are asked for. */
const queries: Queries = {
  below_average: `select l.id, p.name from part p join line l on l.part_id = p.id
    where p.kind = 'lamp' and l.quantity < (select 0.9 * avg(i.quantity) from line i where i.part_id = p.id)`,
  greatest: `select p.id, l.most, (select count(*) from line i where i.part_id = p.id) as n from part p
    join (select part_id, max(quantity) as most from line group by part_id) l on l.part_id = p.id where p.kind in ('lamp', 'none')`,
  none_of: `select p.id from part p where p.kind = 'lamp'
    and not exists (select from line l where l.part_id = p.id group by l.store_id having count(*) > 2)`,
  first_lines: `select p.id, l.id as line_id from part p
    cross join lateral (select id from line where part_id = p.id order by quantity desc, id limit 2) l where p.kind like 'l%'`,
  numbered: `select p.id, l.turn, l.id as line_id from part p
    left join (select part_id, id, rank() over (partition by part_id order by quantity) as turn from line) l on l.part_id = p.id
    where p.kind = 'lamp'`,
  by_two: `select s.part_id, s.store_id from stock s
    where s.part_id in (select id from part where kind = 'lamp')
      and s.amount > (select sum(quantity) from line l where l.part_id = s.part_id and l.store_id = s.store_id)`,
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table part (id int primary key, kind text, name text);
    create table stock (part_id int, store_id int, amount int, primary key (part_id, store_id));
    create table line (id int generated always as identity primary key, part_id bigint, store_id int, quantity numeric(10, 2));
    insert into part select g, case when g % 3 = 0 then 'lamp' when g % 3 = 1 then 'chair' end, 'p' || g from generate_series(1, 12) g;
    insert into stock select p, s, (p + s) % 7 from generate_series(1, 12) p, generate_series(1, 3) s;
    insert into line (part_id, store_id, quantity) select nullif(g % 13, 0), g % 4, (g * 7 % 11) from generate_series(1, 90) g`)
  await installIncremental(db, queries)
})
afterAll(() => db.drop())

const writes = [
  `update line set quantity = quantity + 3 where id % 5 = 0; insert into line (part_id) values (3), (4), (null), (99)`,
  `update part set kind = case id when 3 then 'chair' else 'lamp' end where id in (3, 4, 5)`,
  `insert into part values (99, 'lamp'); delete from part where id = 6; delete from line where part_id = 9`,
  `update part set kind = null where id = 5; update line set part_id = 12 where part_id in (3, 5)`,
  `update stock set amount = amount + 4, part_id = case part_id when 4 then 99 else part_id end where store_id = 1`,
  `delete from line where id % 2 = 0; update part set kind = case kind when 'lamp' then 'chair' else 'lamp' end`,
]

test('what is grouped, numbered or limited for the keys alone that are asked for follows from what changed', async () => {
  await expectKeptUp(db, queries, writes)
})
