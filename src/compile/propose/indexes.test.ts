import { expect, test } from 'vitest'
import type { RelationName } from '../../model/ids.ts'
import { relationName } from '../../model/ids.ts'
import type { LookupTable } from '../../model/index-proposal.ts'
import { integerTables } from '../../../test/support/integer-tables.ts'
import { bindQuery } from '../bind/query.ts'
import type { Recomputing } from './indexes.ts'
import { lookupsOf, proposedIndexes, lookupsInStages } from './indexes.ts'
import { parseQuery } from '../syntax/parse.ts'
import { stageIndexes } from './stage-indexes.ts'
import { stagesOf } from '../algebra/stages.ts'

const columns: Readonly<Record<string, readonly string[]>> = {
  orders: ['id', 'customer_id', 'product_id', 'status', 'total', 'placed_at'],
  returns: ['id', 'order_id', 'customer_id', 'reason'],
  customers: ['id', 'region', 'name'],
  'Odd Name': ['Some Column', 'b'],
}

const facts = integerTables(columns, ['count', 'sum', 'max', 'avg'])

const tableOf = (name: string, more: Partial<LookupTable> = {}): LookupTable => ({
  name: relationName('public', name),
  rows: 1_000_000,
  partitioned: false,
  indexed: ['id'],
  distinct: new Map(),
  ...more,
})

const proposed = async (
  sql: string,
  {
    recomputing = 'always',
    tables = [],
  }: { recomputing?: Recomputing; tables?: readonly LookupTable[] } = {},
): Promise<ReturnType<typeof proposedIndexes>> => {
  const { select } = await parseQuery(sql)
  const stages = stagesOf(bindQuery(select, facts), facts)
  const known = new Map<RelationName, LookupTable>(
    [...Object.keys(columns).map((name) => tableOf(name)), ...tables].map((table) => [
      table.name,
      table,
    ]),
  )
  return proposedIndexes(
    lookupsOf(stages, () => recomputing),
    known,
  )
}

const from = {
  o: 'public.orders o', r: 'public.returns r', c: 'public.customers c',
} // prettier-ignore

const cases: readonly (readonly [what: string, sql: string, indexes: readonly string[]])[] = [
  ['a plain projection', `select o.id from ${from.o} where o.total > 5`, []],
  ['both sides of a join', `select o.id, c.name from ${from.o} join ${from.c} on c.id = o.customer_id`, ['orders (customer_id)']],
  ['a comma and WHERE', `select o.id from ${from.o}, ${from.c} where c.id = o.customer_id and o.status = 'a'`, ['orders (customer_id)']],
  ['several conditions between two tables', `select o.id from ${from.o} join ${from.r} on r.customer_id = o.customer_id and r.reason = o.status`,
    ['orders (customer_id, status)', 'returns (customer_id, reason)']],
  ['an outer join', `select c.id, o.id from ${from.c} left join ${from.o} on o.customer_id = c.id`, ['orders (customer_id)']],
  ['NOT EXISTS', `select c.id from ${from.c} where not exists (select from ${from.o} where o.customer_id = c.id)`, ['orders (customer_id)']],
  ['NOT IN, where NULLs are let through', `select c.id from ${from.c} where c.id not in (select o.customer_id from ${from.o})`, ['orders (customer_id)']],
  ['an expression', `select o.id from ${from.o} join ${from.c} on lower(c.name) = lower(o.status)`, ['orders (lower(status))', 'customers (lower(name))']],
  ['another expression', `select o.id from ${from.o} join ${from.c} on c.id = o.customer_id + 1`, ['orders ((customer_id + 1))']],
  ['a range condition', `select o.id from ${from.o} join ${from.c} on c.id > o.customer_id`, []],
  ['the key of groups', `select o.customer_id, max(o.total) from ${from.o} group by o.customer_id`, ['orders (customer_id)']],
  ['a key that is an expression', `select date_trunc('day', o.placed_at), max(o.total) from ${from.o} group by date_trunc('day', o.placed_at)`,
    [`orders (date_trunc('day', placed_at))`]],
  ['a key of a joined table', `select c.region, max(o.total) from ${from.o} join ${from.c} on c.id = o.customer_id group by c.region`,
    ['orders (customer_id)', 'customers (region)']],
  ['a key of several columns', `select o.customer_id, o.status, max(o.total) from ${from.o} group by o.customer_id, o.status`, ['orders (customer_id, status)']],
  ['a partition of windows', `select o.id, count(*) over (partition by o.customer_id) as n from ${from.o}`, ['orders (customer_id)']],
  ['DISTINCT ON', `select distinct on (o.customer_id) o.customer_id, o.id from ${from.o} order by o.customer_id, o.id`, ['orders (customer_id)']],
  ['the order of a LIMIT', `select o.id from ${from.o} order by o.total desc, o.placed_at limit 10`, ['orders (total desc, placed_at)']],
  ['a correlated aggregate', `select c.id, (select max(o.total) from ${from.o} where o.customer_id = c.id) as most from ${from.c}`, ['orders (customer_id)']],
  ['each branch of a UNION', `select distinct u.k from (select o.customer_id as k from ${from.o} union all select r.customer_id from ${from.r}) u`,
    ['orders (customer_id)', 'returns (customer_id)']],
  ['EXCEPT', `select c.id from ${from.c} except select o.customer_id from ${from.o}`, ['orders (customer_id)']],
  ['a stage between', `select x.n, count(*) from (select o.customer_id, count(*) as n from ${from.o} group by o.customer_id) x group by x.n`, ['orders (customer_id)']],
  ['names that need quotes', `select count(*) from public."Odd Name" a join ${from.c} on c.id = a."Some Column"`, ['"Odd Name" ("Some Column")']],
] // prettier-ignore

test.each(cases)('%s is looked up by its columns', async (_, sql, indexes) => {
  const found = await proposed(sql)
  expect(found.map((each) => each.sql).sort()).toEqual(
    indexes.map((index) => `create index concurrently on public.${index}`).sort(),
  )
})

const joined = `select o.id, c.name from ${from.o} join ${from.c} on c.id = o.customer_id`

test('an index that begins with the column is enough', async () => {
  const tables = [tableOf('orders', { indexed: ['id', 'customer_id'] })]
  expect(await proposed(joined, { tables })).toEqual([])
})

test('an index on an expression is known as the server prints it', async () => {
  const sql = `select o.id from ${from.o} join ${from.c} on c.id = (o.status)::integer`
  const tables = [tableOf('orders', { indexed: ['(status::integer)'] })]
  expect(await proposed(sql, { tables })).toEqual([])
})

test('groups that are kept by weight look nothing up', async () => {
  const sql = `select o.customer_id, sum(o.total) from ${from.o} group by o.customer_id`
  expect(await proposed(sql, { recomputing: 'never' })).toEqual([])
  const [lost] = await proposed(sql, { recomputing: 'lost' })
  expect(lost?.uses).toEqual(['rows of a group that lost its smallest or greatest value'])
})

test('of a key in several tables the one with the most values is looked up', async () => {
  const sql = `select c.region, o.status, max(o.total) from ${from.o} join ${from.c} on c.id = o.customer_id group by c.region, o.status`
  const tables = [
    tableOf('orders', { indexed: ['customer_id'], distinct: new Map([['status', 30]]) }),
    tableOf('customers', { distinct: new Map([['region', 4_000]]) }),
  ]
  expect((await proposed(sql, { tables })).map((each) => each.sql)).toEqual([
    'create index concurrently on public.customers (region)',
  ])
})

test('no index is proposed on a column of few values, and the column of most values comes first', async () => {
  const few = [tableOf('orders', { distinct: new Map([['status', 3]]) })]
  const byStatus = `select o.status, max(o.total) from ${from.o} group by o.status`
  expect(await proposed(byStatus, { tables: few })).toEqual([])
  const most = [tableOf('orders', { distinct: new Map([['status', 3], ['customer_id', 9_000]]) })] // prettier-ignore
  const byBoth = `select o.status, o.customer_id, max(o.total) from ${from.o} group by o.status, o.customer_id`
  expect((await proposed(byBoth, { tables: most })).map((each) => each.columns)).toEqual([
    ['customer_id', 'status'],
  ])
})

test('a partitioned table cannot be indexed concurrently', async () => {
  const tables = [tableOf('orders', { partitioned: true })]
  expect((await proposed(joined, { tables })).map((each) => each.sql)).toEqual([
    'create index on public.orders (customer_id)',
  ])
})

test('an index says what it is for, once, and how many rows it is over', async () => {
  const sql = `select c.id, (select max(o.total) from ${from.o} where o.customer_id = c.id) as most from ${from.c} join ${from.r} on r.customer_id = c.id`
  const found = await proposed(sql)
  expect(found.find(({ table }) => table === 'public.orders')).toMatchObject({
    rows: 1_000_000,
    uses: ['rows of a group in which something changed'],
  })
  expect(found.find(({ table }) => table === 'public.returns')?.uses).toEqual([
    'partners of changed rows of public.customers',
  ])
})

test('a longer index serves what a shorter one would', async () => {
  const sql = `select o.id from ${from.o} join ${from.r} on r.customer_id = o.customer_id and r.reason = o.status
    join ${from.c} on c.id = o.customer_id`
  const found = (await proposed(sql)).filter(({ table }) => table === 'public.orders')
  expect(found.map(({ columns: list }) => list)).toEqual([['customer_id', 'status']])
  expect(found[0]?.uses).toHaveLength(2)
})

test.each([
  [
    'the order of a long LIMIT over groups',
    `select customer_id, sum(total) as sum from public.orders group by customer_id
     order by (sum(total)) desc limit 2000`,
    ['using btree (sum_2 desc)'],
  ],
  [
    'nothing for a LIMIT that keeps its first rows',
    `select customer_id, sum(total) as sum from public.orders group by customer_id
     order by (sum(total)) desc limit 3`,
    [],
  ],
  [
    'the key by which groups are grouped again',
    `select region, max(total) from (select customer_id, status as region, sum(total) as total
     from public.orders group by customer_id, status) as o group by region`,
    ['using hash (region_1)'],
  ],
  [
    'the columns by which groups are joined',
    `select c.name, o.total from public.customers c
     join (select customer_id, sum(total) as total from public.orders group by customer_id) as o on o.customer_id = c.id`,
    ['using btree (customer_id_1)'],
  ],
])('a stage that is read has an index on %s', async (_, sql, expected) => {
  const { select } = await parseQuery(sql)
  const stages = stagesOf(bindQuery(select, facts), facts)
  const [first] = stages
  if (first === undefined) throw new Error('a query has a stage')
  const types = first.outputs.map(({ id }) => ({
    type: id.startsWith('region') ? 'text' : 'integer',
    collation: null,
    imageEqual: true,
    hashable: true,
    float: false,
    equality: null,
  }))
  const lookups = lookupsInStages(stages, () => 'always').get(first.number) ?? []
  expect(stageIndexes(lookups, first, types)).toEqual(expected)
})
