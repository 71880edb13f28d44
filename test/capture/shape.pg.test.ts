import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSourceShapes } from '../../src/capture/shape.ts'
import { relationName } from '../../src/model/ids.ts'
import { serverVersion } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { shapeOf } from './captured.ts'

let db: TestDatabase

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(
    `create schema shop; create domain shop.amount as numeric(8, 2); create domain shop.price as shop.amount;
     create type shop.mood as enum ('a');
     create table shop.plain (gone int, id int not null, price shop.price, mood shop.mood[], d int generated always as (id + 1) stored);
     alter table shop.plain drop column gone;
     create table shop.parted (id int) partition by range (id);
     create table shop.parted_b partition of shop.parted for values from (10) to (20) partition by range (id);
     create table shop.parted_a partition of shop.parted for values from (0) to (10);
     create table shop.parted_b1 partition of shop.parted_b for values from (10) to (15);
     create table shop.parent (id int); create table shop.child () inherits (shop.parent);
     create view shop.view as select 1 as a; create materialized view shop.matview as select 1 as a;
     create unlogged table shop.unlogged (id int); create sequence shop.sequence; create index index on shop.plain (id);
     create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
     create foreign table shop.foreign (id int) server nowhere;
     create table shop.mixed (id int) partition by range (id);
     create foreign table shop.mixed_1 partition of shop.mixed for values from (0) to (1) server nowhere`,
  )
})
afterAll(() => db.drop())

const shape = (name: string): ReturnType<typeof shapeOf> =>
  shapeOf(db.database, relationName('shop', name))

describe('the shape of a source', () => {
  test('has the columns that are there, with types that DDL understands under any search_path', async () => {
    const { columns, kind, members, child, subscribed, owner } = await shape('plain')
    expect(columns).toEqual([
      { name: 'id', attnum: 2, type: 'integer', baseType: 'integer', collation: null, notNull: true, bytesMax: 8, generatedVirtual: false, generatedFrom: [] },
      { name: 'price', attnum: 3, type: 'shop.price', baseType: 'numeric(8,2)', collation: null, notNull: false, bytesMax: 24, generatedVirtual: false, generatedFrom: [] },
      { name: 'mood', attnum: 4, type: 'shop.mood[]', baseType: 'shop.mood[]', collation: null, notNull: false, bytesMax: 24, generatedVirtual: false, generatedFrom: [] },
      { name: 'd', attnum: 5, type: 'integer', baseType: 'integer', collation: null, notNull: false, bytesMax: 8, generatedVirtual: false, generatedFrom: [] },
    ]) // prettier-ignore
    expect({ kind, members, child, subscribed, owner }).toEqual({
      kind: 'plain',
      members: [],
      child: false,
      subscribed: false,
      owner: 'postgres',
    })
  })

  test('has every table below it, and knows whether there is one above', async () => {
    const parted = await shape('parted')
    expect(parted.kind).toBe('partitioned')
    expect(parted.members).toEqual(['shop.parted_a', 'shop.parted_b', 'shop.parted_b1'])
    expect(parted.child).toBe(false)
    expect((await shape('parted_b')).child).toBe(true)
    expect((await shape('parent')).kind).toBe('inherited')
    expect((await shape('child')).child).toBe(true)
  })

  test('is the same whether it is asked for alone or with others', async () => {
    const names = ['parted_b', 'plain', 'child', 'parted', 'parent', 'parted_a', 'mixed', 'view']
    const relations = names.map((name) => relationName('shop', name))
    const { shapes, refused } = await db.database.transaction((transaction) =>
      readSourceShapes(transaction, relations),
    )
    for (const name of shapes.keys()) {
      expect(shapes.get(name)).toEqual(await shapeOf(db.database, name))
    }
    expect([shapes.size, [...refused.keys()]]).toEqual([6, ['shop.mixed', 'shop.view']])
  })

  test.each([
    ['nothing', 'TIDEMARK_RELATION_UNKNOWN'],
    ['Plain', 'TIDEMARK_RELATION_UNKNOWN'],
    ['view', 'TIDEMARK_RELATION_UNSUPPORTED'],
    ['matview', 'TIDEMARK_RELATION_UNSUPPORTED'],
    ['unlogged', 'TIDEMARK_RELATION_UNSUPPORTED'],
    ['foreign', 'TIDEMARK_RELATION_UNSUPPORTED'],
    ['mixed', 'TIDEMARK_RELATION_UNSUPPORTED'],
    ['sequence', 'TIDEMARK_RELATION_UNSUPPORTED'],
    ['index', 'TIDEMARK_RELATION_UNSUPPORTED'],
  ])('of shop.%s is refused with %s', async (name, code) => {
    await expect(shape(name)).rejects.toMatchObject({ code })
  })

  test.each([
    ['pg_catalog', 'pg_class'],
    ['tidemark', 'view'],
    ['information_schema', 'tables'],
  ])('of %s.%s is refused: it belongs to the system', async (schema, name) => {
    await expect(shapeOf(db.database, relationName(schema, name))).rejects.toMatchObject({
      code: 'TIDEMARK_RELATION_UNSUPPORTED',
    })
  })

  test('knows what a column that is generated on reading is computed from', async (context) => {
    if ((await serverVersion(db.database)) < 180_000) context.skip()
    await db.sql(
      'create table shop.virtual (a int, b int, c int generated always as (b + a) virtual)',
    )
    const { columns } = await shape('virtual')
    expect(columns[2]).toMatchObject({ generatedVirtual: true, generatedFrom: ['a', 'b'] })
  })
})
