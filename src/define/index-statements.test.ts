import { expect, test } from 'vitest'
import type { FoundIndex, IndexedTable } from './index-statements.ts'
import { indexStatements } from './index-statements.ts'

const table = (change: Partial<IndexedTable> = {}): IndexedTable => ({
  oid: 1,
  parent: null,
  schema: 'public',
  name: 'orders',
  kind: 'table',
  indexes: [],
  ...change,
})

const index = (change: Partial<FoundIndex> = {}): FoundIndex => ({
  oid: 10,
  schema: 'public',
  name: 'tidemark orders by a',
  valid: true,
  attachedTo: null,
  beingMade: false,
  ...change,
})

const sqlOf = (...tables: readonly IndexedTable[]): readonly string[] =>
  indexStatements(tables, ['a']).map(({ sql }) => sql)

const create = 'create index concurrently "tidemark orders by a" on "public"."orders" (a)'

test('a table that has none gets one, concurrently', () => {
  expect(indexStatements([table()], ['a'])).toEqual([{ sql: create, concurrently: true }])
})

test('nothing is done where a valid one is, whatever it is called', () => {
  expect(sqlOf(table({ indexes: [index({ name: 'mine' })] }))).toEqual([])
})

test('an invalid one of our name is dropped first, one of somebody else is let be', () => {
  expect(sqlOf(table({ indexes: [index({ valid: false })] }))).toEqual([
    'drop index concurrently "public"."tidemark orders by a"',
    create,
  ])
  expect(sqlOf(table({ indexes: [index({ name: 'mine', valid: false })] }))).toEqual([create])
})

test('a name is cut to 63 bytes, and another definition has another name', () => {
  const names = ['a', 'b'].map((end) => {
    const [statement] = indexStatements([table()], [`${'x'.repeat(80)}${end}`])
    return /"([^"]*)"/.exec(statement?.sql ?? '')?.[1] ?? ''
  })
  expect(names.map((name) => Buffer.byteLength(name))).toEqual([63, 63])
  expect(new Set(names).size).toBe(2)
})

test('an index of a partitioned table waits for those of its parts, and goes on where it was broken off', () => {
  const parent = table({ kind: 'partitioned', indexes: [index({ valid: false })] })
  const done = table({
    oid: 2,
    parent: 1,
    name: 'done',
    indexes: [index({ oid: 11, attachedTo: 10 })],
  })
  const open = table({ oid: 3, parent: 1, name: 'open' })
  expect(indexStatements([parent, done, open], ['a'])).toEqual([
    {
      sql: 'create index concurrently "tidemark open by a" on "public"."open" (a)',
      concurrently: true,
    },
    {
      sql: 'alter index "public"."tidemark orders by a" attach partition "public"."tidemark open by a"',
      concurrently: false,
    },
  ])
})

test('an index that is a part of another one is not taken', () => {
  const parent = table({ kind: 'partitioned' })
  const part = table({ oid: 2, parent: 1, name: 'part', indexes: [index({ attachedTo: 99 })] })
  expect(sqlOf(parent, part)).toEqual([
    'create index "tidemark orders by a" on only "public"."orders" (a)',
    'create index concurrently "tidemark part by a" on "public"."part" (a)',
    'alter index "public"."tidemark orders by a" attach partition "public"."tidemark part by a"',
  ])
})
