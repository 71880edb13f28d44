import { expect, test } from 'vitest'
import { relationName } from '../../model/ids.ts'
import { parseQuery } from './parse.ts'
import type { QueryTexts } from './written-place.ts'
import { writtenPlace } from './written-place.ts'

const texts = async (
  written: string | null,
  printed: string,
  view?: string,
): Promise<QueryTexts> => ({
  written: written === null ? null : await parseQuery(written),
  printed: await parseQuery(printed),
  views:
    view === undefined
      ? []
      : [{ name: relationName('public', 'v'), query: await parseQuery(view) }],
})

const printed = `SELECT o.id,
    lower((o.name)::text) AS lower
   FROM public.orders o
  WHERE (EXISTS ( SELECT FROM public.customers c WHERE (c.id = o.customer_id)))`

const byteOf = (text: string, part: string): number =>
  Buffer.from(text.slice(0, text.indexOf(part))).length

test('a construct is found in what was written, by kind, name and turn', async () => {
  const given = await texts(
    'select id,\n  lower(name)\nfrom orders o\nwhere exists (select from customers c where c.id = customer_id)',
    printed,
  )
  const { select } = given.printed
  const at = (part: string): unknown =>
    writtenPlace({ kind: 'place', select, byte: byteOf(printed, part) }, given)
  expect(at('lower(')).toEqual({ at: '2:3', in: 'written' })
  expect(at('EXISTS')).toEqual({ at: '4:7', in: 'written' })
  expect(at('public.customers')).toEqual({ at: '4:27', in: 'written' })
  expect(at('o.customer_id')).toEqual({ at: '4:52', in: 'written' })
})

test.each([
  ['has another number of them', 'select * from orders o where exists (table customers)'],
  ['is not there', null],
])('where the written text %s, the printed one is said', async (_, written) => {
  const given = await texts(written, printed)
  const spot = {
    kind: 'place',
    select: given.printed.select,
    byte: byteOf(printed, 'lower('),
  } as const
  expect(writtenPlace(spot, given)).toEqual({ at: '2:5', in: 'printed' })
})

test('a SELECT altogether is where its key word is', async () => {
  const given = await texts('select 1\nunion all (\n  select 2)', ' SELECT 1\nUNION ALL\n SELECT 2')
  const { rarg } = given.printed.select
  if (rarg === undefined) throw new Error('two sides')
  expect(writtenPlace({ kind: 'place', select: rarg, byte: null }, given)).toEqual({
    at: '3:3',
    in: 'written',
  })
  const { select } = given.printed
  expect(writtenPlace({ kind: 'place', select, byte: null }, given)).toMatchObject({ at: '1:1' })
})

test('WITH belongs to its SELECT, at the beginning of a text too', async () => {
  const text = 'WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t'
  const given = await texts(text, ` ${text}`)
  const { select } = given.printed
  expect(writtenPlace({ kind: 'place', select, byte: null }, given)).toMatchObject({ at: '1:1' })
  expect(writtenPlace({ kind: 'place', select, byte: 1 }, given)).toEqual({
    at: '1:1',
    in: 'written',
  })
})

test('what stands in an ordinary view is said with its name', async () => {
  const view = ' SELECT random() AS r\n   FROM public.orders'
  const given = await texts('select r from v', 'SELECT v.r FROM public.v', view)
  const inner = given.views[0]?.query.select
  if (inner === undefined) throw new Error('a view')
  const spot = { kind: 'place', select: inner, byte: byteOf(view, 'random') } as const
  expect(writtenPlace(spot, given)).toEqual({ at: '1:9', in: { view: 'public.v' } })
  expect(writtenPlace({ kind: 'function', name: 'random' }, given)).toEqual({
    at: '1:9',
    in: { view: 'public.v' },
  })
})

test.each([
  [{ kind: 'function', name: 'public.f(integer, text)' }, '1:8'],
  [{ kind: 'relation', name: 'public.orders' }, '1:27'],
  [{ kind: 'column', name: 'total' }, '1:13'],
] as const)('%o is found by name in what was written', async (spot, at) => {
  const given = await texts('select f(a, o.total) from orders o', 'SELECT 1')
  expect(writtenPlace(spot, given)).toEqual({ at, in: 'written' })
})

test('what is nowhere has no place', async () => {
  const given = await texts('select 1', 'SELECT 1')
  expect(writtenPlace({ kind: 'function', name: 'f' }, given)).toBeNull()
  const { select } = await parseQuery('SELECT 2 AS made_up')
  expect(writtenPlace({ kind: 'place', select, byte: null }, given)).toBeNull()
})
