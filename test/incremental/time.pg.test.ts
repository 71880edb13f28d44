import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { planConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { casesOf } from '../support/shares.ts'
import type { Queries } from './kept-up.ts'
import { installIncremental } from './kept-up.ts'

let db: TestDatabase

/** Moments are 200 ms wide here, so that rows cross a bound between any two refreshes. */
const queries: Queries = {
  recent: `select id, at from events where at > now() - interval '200 ms'`,
  week: `select id from events where at >= now() - interval '7 days'`,
  window_both: `select id from events where at between now() - interval '300 ms' and now() - interval '100 ms'`,
  expired: `select id from events where at + ttl < now()`,
  old: `select id from events where now() - at > interval '200 ms' and kind is not null`,
  grouped: `select kind, count(*) as n, sum(amount) as amount from events where at > now() - interval '200 ms' group by kind`,
  filtered: `select kind, count(*) as n, count(*) filter (where at > now() - interval '200 ms') as recent, max(at) filter (where at < now() - interval '100 ms') as last from events group by kind`,
  flagged: `select id, at > now() - interval '200 ms' as is_recent, case when at < now() - interval '400 ms' then 'old' when at > now() then 'later' else 'new' end as age from events`,
  joined: `select e.id, k.name from events e join kinds k on k.kind = e.kind and e.at > now() - interval '200 ms' where k.since < current_date`,
  lonely: `select k.kind, e.id from kinds k left join events e on e.kind = k.kind and e.at > now() - interval '200 ms'`,
  silent: `select k.kind from kinds k where not exists (select from events e where e.kind = k.kind and e.at > now() - interval '200 ms')`,
  asked: `select k.kind, exists (select from events e where e.kind = k.kind and e.at > now() - interval '200 ms') as busy from kinds k`,
  per_event: `select e.id from events e where exists (select from kinds k where k.kind = e.kind and e.at + k.span > now())`,
  spanning: `select e.id, k.kind from events e, kinds k where k.kind = e.kind and e.at + k.span > now()`,
  latest: `select kind, max(at) as last from events group by kind having max(at) > now() - interval '200 ms'`,
  ranked: `select id, row_number() over (partition by kind order by at desc, id) as place from events where at <= now() - interval '100 ms'`,
  best: `select id from events where at < now() - interval '100 ms' order by at desc, id limit 5`,
  best_moving: `select id from events order by at between now() - interval '200 ms' and now() desc nulls last, id limit 5`,
  by_recency: `select at > now() - interval '200 ms' as is_recent, count(*) as n, count(distinct kind) as kinds from events group by 1`,
  united: `select kind from events where at between now() - interval '200 ms' and now() union select kind from kinds where since > current_date - 3 and kind = 'a'`,
  days: `select d.day::date as day, count(e.id) as n from generate_series(current_date - 3, current_date, interval '1 day') as d (day) left join events e on e.at >= d.day and e.at < d.day + interval '1 day' group by 1`,
  moments: `select m.at, e.id from generate_series(now() - interval '300 ms', now(), interval '100 ms') as m (at) join events e on e.at between m.at - interval '20 ms' and m.at`,
  staged: `with r as (select kind, count(*) as n from events where at > now() - interval '200 ms' group by kind) select n, count(*) as kinds from r group by n`,
  twice: `with r as (select id, kind from events where at > now() - interval '200 ms') select a.id as a, b.id as b from r a join r b on a.kind = b.kind and a.id < b.id`,
  local: `select id from events where local_at > localtimestamp - interval '200 ms' and at <= statement_timestamp()`,
  zoned: `select id from events where at < date_trunc('second', now()) and local_at < (now() at time zone 'UTC')`,
  aged: `select id from events where age(local_at) > interval '1 day'`,
  daily: `select id, current_date - at::date as days, current_date as today from events`,
  last_sum: `select k.kind, (select sum(e.amount) from events e where e.kind = k.kind and e.at > now() - interval '200 ms') as amount from kinds k`,
  lateral_last: `select k.kind, x.id from kinds k left join lateral (select e.id from events e where e.kind = k.kind and e.at < now() - interval '100 ms' order by e.at desc, e.id limit 2) x on true`,
  minus: `select kind from kinds except select kind from events where at between now() - interval '200 ms' and now()`,
  unread: `select kind, count(*) as n from (select kind, now() - at as age from events) e group by kind`,
  unasked: `select k.kind from kinds k where exists (select e.at > now() from events e where e.kind = k.kind)`,
  everything: `select id, now() - at as age from events where kind = 'a'`,
}

/** Views of which some row crosses a bound in any second, whatever is written. */
const restless: readonly string[] = [
  'recent',
  'expired',
  'old',
  'filtered',
  'flagged',
  'ranked',
  'best',
  'everything',
  'local',
]

interface Run {
  readonly method: string
  readonly differing: number | null
}

async function refresh(name: string): Promise<Run> {
  await db.sql(`call tidemark.run('public.${name}')`)
  const [run] = await db.sql<{ method: string; differing: number | null }>(
    `select method, differing from tidemark.run where view = 'public.${name}' order by run_id desc limit 1`,
  )
  return run ?? { method: 'none', differing: null }
}

/** How many rows the last refresh wrote. */
async function writtenLast(name: string): Promise<number> {
  const [run] = await db.sql<{ n: number }>(
    `select (rows_inserted + rows_updated + rows_deleted)::int as n from tidemark.run
     where view = 'public.${name}' order by run_id desc limit 1`,
  )
  return run?.n ?? 0
}

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table kinds (kind text primary key, name text, since date, span interval);
    create table events (id int primary key, kind text, at timestamptz, local_at timestamp, ttl interval, amount numeric(8,2));
    create index on events (at);
    insert into kinds select chr(96 + g), 'kind ' || g, current_date - g, g * interval '60 ms' from generate_series(1, 6) g;
  `)
  await fill()
  await installIncremental(db, queries, { database: { timeZone: 'UTC' } })
})
afterAll(() => db.drop())

/** Events around this moment, some long ago, some to come, some without a time. */
const fill = (): Promise<unknown> =>
  db.sql(`
    truncate events;
    insert into events
    select g, case when g % 40 < 7 then chr(96 + g % 40) else 'z' end, case when g % 20 > 0 then moment end, moment at time zone 'UTC', g % 9 * interval '70 ms', g % 10
    from (select g, clock_timestamp() + case when g % 11 = 0 then g * interval '1 day' when g % 13 = 0 then - g * interval '1 day'
                                             else (g - 100) * interval '30 ms' end as moment
            from generate_series(1, 700) g) e`)

const writes = [
  `update events set at = clock_timestamp() + (random() - 0.5) * interval '1 second' where id % 5 = 0`,
  `delete from events where id % 17 = 0`,
  `update events set kind = 'b' where id % 9 = 0`,
  `insert into events select 1000 + g, 'c', clock_timestamp() - g * interval '10 ms', localtimestamp, interval '100 ms', 1 from generate_series(1, 50) g`,
  `update kinds set span = span + interval '50 ms', since = since + 1`,
  `update events set at = null where id % 23 = 0`,
  `delete from events where kind = 'c'`,
]

/** Some events once more around this moment: however slow the machine, some cross a bound until the next write. */
const eventsAroundNow = `
  update events e set at = x.moment, local_at = x.moment at time zone 'UTC'
  from (select id, clock_timestamp() + (id % 300 - 10) * interval '30 ms' as moment from events where id % 3 = 1) x
  where x.id = e.id`

describe('Views that ask the clock', () => {
  test('hold at every refresh what their query gives at that moment, with and without commits between', async () => {
    await fill()
    for (const name of Object.keys(queries)) await refresh(name)
    const moved = new Set<string>()
    for (let round = 0; round < casesOf(8); round += 1) {
      const write = round % 2 === 0 ? writes[(round / 2) % writes.length] : undefined
      if (write !== undefined) await db.sql(`${write}; ${eventsAroundNow}`)
      for (const name of Object.keys(queries)) {
        expect({ name, round, ...(await refresh(name)) }).toEqual({
          name,
          round,
          method: 'incremental',
          differing: 0,
        })
        if (write === undefined && (await writtenLast(name)) > 0) moved.add(name)
      }
    }
    // Time alone has changed these.
    expect(restless.filter((name) => !moved.has(name))).toEqual([])
  })

  test('do so while others write', async () => {
    await fill()
    // So many for each refresh, and not as many as can be: no log is emptied before the last view has read it.
    const commits = async (writer: number, from: number): Promise<void> => {
      for (let at = from; at < from + 12; at += 1) {
        await db.sql(
          `update events set at = clock_timestamp() + ($1 % 7 - 3) * interval '100 ms', amount = $1 where id % 40 = $2`,
          [at % 100, (at * 2 + writer) % 40],
        )
      }
    }
    for (const [at, name] of Object.keys(queries).entries()) {
      const [run] = await Promise.all([refresh(name), commits(0, at * 12), commits(1, at * 12)])
      expect({ name, ...run }).toMatchObject({ name, differing: 0 })
    }
  })

  test('go on from the moment for which they were computed, also when the clock was set back', async () => {
    await refresh('recent')
    await refresh('daily')
    // As if the last refresh had been computed under another clock: what is stored is that of then.
    for (const then of [`now() - interval '2 days'`, `now() + interval '2 days'`]) {
      await db.sql(`
        do $$ declare then_at timestamptz := ${then}; begin
          perform set_config('tidemark.refreshing', 'public.recent', true);
          delete from tidemark_state."public.recent";
          insert into tidemark_state."public.recent" (id, at, "tidemark hash")
          select id, at, hashtextextended(row(id, at)::text collate "C", 0) from events where at > then_at - interval '200 ms';
          update tidemark.view_state set computed_as_of = then_at where view = 'public.recent';
        end $$`)
      expect(await refresh('recent')).toEqual({ method: 'incremental', differing: 0 })
    }
  })

  test('are computed in full when it is not known for which moment they were computed', async () => {
    await db.sql(
      `update tidemark.view_state set computed_as_of = null where view = 'public.grouped'`,
    )
    expect(await refresh('grouped')).toEqual({ method: 'diff', differing: 0 })
    expect(await refresh('grouped')).toEqual({ method: 'incremental', differing: 0 })
  })

  test('look a moving bound up in an index', async () => {
    const [found] = await db.sql<{ body: string }>(
      `select prosrc as body from pg_proc where proname = 'maintain public.week'`,
    )
    expect(found?.body).toMatch(/>= least\(.*since_as_of/)
  })

  test('follow the days of the zone that is configured', async () => {
    await installIncremental(db, queries, { database: { timeZone: 'Pacific/Kiritimati' } })
    for (const name of ['daily', 'days', 'aged', 'local']) {
      expect({ name, ...(await refresh(name)) }).toMatchObject({ differing: 0 })
      expect({ name, ...(await refresh(name)) }).toMatchObject({
        method: 'incremental',
        differing: 0,
      })
    }
    const [row] = await db.sql<{ same: boolean }>(
      `select bool_and(today = (now() at time zone 'Pacific/Kiritimati')::date) as same from daily`,
    )
    expect(row?.same).toBe(true)
  })

  test('and cannot follow from changes are refused by the construct', async () => {
    const plan = (sql: string, maintain: 'auto' | 'incremental'): Promise<unknown> =>
      planConfiguration(
        db.database,
        configured({ views: { 'public.refused': { sql, maintain, target: '1m' } } }),
      )
    await expect(
      plan(`select id from events where at < clock_timestamp()`, 'incremental'),
    ).rejects.toThrow('volatile')
    await expect(
      plan(
        `select k.kind, e.id from kinds k left join events e on e.at + k.span > now()`,
        'incremental',
      ),
    ).rejects.toThrow('the clock in a condition over both sides of an outer join')
    await expect(
      plan(`select id from events order by id limit extract(hour from now())`, 'incremental'),
    ).rejects.toThrow('the clock in LIMIT')
    expect(
      JSON.stringify(await plan(`select id, now() - at as age from events`, 'auto')),
    ).toContain('full refresh')
  })
})
