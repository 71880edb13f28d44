import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { schemaOf } from '../support/schema-text.ts'
import { configured, destroyAll, planAndApply, titles } from './configured.ts'

let db: TestDatabase

beforeEach(async () => {
  db = await createTestDatabase()
  await db.sql(`
    do $$ begin create role adopt_owner; exception when duplicate_object or unique_violation then null; end $$;
    do $$ begin create role adopt_reader; exception when duplicate_object or unique_violation then null; end $$;
    grant create on schema public to adopt_owner;
    create table orders (id int primary key, region text, amount numeric(10,2), note text);
    insert into orders select g, 'r' || g % 3, g, repeat('x', 10) from generate_series(1, 100) g;
    grant select on orders to adopt_owner;
    create materialized view mv1 with (fillfactor = 90) as
      select region, sum(amount)::numeric(12,2) as total, count(*) as n, max(note) collate "C" as note
      from orders group by region;
    create unique index mv1_region on mv1 (region);
    create index mv1_expr on mv1 ((total * 2), n desc) where n > 1;
    alter index mv1_expr alter column 1 set statistics 77;
    comment on index mv1_expr is 'an index';
    alter materialized view mv1 cluster on mv1_region;
    comment on materialized view mv1 is 'It''s a view';
    comment on column mv1.total is 'the total';
    alter materialized view mv1 alter column region set statistics 500;
    alter materialized view mv1 alter column note set storage external;
    create statistics mv1_stat (ndistinct) on region, n from mv1;
    alter materialized view mv1 owner to adopt_owner;
    grant select on mv1 to adopt_reader with grant option;
    grant all on mv1 to public;
    grant select (region) on mv1 to adopt_reader;
    create materialized view mv2 as select max(total) as top from mv1;
    create view uv1 with (security_barrier) as select region, total from mv1 where n > 0;
    comment on view uv1 is 'reader';
    grant select, insert on uv1 to adopt_reader;
    alter view uv1 alter column region set default 'x';
    create view uv2 as select u.region, m.top from uv1 u, mv2 m;
    create materialized view mv3 as select region from uv2;
    create index mv3_region on mv3 (region);
    create materialized view empty as select 1 as one with no data;`)
})
afterEach(() => db.drop())

const config = {
  views: {
    mv1: { adopt: 'mv1', indexes: ['(note)'], fallback: 'source' },
    mv2: { adopt: 'mv2', fallback: 'source' },
    empty: { adopt: 'empty' },
  },
} as const

describe('adoption of materialized views', () => {
  test('there and back leaves the catalog byte for byte as it was', async () => {
    const before = await schemaOf(db)
    const plan = await planAndApply(db.database, config, { populate: true })
    expect(titles(plan)).toEqual([
      '+ schema tidemark',
      '+ setting max_log_bytes',
      '+ setting time_zone',
      '+ source public.orders',
      '-/+ view public.mv2',
      '-/+ view public.mv1',
      '-/+ view public.empty',
    ])
    expect(titles(await planConfiguration(db.database, configured(config)))).toEqual([])
    expect(await schemaOf(db)).not.toBe(before)
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
    expect(await db.sql('select top from mv2')).toEqual([{ top: '1717.00' }])
  })

  test('readers find the rows, the comments and the grants from the first moment on', async () => {
    await db.sql('update orders set amount = amount + 1')
    const rows = await db.sql('select * from mv1 order by region')
    await planAndApply(db.database, config)
    expect(await db.sql('select * from mv1 order by region')).toEqual(rows)
    expect(await db.sql('select * from uv2 order by region')).toHaveLength(3)
    const [facts] = await db.sql(
      `select obj_description('mv1'::regclass) as comment, col_description('mv1'::regclass, 2) as total,
              has_table_privilege('adopt_reader', 'mv1', 'select with grant option') as may_read,
              has_table_privilege('adopt_reader', 'mv1', 'insert') as may_write,
              pg_get_userbyid(relowner) as owner
       from pg_class where oid = 'mv1'::regclass`,
    )
    expect(facts).toEqual({
      comment: "It's a view",
      total: 'the total',
      may_read: true,
      may_write: false,
      owner: 'adopt_owner',
    })
    expect(
      await db.sql(
        `select indexname from pg_indexes
         where schemaname = 'tidemark_state' and tablename in ('public.mv1', 'public.mv2', 'public.empty') order by 1`,
      ),
    ).toEqual([
      // by which an incremental refresh finds the rows of a group
      { indexname: 'hash of stage 1 of public.mv1' },
      { indexname: 'mv1_expr' },
      { indexname: 'mv1_region' },
      { indexname: 'public.mv1 (note)' },
    ])
  })

  test('a view that is no longer declared becomes the materialized view again, filled', async () => {
    const before = await schemaOf(db)
    await planAndApply(db.database, config)
    await db.sql('insert into orders values (101, $1, 5)', ['r9'])
    const plan = await planAndApply(db.database, { views: {} }, { allowDestructive: false })
    expect(titles(plan)).toEqual([
      '-/+ view public.empty',
      '-/+ view public.mv1',
      '-/+ view public.mv2',
      '- source public.orders',
    ])
    expect(await db.sql('select region from mv1 order by 1')).toHaveLength(4)
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
  })

  test('one of a chain may be given back while its reader stays, and another comes with its schedule', async () => {
    await planAndApply(db.database, config)
    const { mv2, empty } = config.views
    const regions = { sql: 'select count(*) as n from mv1', schedules: ['0 6 * * *'] }
    const views = { mv2, empty, regions }
    await planAndApply(db.database, { views })
    expect(titles(await planConfiguration(db.database, configured({ views })))).toEqual([])
    const reason = 'seen_by_refreshes: what changes in public.mv1 is seen by refreshes alone'
    expect(await db.sql(`select name, unknown_reason from tidemark.view order by name`)).toEqual([
      { name: 'public.empty', unknown_reason: null },
      { name: 'public.mv2', unknown_reason: reason },
      { name: 'public.regions', unknown_reason: reason },
    ])
    await db.sql(`update orders set amount = amount + 1; refresh materialized view mv1`)
    await db.sql(`call tidemark.run('mv2')`)
    expect(await db.sql(`table mv2`)).toEqual(await db.sql(`select max(total) as top from mv1`))
  })

  test('the maintenance program runs with the rights of the owner of the view', async () => {
    await planAndApply(db.database, config, { populate: true })
    const [row] = await db.sql(
      `select pg_get_userbyid(p.proowner) as owner, p.prosecdef as definer,
              has_function_privilege('adopt_reader', p.oid, 'execute') as anyone
       from pg_proc p where p.proname = 'maintain public.mv1'`,
    )
    expect(row).toEqual({ owner: 'adopt_owner', definer: true, anyone: false })
    await db.sql('revoke select on orders from adopt_owner')
    await expect(db.sql(`call tidemark.run('mv1')`)).rejects.toThrow(
      /permission denied for table orders/,
    )
  })

  test('a materialized view that stays one is left untouched, there and back', async () => {
    const before = await schemaOf(db)
    const stay = { views: { mv1: { adopt: 'mv1', as: 'matview', indexes: ['(n)'] } } } as const
    const plan = await planAndApply(db.database, stay, { populate: true })
    expect(titles(plan)).toContain('+ view public.mv1')
    expect(titles(await planConfiguration(db.database, configured(stay)))).toEqual([])
    expect(await db.sql(`select state, method from tidemark.freshness`)).toEqual([
      { state: 'fresh', method: 'refresh' },
    ])
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
  })

  test('it can change from one shape to the other and back', async () => {
    const before = await schemaOf(db)
    for (const as of ['matview', 'view', 'matview', 'view'] as const) {
      const one = { views: { mv1: { adopt: 'mv1', as } } }
      await planAndApply(db.database, one, { allowDestructive: true, populate: true })
      expect(titles(await planConfiguration(db.database, configured(one)))).toEqual([])
      expect(await db.sql('select state from tidemark.freshness')).toEqual([{ state: 'fresh' }])
    }
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
  })

  test('what cannot be carried over is named, and nothing is changed', async () => {
    await db.sql(`create function tops() returns bigint language sql begin atomic select count(*) from mv1; end;
                  create rule log_it as on insert to uv1 do also select 1`)
    const before = await schemaOf(db)
    const plan = planConfiguration(db.database, configured(config))
    await expect(plan).rejects.toThrow(
      /function public\.tops\(\) \(on public\.mv1\).*rule log_it on view (public\.)?uv1.*TIDEMARK_RELATION_UNSUPPORTED/,
    )
    expect(await schemaOf(db)).toBe(before)
  })

  test('views of several schemas whose indexes have one name do not meet', async () => {
    await db.sql(`create schema other; create schema more;
      create materialized view other.mv1 as select 1 as a; create index mv1_region on other.mv1 (a);
      create materialized view more.mv1 as select 1 as a; create index mv1_region on more.mv1 (a)`)
    const before = await schemaOf(db)
    const three = {
      views: {
        'other.mv1': { adopt: 'other.mv1' },
        mv1: { adopt: 'mv1' },
        'more.mv1': { adopt: 'more.mv1' },
      },
    }
    await planAndApply(db.database, three)
    expect(titles(await planConfiguration(db.database, configured(three)))).toEqual([])
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
  })

  test('the plan names the jobs of pg_cron that will fail', async () => {
    await db.sql(`create schema cron; create table cron.job (jobid bigint, command text);
      insert into cron.job values (7, 'REFRESH MATERIALIZED VIEW CONCURRENTLY mv1'), (8, 'refresh materialized view mv10')`)
    const one = configured({ views: { mv1: { adopt: 'mv1' } } })
    const { steps } = await planConfiguration(db.database, one)
    expect(
      steps.filter(({ detail }) => /pg_cron/.test(detail)).map(({ detail }) => detail),
    ).toEqual([
      expect.stringMatching(
        /^pg_cron job 7 .* unschedule it: select cron\.unschedule\(7\);$/,
      ) as string,
    ])
  })

  test('the plan warns of what nobody else will say', async () => {
    const plan = await planConfiguration(
      db.database,
      configured({ views: { mv1: { adopt: 'mv1' } } }),
    )
    const warning = plan.steps.find(({ kind }) => kind === 'warn')
    expect(warning?.detail).toMatch(/pg_matviews no longer lists it/)
    expect(plan.steps.find(({ noun }) => noun === 'view')).toMatchObject({
      lock: 'ACCESS EXCLUSIVE on public.mv1',
      ownTransaction: true,
      destructive: false,
    })
    await expect(apply(db.database, plan)).resolves.toEqual([
      { group: 'public.mv1', outcome: 'completed' },
    ])
  })
})
