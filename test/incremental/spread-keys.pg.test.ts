import { afterAll, beforeAll, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import type { Queries } from './kept-up.ts'
import { expectKeptUp, installIncremental } from './kept-up.ts'

let db: TestDatabase

const joined = 'from reading r join device d on d.id = r.device_id'
const left = 'from device d left join reading r on d.id = r.device_id'

/** The key of each is of columns of both tables. */
const queries: Queries = {
  median: `select d.site, date_trunc('hour', r.at at time zone d.zone) as h, percentile_cont(0.5) within group (order by r.v) as m ${joined} group by 1, 2`,
  widest: `select d.site, r.kind, min(r.v) as low, max(r.v) as high, count(*) as n ${left} group by 1, 2`,
  often: `select d.site, r.kind, max(r.v) as high ${joined} group by 1, 2 having count(*) > 1`,
  listed: `select d.labels, r.kind, r.size, string_agg(r.id::text, ',' order by r.id) as ids ${left} group by 1, 2, 3`,
  numbered: `select r.id, rank() over (partition by d.site, r.kind order by r.v, r.id) as turn ${joined}`,
  first: `select distinct on (d.site, r.kind) d.site, r.kind, r.id ${left} order by d.site, r.kind, r.v, r.id`,
  collated: `select d.code, d.site::name as name, r.kind, max(r.v) as high ${joined} group by 1, 2, 3`,
  ranked: `select d.id, r.id as reading, (select count(*) from reading o where o.device_id = d.id and o.v < r.v) as below from device d join reading r on r.kind = d.kind`,
}

beforeAll(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create table device (id int primary key, site text, zone text, labels text[], kind int,
      code text collate "C" generated always as (upper(site)) stored);
    create table reading (id int generated always as identity primary key, device_id int not null, at timestamptz not null, kind int, size numeric, v float8);
    insert into device select g, 's' || nullif(g % 4, 0), (array['UTC', 'Asia/Kolkata'])[1 + g % 2], array['l' || g % 3], g % 3 from generate_series(1, 40) g;
    insert into reading (device_id, at, kind, size, v) select 1 + g % 39, '2026-01-01'::timestamptz + (g * 7919 % 50000) * interval '1 minute',
      nullif(g % 5, 0), (array[1, 2.50, 3])[1 + g % 3], g % 11 from generate_series(1, 600) g`)
})
afterAll(() => db.drop())

test('groups, partitions and rows of a key over two tables are found anew, whatever changes', async () => {
  await installIncremental(db, queries)
  await expectKeptUp(db, queries, [
    `update reading set v = v - 20 where id % 50 = 0; delete from reading where id % 60 = 1`,
    `update device set site = 's9' where id in (3, 4); insert into reading (device_id, at, kind, size, v) select g, '2026-01-02', 2, 1, g from generate_series(1, 40) g`,
    `update reading set kind = null where id % 40 = 3; update device set labels = null, kind = 2 where id = 7; delete from device where id = 11`,
  ])
})

test('many keys are looked for among the rows once, not each among those of its first part', async () => {
  await db.sql(`
    create table sensor (id int primary key, site int not null);
    create table sample (id int generated always as identity primary key, sensor_id int not null, at int not null, v float8);
    insert into sensor select g, g % 4 from generate_series(1, 40) g;
    insert into sample (sensor_id, at, v) select 1 + g % 40, g % 997, g % 13 from generate_series(1, 6000) g;
    create index on sample (sensor_id);
    create function noted(n int) returns int language plpgsql immutable cost 1 as $$ begin
      perform set_config('test.computed', (coalesce(nullif(current_setting('test.computed', true), ''), '0')::int + 1)::text, false);
      return n; end $$;
    analyze sensor, sample`)
  const sql = `select d.site, noted(r.at + d.site) as at, percentile_cont(0.5) within group (order by r.v) as m
    from sample r join sensor d on d.id = r.sensor_id group by 1, 2`
  await applyConfiguration(
    db.database,
    configured({ views: { 'public.medians': { sql, maintain: 'incremental', target: '1m' } } }),
    { allowDestructive: true },
  )
  const session = await db.session()
  await session.query(`update sample set v = v + 1 where id % 20 = 0; set test.computed = 0`)
  await session.query(`call tidemark.run('public.medians')`)
  const [found] = await session.query(
    `select method, current_setting('test.computed')::int < 5 * 6000 as "is few"
     from tidemark.run where view = 'public.medians' order by run_id desc limit 1`,
  )
  await session.close()
  expect(found).toEqual({ method: 'incremental', 'is few': true })
})
