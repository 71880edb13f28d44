import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import type { Queries } from './kept-up.ts'
import { expectKeptUp, installIncremental } from './kept-up.ts'

let db: TestDatabase

const queries: Queries = {
  parents_alone: `select id, label from only parts`,
  beside_the_tree: `select p.id, count(o.id) as n from parts p left join only parts o on o.label = p.label group by p.id`,
  of_low: `select id, note from low`,
  lows_counted: `select count(*) as n from low`,
  low_and_high: `select l.note, h.second from low l join high as h (first, second) on h.first = l.note`,
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table parts (id int, label text);
    create table special (grade int) inherits (parts);
    insert into parts select g, 'p' || g % 3 from generate_series(1, 9) g;
    insert into special select g, 'p' || g % 3, 1 from generate_series(5, 14) g;
    create table events (id int, note text) partition by range (id);
    create table low partition of events for values from (minvalue) to (100);
    create table high (note text, id int);
    alter table events attach partition high default;
    insert into events select g * 20, 'n' || g % 4 from generate_series(1, 20) g`)
  await installIncremental(db, queries)
})
afterAll(() => db.drop())

test('a table of a tree is kept up by itself, whichever of them a statement names', async () => {
  await expectKeptUp(db, queries, [
    `update parts set label = 'p0' where id = 6`,
    `insert into special values (20, 'p1', 2)`,
    `update only parts set id = id + 100 where id < 4`,
    `insert into events values (7, 'n1'), (700, 'n1')`,
    `update events set id = id + 100 where id in (20, 40)`,
    `update low set note = 'n2' where id = 60`,
    `delete from high where id > 300`,
    `delete from high`,
    `insert into low select g, 'n3' from generate_series(1, 5) g`,
  ])
})

test('law 6: a view over a partition that is detached is unknown, and so is one over what is attached in its place', async () => {
  const state = async (view: string): Promise<unknown> =>
    (await db.sql(`select state from tidemark.freshness where view = 'public.${view}'`))[0]?.[
      'state'
    ]
  expect(await state('of_low')).toBe('fresh')
  await db.sql(`alter table events detach partition low; insert into low values (50, 'alone')`)
  expect(await state('of_low')).toBe('unknown')
  // Capture of the root goes on without it, and what is written to it now nobody captures.
  await db.sql(`select tidemark.follow('public.events')`)
  await db.sql(`call tidemark.run('public.of_low')`)
  expect(await state('of_low')).toBe('unknown')
  await db.sql(
    `insert into low values (51, 'alone'); alter table events attach partition low for values from (minvalue) to (100)`,
  )
  expect(await state('of_low')).toBe('unknown')
})
