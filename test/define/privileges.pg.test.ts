import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { grantedNames } from '../../src/define/privileges.ts'
import { planConfiguration } from '../../src/engine/define.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { configured, destroyAll, planAndApply, titles } from './configured.ts'
import { schemaOf } from '../support/schema-text.ts'

let db: TestDatabase
let installer: Database

const roles = ['least_installer', 'least_owner', 'least_runtime', 'least_reader', 'least_writer']

beforeEach(async () => {
  db = await createTestDatabase()
  for (const role of roles) {
    await db.sql(`do $$ begin create role ${role} login;
      exception when duplicate_object or unique_violation then null; end $$`)
  }
  await db.sql(`
    grant least_owner to least_installer;
    grant create on database ${db.name} to least_installer;
    grant create, usage on schema public to least_installer, least_owner;
    set role least_owner;
    create table orders (id int primary key, region text, amount numeric(10,2));
    create materialized view kept as select region, count(*) as n from orders group by region;
    grant insert, update, delete, truncate on orders to least_writer;
    grant select on kept to least_reader;
    reset role`)
  installer = openDatabase(db.urlAs('least_installer'))
})
afterEach(async () => {
  await installer.close()
  await db.drop()
})

const config: TidemarkConfig = {
  database: { runtimeRole: 'least_runtime', readerRoles: ['least_reader'] },
  views: {
    kept: { adopt: 'kept', fallback: 'source' },
    summed: { sql: 'select sum(n) as n from kept' },
  },
}

describe('the least privileges', () => {
  test('no superuser installs, runs, reads, writes and takes away', async () => {
    const before = await schemaOf(db)
    await planAndApply(installer, config, { populate: true })
    expect(titles(await planConfiguration(installer, configured(config)))).toEqual([])

    const writer = await db.session('least_writer')
    await writer.query(`insert into orders select g, 'a', 1 from generate_series(1, 10) g`)
    await expect(writer.query('select * from tidemark.gap')).rejects.toThrow(/permission denied/)

    const runtime = await db.session('least_runtime')
    await runtime.query('select tidemark.tick()')
    await runtime.query(`call tidemark.run('kept')`)
    await runtime.query('call tidemark.clean()')
    expect(await runtime.query('select view, state from tidemark.freshness order by 1')).toEqual([
      { view: 'public.kept', state: 'fresh' },
      { view: 'public.summed', state: 'fresh' },
    ])
    await expect(runtime.query('select * from orders')).rejects.toThrow(/permission denied/)
    await expect(runtime.query('delete from tidemark.view')).rejects.toThrow(/permission denied/)

    const reader = await db.session('least_reader')
    expect(await reader.query('select n from kept')).toEqual([{ n: 10 }])
    expect(
      await reader.query('select state from tidemark.health_check() h, tidemark.freshness'),
    ).toHaveLength(4)
    await expect(reader.query('select tidemark.tick()')).rejects.toThrow(/permission denied/)
    await expect(reader.query('select * from tidemark.run')).rejects.toThrow(/permission denied/)

    await destroyAll(installer)
    expect(await schemaOf(db)).toBe(before)
  })

  test('what is granted exists, and nothing else is for everybody', async () => {
    await planAndApply(installer, config)
    const rows = await db.sql<{ name: string; everybody: boolean }>(
      `select p.proname as name, bool_or(has_function_privilege('least_writer', p.oid, 'execute')) as everybody
       from pg_proc p where p.pronamespace = 'tidemark'::regnamespace group by 1
       union all
       select c.relname, has_table_privilege('least_writer', c.oid, 'select')
       from pg_class c where c.relnamespace = 'tidemark'::regnamespace and c.relkind in ('r', 'v')`,
    )
    const known = new Set(rows.map(({ name }) => name))
    expect(grantedNames.filter((name) => !known.has(name))).toEqual([])
    expect(rows.filter(({ everybody }) => everybody).map(({ name }) => name)).toEqual([])
  })

  test('a role that is no longer named may do nothing any more', async () => {
    await planAndApply(installer, config)
    await planAndApply(installer, { views: config.views })
    const [row] = await db.sql(
      `select has_schema_privilege('least_runtime', 'tidemark', 'usage') as runtime,
              has_schema_privilege('least_reader', 'tidemark', 'usage') as reader`,
    )
    expect(row).toEqual({ runtime: false, reader: false })
    expect(titles(await planConfiguration(installer, configured({ views: config.views })))).toEqual(
      [],
    )
  })

  test.each([
    [
      'membership of the owner',
      'revoke least_owner from least_installer',
      /grant least_owner to least_installer;/,
    ],
    [
      'CREATE on the database',
      `revoke create on database DATABASE from least_installer`,
      /grant create on database test_\w+ to least_installer;/,
    ],
    [
      'CREATE on the schema',
      'revoke create on schema public from least_installer, least_owner',
      /grant usage, create on schema public to least_installer;/,
    ],
    ['a role', 'select', /create role nobody_knows;/],
  ])('without %s the plan says what to grant, and changes nothing', async (what, sql, mend) => {
    await db.sql(sql.replace('DATABASE', db.name))
    const before = await schemaOf(db)
    const wanted =
      what === 'a role' ? { ...config, database: { runtimeRole: 'nobody_knows' } } : config
    await expect(planConfiguration(installer, configured(wanted))).rejects.toMatchObject({
      code: 'TIDEMARK_PRIVILEGE_MISSING',
      message: expect.stringMatching(mend) as string,
    })
    expect(await schemaOf(db)).toBe(before)
  })
})
