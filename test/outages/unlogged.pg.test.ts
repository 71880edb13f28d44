import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { planConfiguration } from '../../src/engine/define.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { tick } from '../../src/queue/tick.ts'
import { configured, planAndApply, titles } from '../define/configured.ts'
import { eventually, workUntilWhole } from './await-state.ts'
import type { OwnServer } from './own-server.ts'
import { ownEmbeddedServer } from './own-server.ts'

const config = {
  views: { carts_by_shop: { sql: 'select shop, count(*) as n from carts group by shop' } },
}

let server: OwnServer
let database: Database
let made = 0

beforeAll(async () => {
  server = await ownEmbeddedServer()
})
afterAll(() => server.remove())

beforeEach(async () => {
  made += 1
  const admin = await openSession(server.url())
  await admin.query(`create database shop_${made}`)
  await admin.close()
  database = openDatabase(server.url(`shop_${made}`))
})
afterEach(() => database.close())

const carts = (persistence: string): Promise<unknown> =>
  database.query(`create ${persistence} table carts (id int primary key, shop text);
    insert into carts select g, 'north' from generate_series(1, 10) g`)

const state = async (): Promise<string> => {
  const [freshness] = await readFreshness(database)
  return `${freshness?.state ?? ''} ${freshness?.reason ?? ''}`.trim()
}

/** The server loses its power and comes back. */
async function crash(): Promise<void> {
  await server.kill()
  await server.start()
  await eventually('the server answers', async () => {
    await database.query('select 1')
    return true
  })
}

test('a table that is unlogged is not captured: its view is unknown, and the plan says why and what mends it', async () => {
  await carts('unlogged')
  const plan = await planAndApply(database, config)
  expect(plan.steps.filter(({ kind }) => kind === 'warn')).toMatchObject([
    {
      name: 'public.carts',
      detail:
        'the state of public.carts_by_shop is unknown: public.carts is unlogged: a crash empties it unseen' +
        ' and cannot be captured. Run alter table "public"."carts" set logged;',
    },
  ])
  await database.query(`call tidemark.run('carts_by_shop')`)
  expect(await database.query('select n from carts_by_shop')).toEqual([{ n: 10 }])
  expect(await state()).toBe('unknown not_captured: public.carts')

  await crash()
  expect(await database.query('select from carts')).toEqual([])
  expect(await state()).toBe('unknown not_captured: public.carts')
  await database.query('alter table carts set logged')
  expect(titles(await planAndApply(database, config))).toContain('+ source public.carts')
  await workUntilWhole(database, ['carts_by_shop'])
  expect(await database.query('select n from carts_by_shop')).toEqual([])
})

test('a captured table that is set unlogged makes its view unknown, also when a crash has emptied it and it is logged again', async () => {
  await carts('')
  await planAndApply(database, config)
  await workUntilWhole(database, ['carts_by_shop'])
  await database.query('alter table carts set unlogged')
  expect(await state()).toMatch(/^unknown unlogged: a crash empties public\.carts unseen;/)
  await tick(database)

  await crash()
  await database.query('alter table carts set logged')
  expect(await database.query('select from carts')).toEqual([])
  expect(await state()).toMatch(/^unknown broken: public\.carts, unlogged: /)
  expect(titles(await planAndApply(database, config))).toEqual(['~ source public.carts'])
  await workUntilWhole(database, ['carts_by_shop'])
  expect(await database.query('select from carts_by_shop')).toEqual([])
  expect((await planConfiguration(database, configured(config))).steps).toEqual([])
})
