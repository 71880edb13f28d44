import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { createCache } from '../../src/cache.ts'
import type { ToldApart } from '../../src/define/config/tidemark-config.ts'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import { configured, planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { poll, tagsAfter, tagsOf } from './polling.ts'

const ofAgent = { lookup: 'select id as usuario_id from usuarios where email = $email_agente' }
let db: TestDatabase

const depending = (candidatos: ToldApart, more: Readonly<Record<string, ToldApart>> = {}) => ({
  views: {},
  caches: { shop: { dependsOn: { candidatos, usuarios: ['id'], ...more } } },
})

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create table usuarios (id int primary key, email text unique, nivel numeric);
    create table candidatos (id int primary key, email_agente text, mes_conexion date)`)
})
afterAll(() => db.drop())
beforeEach(async () => {
  await db.sql(`
    truncate usuarios, candidatos;
    insert into usuarios values (1, 'ana@x', 1), (2, 'blas@x', 2), (3, 'eva@x', 3);
    insert into candidatos values (10, 'ana@x'), (11, 'nobody@x')`)
  await planAndApply(db.database, depending([ofAgent, []]))
  await poll(db.database)
})

const changed = 'source:public.candidatos'

test('changes are told by what the lookup finds, of old and new values, whichever column changed', async () => {
  const tags = (sql: string) => tagsAfter(db.database, () => db.sql(sql))
  expect(await tags(`update candidatos set mes_conexion = '2026-11-01' where id = 10`)).toEqual([
    changed,
    `${changed}:usuario_id=1`,
  ])
  expect(await tags(`update candidatos set email_agente = 'blas@x' where id = 10`)).toEqual([
    changed,
    `${changed}:usuario_id=1`,
    `${changed}:usuario_id=2`,
  ])
  expect(await tags(`delete from candidatos where id = 11`)).toEqual([changed])
  expect(await tags('truncate candidatos')).toEqual([changed, `${changed}:*`])
})

test('law: who moves to another row is told by it, where the table of the lookup is told as well', async () => {
  const tags = await tagsAfter(db.database, async () => {
    await db.sql(`update candidatos set mes_conexion = '2026-12-01' where id = 10`)
    await db.sql(`update usuarios set email = 'ana@y' where id = 1`)
  })
  expect(tags).toEqual([changed, 'source:public.usuarios:id=1'])
})

test('a lookup that fails keeps nobody from being told: what it was about counts as all of the table', async () => {
  const failing = { lookup: 'select $email_agente::int as numero -- of whom it is' }
  await planAndApply(db.database, depending([failing, ofAgent]))
  const tags = await tagsAfter(db.database, () =>
    db.sql(`insert into candidatos values (12, 'blas@x'); insert into usuarios values (4)`),
  )
  expect(tags).toEqual([`${changed}:*`, `${changed}:usuario_id=2`, 'source:public.usuarios:id=4'])
})

test('so many rows that each would be a lookup are told as all of the table', async () => {
  const tags = await tagsAfter(db.database, () =>
    db.sql(`insert into candidatos select g, 'a' || g from generate_series(1000, 11000) g`),
  )
  expect(tags).toEqual([changed, `${changed}:*`])
})

test('tables that are renamed are followed; a plan applied is a plan that is empty, and leaves no lookup that is not declared', async () => {
  const left = async (): Promise<number> => {
    const rows = await db.sql(`select from pg_proc where proname like 'lookup % of shop%'`)
    return rows.length
  }
  expect(
    (await planConfiguration(db.database, configured(depending([ofAgent, []])))).steps,
  ).toEqual([])
  await db.sql('alter table usuarios rename email to correo')
  onTestFinished(async () => {
    await db.sql('alter table usuarios rename correo to email')
  })
  const tags = await tagsAfter(db.database, () => db.sql(`delete from candidatos where id = 10`))
  expect(tags).toEqual([changed, `${changed}:usuario_id=1`])
  expect(await left()).toBe(2)
  await planAndApply(db.database, depending([]))
  expect(await left()).toBe(0)
})

test('an entry depends on what was looked up like on a column, and a query that names no such column is not narrowed by it', async () => {
  const cache = createCache({ namespace: 'shop', database: db.url })
  onTestFinished(() => cache.close())
  const load = async (user: number) => {
    const rows = await db.sql(
      `select c.id from candidatos c join usuarios u on u.email = c.email_agente where u.id = ${user} order by 1`,
    )
    return rows.map(({ id }) => id as number)
  }
  const dependsOn = { candidatos: 'usuario_id', usuarios: 'id' } as const
  const progress = cache.define('progress', load, { dependsOn })
  await cache.start()
  expect((await progress.get(1)).value).toEqual([10])
  expect((await progress.get(2)).value).toEqual([])
  await db.sql(`insert into candidatos values (12, 'ana@x')`)
  await expect.poll(async () => (await progress.get(1)).value).toEqual([10, 12])
  expect((await progress.get(2)).state).toBe('hit')
  const sql = 'select id from candidatos where email_agente = $1 and id = $2'
  expect(await cache.dependenciesOf(sql)).toMatchObject({
    dependsOn: ['public.candidatos: every change'],
  })
})

test('rows of a maintained view are looked up after its refresh', async () => {
  const config = {
    ...depending([], { por_agente: [ofAgent] }),
    views: {
      por_agente: {
        sql: 'select email_agente, count(*) as n from candidatos group by email_agente',
        target: '1h',
      },
    },
  } as const
  await apply(db.database, await planConfiguration(db.database, configured(config)))
  await db.sql(`insert into candidatos values (13, 'eva@x')`)
  const { position } = await poll(db.database)
  await db.sql(`call tidemark.run('por_agente')`)
  expect(tagsOf(await poll(db.database, position))).toEqual([
    'source:public.por_agente:usuario_id=3',
  ])
  const plan = await planConfiguration(db.database, configured(depending([ofAgent, []])))
  await apply(db.database, plan, { allowDestructive: true })
})

test.each([
  ['select id from usuarios where email = $email_agente', 'tells id, which is a column of'],
  ['select id as usuario_id from usuarios', 'reads no column of public.candidatos'],
  ['select id as usuario_id from usuarios where email = $agente', 'has no column agente'],
  ['select id as usuario_id from users where email = $email_agente', 'refuses the lookup'],
  ['select nivel from usuarios where email = $email_agente', 'by nivel, which is numeric'],
])('%j is refused', async (lookup, message) => {
  const planned = planConfiguration(db.database, configured(depending([{ lookup }])))
  await expect(planned).rejects.toThrow(message)
})
