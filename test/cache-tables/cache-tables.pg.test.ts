import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import type { Queryable } from '../../src/postgres/connection.ts'
import { configured, destroyAll, planAndApply, titles } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { copiesOf, createInstalledDatabase } from '../support/database.ts'
import { thisDatabase } from '../support/waiting-at.ts'

const table = {
  key: ['user_id', 'campaign_id'],
  updatedAt: 'computed_at',
  ttl: '5m',
  views: ['totals'],
  rules: [
    { on: 'sales', key: { user_id: 'user_id' } },
    { on: 'goals', key: { campaign_id: 'campaign_id' }, columns: ['goal'] },
    { on: 'candidates', lookup: 'select id as user_id from people where email = $email' },
  ],
} as const
const config: TidemarkConfig = {
  views: {
    totals: { sql: 'select user_id, count(*) as n from sales group by user_id', target: '1h' },
  },
  cacheTables: { progress: table },
}
let db: TestDatabase

const create = copiesOf(async () => {
  const made = await createInstalledDatabase()
  await made.sql(`
    create table people (id int primary key, email text not null);
    create table sales (id int primary key generated always as identity, user_id int, amount numeric);
    create table goals (campaign_id int primary key, goal int, note text);
    create table candidates (id int primary key, email text, month text);
    create table progress (user_id int, campaign_id int, value text, computed_at timestamptz not null default now(),
      primary key (user_id, campaign_id));
    insert into people select g, 'p' || g from generate_series(1, 9) g;
    insert into goals select g, 10 from generate_series(1, 3) g;
    insert into progress values (1, 1, 'from before');`)
  await apply(made.database, await planConfiguration(made.database, configured(config)))
  return made
})

beforeEach(async () => {
  db = await create()
})
afterEach(() => db.drop())

type Asking = Pick<Queryable, 'query'>

const begin = async (queryable: Asking, user: number, campaign: number): Promise<string | null> => {
  const [row] = await queryable.query<{ token: string | null }>(
    `select tidemark.fill_begin('progress', $1, $2) as token`,
    [String(user), String(campaign)],
  )
  return row?.token ?? null
}

/** Stores a row as a program of the user's does: in one statement, if it may. True when it was stored. */
async function store(queryable: Asking, token: string | null, value = 'x'): Promise<boolean> {
  const stored = await queryable.query(
    `insert into progress (user_id, campaign_id, value)
     select ($1::text::json -> 'key' ->> 0)::int, ($1::text::json -> 'key' ->> 1)::int, $2 where tidemark.fill_end($1::text)
     on conflict (user_id, campaign_id) do update set value = excluded.value, computed_at = now()
     returning 1`,
    [token, value],
  )
  return stored.length === 1
}

const fill = async (user: number, campaign: number): Promise<boolean> =>
  store(db.database, await begin(db.database, user, campaign))

const rows = async (queryable: Asking = db.database): Promise<readonly string[]> =>
  (
    await queryable.query<{ key: string }>(
      `select user_id || ' ' || campaign_id as key from progress order by 1`,
    )
  ).map(({ key }) => key)

const refresh = (): Promise<unknown> => db.sql(`call tidemark.run('totals')`)

describe('a write', () => {
  beforeEach(async () => {
    for (const user of [1, 2])
      for (const campaign of [1, 2]) expect(await fill(user, campaign)).toBe(true)
  })

  test('deletes the rows that it concerns, and no others: inserts, updates of old and new keys, deletes', async () => {
    await db.sql(`insert into sales (user_id, amount) values (1, 5)`)
    expect(await rows()).toEqual(['2 1', '2 2'])
    await refresh()
    expect(await fill(1, 1)).toBe(true)
    await db.sql(`update sales set user_id = 2 where user_id = 1`)
    expect(await rows()).toEqual([])
    await refresh()
    expect(await fill(2, 2)).toBe(true)
    await db.sql(`delete from sales`)
    expect(await rows()).toEqual([])
  })

  test('by a part of the key concerns all rows with it; a column that is not watched is no change', async () => {
    await db.sql(`update goals set note = 'x'`)
    expect(await rows()).toHaveLength(4)
    await db.sql(`update goals set goal = 11 where campaign_id = 2`)
    expect(await rows()).toEqual(['1 1', '2 1'])
  })

  test('finds its rows through a lookup, also where one column alone changed', async () => {
    await db.sql(`insert into candidates values (1, 'p9', '2025-11')`)
    expect(await rows()).toHaveLength(4)
    await db.sql(`update candidates set email = 'p2'`)
    expect(await rows()).toEqual(['1 1', '1 2'])
    expect(await fill(2, 1)).toBe(true)
    await db.sql(`update candidates set month = '2025-12' where email = 'p2'`)
    expect(await rows()).toEqual(['1 1', '1 2'])
  })

  test('of everything concerns everything', async () => {
    await db.sql('truncate sales')
    expect(await rows()).toEqual([])
  })

  test('that is rolled back concerns nothing, nor does one that changes nothing', async () => {
    const session = await db.session()
    await session.query(`begin; insert into sales (user_id) values (1); rollback`)
    await db.sql(`update sales set amount = amount`)
    expect(await rows()).toHaveLength(4)
  })

  test('of many rows leaves one barrier for each key', async () => {
    await db.sql(`insert into sales (user_id) select g % 50 from generate_series(1, 1000) g`)
    await db.sql(`update sales set amount = 1`)
    const [barriers] = await db.sql<{ n: number }>(
      `select count(*)::int as n from tidemark."barriers of public.progress"`,
    )
    expect(barriers?.n).toBe(100)
    expect(await rows()).toEqual([])
    const [sweeps] = await db.sql<{ n: number }>('select count(*)::int as n from tidemark.sweep')
    expect(sweeps?.n).toBe(0)
  })

  test('whose lookup fails goes on and empties everything', async () => {
    await db.sql(`alter table people rename column email to address`)
    await db.sql(`insert into candidates values (2, 'p1')`)
    expect(await rows()).toEqual(['2 1', '2 2'])
    await expect(db.sql(`alter table people drop column address`)).rejects.toThrow(
      'cannot drop column',
    )
    await db.sql(`insert into people select 10, 'many'`)
    await db.sql(`revoke all on people from public`)
    await db.sql(
      `create or replace function tidemark."keys by 2 of public.progress"(tidemark."read by 2 of public.progress") returns table (user_id int)
       language sql stable as $f$ select 1 / 0 $f$`,
    )
    await db.sql(`insert into candidates values (3, 'p1')`)
    expect(await rows()).toEqual([])
  })

  test('goes on, and is followed, when its table is altered where no rule needs it: PostgreSQL refuses none of that', async () => {
    const session = await db.session()
    await session.query(`insert into sales (user_id) values (7); update sales set amount = 2`)
    for (const source of ['sales', 'goals', 'candidates'])
      await db.sql(`alter table ${source} add column added int default 3`)
    await db.sql(`
      alter table goals alter column note type varchar(20);
      alter table candidates alter column month type varchar(7);
      alter table goals drop column note;
      alter table sales add column twice numeric generated always as (amount * 2) stored`)
    await db.sql(`update goals set added = 4`)
    expect(await rows()).toHaveLength(4)
    await refresh()
    expect(await fill(7, 1)).toBe(true)
    await session.query(`update sales set added = 4`)
    expect(await rows()).toHaveLength(4)
    await db.sql(`update goals set goal = 11 where campaign_id = 2`)
    expect(await rows()).toEqual(['1 1', '2 1'])
    await db.sql(`insert into sales (user_id) values (2)`)
    expect(await rows()).toEqual(['1 1'])
    await db.sql(`insert into candidates values (1, 'p3', '2025-11')`)
    await db.sql(`update candidates set email = 'p1'`)
    expect(await rows()).toEqual([])
    expect(titles(await planConfiguration(db.database, configured(config)))).toEqual([])
  })

  test('keeps what its rules need: PostgreSQL refuses to drop or retype it, and tells the mend', async () => {
    for (const alter of ['drop column goal', 'alter column goal type bigint']) {
      const refused = db.sql(`alter table goals ${alter}`)
      await expect(refused).rejects.toMatchObject({
        detail: expect.stringContaining(
          'rule 1 of cache public.progress; run tidemark plan',
        ) as unknown,
      })
    }
    await db.sql(`alter table goals drop column goal cascade`)
    await db.sql(`update goals set note = 'x' where campaign_id = 2`)
    expect(await rows()).toEqual([])
  })

  test('is followed when columns that rules need are renamed, also when another one gets the name', async () => {
    await db.sql(`
      alter table goals rename column campaign_id to "100% of";
      alter table goals rename column goal to aim;
      alter table goals add column goal int default 3;
      alter table goals rename to aims;
      alter table candidates rename column email to address;
      alter table sales rename column user_id to buyer`)
    await db.sql(`update aims set goal = 4`)
    expect(await rows()).toHaveLength(4)
    await db.sql(`update aims set aim = 11 where "100% of" = 2`)
    expect(await rows()).toEqual(['1 1', '2 1'])
    await db.sql(`insert into candidates values (1, 'p3', '2025-11')`)
    await db.sql(`update candidates set address = 'p1'`)
    expect(await rows()).toEqual(['2 1'])
    await db.sql(`insert into sales (buyer) values (3)`)
    expect(await rows()).toEqual(['2 1'])
    await db.sql(`update sales set buyer = 2`)
    expect(await rows()).toEqual([])
  })

  test('of REPEATABLE READ is followed when a column is renamed that it has seen by its former name', async () => {
    const writer = await db.session()
    await writer.query(`begin isolation level repeatable read; select from people`)
    await db.sql(`alter table goals rename column campaign_id to campaign`)
    await writer.query(`update goals set goal = 11 where campaign = 2; commit`)
    expect(await rows()).toEqual(['1 1', '2 1'])
  })

  test('goes on when the cache table has gone or has another name', async () => {
    await db.sql(`alter table progress rename to renamed`)
    await db.sql(`insert into sales (user_id) values (1)`)
    await db.sql(`drop table renamed`)
    await db.sql(`insert into sales (user_id) values (1)`)
  })
})

describe('law: at every step a reader sees no row, or one that contains the write', () => {
  test('a fill that read before a write is refused, whenever the write was committed', async () => {
    const before = await begin(db.database, 1, 1)
    await db.sql(`update goals set goal = 12 where campaign_id = 1`)
    expect(await store(db.database, before)).toBe(false)
    expect(await fill(1, 1)).toBe(true)
  })

  test('a fill is refused while a write to its key is open, and one of another key is not', async () => {
    const writer = await db.session()
    await writer.query(`begin; update goals set goal = 12 where campaign_id = 1`)
    expect(await fill(1, 1)).toBe(false)
    expect(await fill(1, 2)).toBe(true)
    await writer.query('rollback')
    expect(await fill(1, 1)).toBe(true)
  })

  test('a writer that commits waits for a fill that is open, and deletes what it stored', async () => {
    const filler = await db.session()
    const token = await begin(db.database, 1, 1)
    await filler.query('begin')
    expect(await store(filler, token)).toBe(true)
    const write = db.sql(`update goals set goal = 12 where campaign_id = 1`)
    await awaitLock()
    await filler.query('commit')
    await write
    expect(await rows()).toEqual([])
  })

  test('a fill is refused while a view that it reads lacks the write, and not once it has it', async () => {
    await db.sql(`insert into sales (user_id) values (1)`)
    expect(await begin(db.database, 1, 1)).toBeNull()
    expect(await fill(1, 1)).toBe(false)
    expect(await fill(2, 1)).toBe(true)
    await refresh()
    expect(await fill(1, 1)).toBe(true)
  })

  test('a token from before the refresh is refused after it', async () => {
    const session = await db.session()
    await session.query(`begin; insert into sales (user_id) values (1)`)
    const token = await begin(db.database, 1, 1)
    expect(token).not.toBeNull()
    await session.query('commit')
    await refresh()
    await db.sql('select tidemark.tick()')
    await db.sql(`call tidemark.clean()`)
    expect(await store(db.database, token)).toBe(false)
  })

  test('a write that changes nothing that a view reads does not keep fills waiting for its refresh', async () => {
    await db.sql(`insert into sales (user_id) values (1)`)
    await refresh()
    await db.sql(`update sales set amount = 7`)
    expect(await fill(1, 1)).toBe(true)
  })

  test('nothing is filled from a view that does not know what it reflects', async () => {
    await db.sql(`update tidemark.view_state set let_go_reason = 'log_released: test'`)
    expect(await fill(3, 3)).toBe(false)
    await refresh()
    expect(await fill(3, 3)).toBe(true)
  })

  test('a fill that took too long is refused, and barriers are kept as long as one may come', async () => {
    const token = JSON.parse((await begin(db.database, 1, 1)) ?? '{}') as Record<string, unknown>
    const late = JSON.stringify({ ...token, at: '2026-01-01T00:00:00Z' })
    expect(await store(db.database, late)).toBe(false)
    const barriers = async (): Promise<number> =>
      (await db.sql(`select from tidemark."barriers of public.progress"`)).length
    const look = `insert into tidemark.sample select now() - interval '6 minutes', tidemark.snapshot_now()`
    await db.sql(`delete from tidemark.sample; ${look}`)
    await db.sql(`update goals set goal = 12 where campaign_id = 1`)
    await db.sql('select tidemark.tick()')
    expect(await barriers()).toBe(1)
    await db.sql(`delete from tidemark.sample; ${look}`)
    await db.sql('select tidemark.tick()')
    expect(await barriers()).toBe(0)
  })

  test.for(['repeatable read', 'serializable'] as const)(
    'a %s writer does not see what was filled since it began; the next tick deletes it',
    async (isolation) => {
      const writer = await db.session()
      await writer.query(`begin isolation level ${isolation}; select count(*) from goals`)
      expect(await fill(1, 1)).toBe(true)
      await writer.query(`update goals set goal = 12 where campaign_id = 1; commit`)
      await db.sql('select tidemark.tick()')
      expect(await rows()).toEqual([])
      await db.sql('select tidemark.tick()')
      expect(await fill(1, 1)).toBe(true)
      await db.sql('select tidemark.tick()')
      expect(await rows()).toEqual(['1 1'])
    },
  )

  test('nobody fills in a transaction that sees no barrier', async () => {
    const session = await db.session()
    const token = await begin(db.database, 1, 1)
    await session.query('begin isolation level repeatable read')
    expect(await store(session, token)).toBe(false)
    await session.query('rollback')
  })

  test('a random history of writers, fillers and refreshes: a row that is there has every write that was committed', async () => {
    await storm()
  })
})

/** Waits until somebody waits for an advisory lock. */
async function awaitLock(): Promise<void> {
  for (;;) {
    const waiting = await db.sql(
      `select from pg_locks where locktype = 'advisory' and not granted and database = ${thisDatabase}`,
    )
    if (waiting.length > 0) return
  }
}

/** Writers count up in goals; a row's value is the count that its filler read. */
async function storm(): Promise<void> {
  const done = { value: false }
  const committed = new Map([1, 2, 3].map((campaign) => [campaign, 10]))
  const writer = async (campaign: number): Promise<void> => {
    const session = await db.session()
    for (let round = 0; round < 60; round += 1) {
      const [row] = await session.query<{ goal: number }>(
        `update goals set goal = goal + 1 where campaign_id = $1 returning goal`,
        [campaign],
      )
      committed.set(campaign, row?.goal ?? 0)
    }
  }
  const filler = async (): Promise<void> => {
    const session = await db.session()
    for (let round = 0; !done.value; round += 1) {
      const campaign = 1 + (round % 3)
      const token = await begin(session, 1, campaign)
      const [row] = await session.query<{ goal: number }>(
        'select goal from goals where campaign_id = $1',
        [campaign],
      )
      await store(session, token, String(row?.goal))
    }
  }
  let hits = 0
  const reader = async (): Promise<void> => {
    const session = await db.session()
    for (let round = 0; !done.value; round += 1) {
      const campaign = 1 + (round % 3)
      const atLeast = committed.get(campaign) ?? 0
      const [row] = await session.query<{ value: string }>(
        'select value from progress where user_id = 1 and campaign_id = $1',
        [campaign],
      )
      if (row === undefined) continue
      hits += 1
      expect(Number(row.value)).toBeGreaterThanOrEqual(atLeast)
    }
  }
  const others = [filler(), filler(), reader(), reader()]
  await Promise.all([1, 2, 3, 1].map(writer))
  // Nobody writes any more: what is filled stays.
  while (hits === 0) await rows()
  done.value = true
  await Promise.all(others)
}

test('writers of the same keys in opposite order do not wait for each other in a circle', async () => {
  for (const user of [1, 2]) expect(await fill(user, 1)).toBe(true)
  const [one, other] = [await db.session(), await db.session()]
  await one.query(`begin; insert into sales (user_id) values (1)`)
  await other.query(`begin; insert into sales (user_id) values (2)`)
  await one.query(`insert into sales (user_id) values (2)`)
  await other.query(`insert into sales (user_id) values (1)`)
  await Promise.all([one.query('commit'), other.query('commit')])
  expect(await rows()).toEqual([])
})

test('a row written without a fill is left out, or refused where that was asked for', async () => {
  expect(await rows()).toEqual([])
  const insert = `insert into progress values (1, 1, 'x') on conflict (user_id, campaign_id) do update set value = 'x'`
  await db.sql(insert)
  expect(await rows()).toEqual([])
  const refusing: TidemarkConfig = {
    ...config,
    cacheTables: { progress: { ...table, unfenced: 'refuse' } },
  }
  await planAndApply(db.database, refusing)
  await expect(db.sql(insert)).rejects.toThrow('TIDEMARK_FILL_UNFENCED')
  expect(await fill(1, 1)).toBe(true)
})

test('rows that are too old are cleaned by hand and by ticks', async () => {
  for (const user of [1, 2, 3]) expect(await fill(user, 1)).toBe(true)
  await db.sql(`alter table progress disable trigger "tidemark fence"`)
  await db.sql(`update progress set computed_at = now() - user_id * interval '3 minutes'`)
  const [cleaned] = await db.sql<{ n: number }>(
    `select tidemark.clean_stale('progress', '7 minutes')::int as n`,
  )
  expect(cleaned?.n).toBe(1)
  expect(await rows()).toEqual(['1 1', '2 1'])
  await db.sql('select tidemark.tick()')
  expect(await rows()).toEqual(['1 1'])
})

test('a plan applied is a plan that is empty; without the declaration the table stays, and nothing else', async () => {
  expect((await planConfiguration(db.database, configured(config))).steps).toEqual([])
  const plan = await planAndApply(db.database, { views: config.views })
  expect(titles(plan)).toEqual(['- cache public.progress'])
  await db.sql(`insert into progress values (1, 1, 'x')`)
  await db.sql(`insert into sales (user_id) values (1)`)
  expect(await rows()).toEqual(['1 1'])
  await planAndApply(db.database, config)
  expect(await rows()).toEqual([])
  await destroyAll(db.database)
  expect(await db.sql(`select from pg_trigger where not tgisinternal`)).toEqual([])
})

test('partitions of a table count', async () => {
  await db.sql(`
    create table parts (id int, user_id int) partition by range (id);
    create table parts_1 partition of parts for values from (0) to (10);
    create table parts_2 (user_id int, id int);
    alter table parts attach partition parts_2 for values from (10) to (20);`)
  await planAndApply(db.database, {
    ...config,
    cacheTables: { progress: { ...table, rules: [{ on: 'parts', key: { user_id: 'user_id' } }] } },
  })
  for (const user of [1, 2, 3]) expect(await fill(user, 1)).toBe(true)
  await db.sql(`insert into parts values (1, 1)`)
  await db.sql(`insert into parts_2 (id, user_id) values (11, 2)`)
  expect(await rows()).toEqual(['3 1'])
  await db.sql(`alter table parts add column added int default 3`)
  await db.sql(`alter table parts rename column user_id to buyer`)
  await db.sql(`update parts set buyer = 3 where id = 11`)
  expect(await rows()).toEqual([])
  expect(await fill(2, 1)).toBe(true)
  await db.sql(`delete from parts where id = 1; insert into parts values (12, 4)`)
  expect(await rows()).toEqual(['2 1'])
})

test('roles may fill and clean, and nothing else', async () => {
  const role = `filler_${Math.floor(Math.random() * 1e9)}`
  await db.sql(`create role ${role} login; grant select, insert, update on progress to ${role}`)
  await planAndApply(db.database, {
    ...config,
    cacheTables: { progress: { ...table, roles: [role] } },
  })
  const session = await db.session(role)
  expect(await store(session, await begin(session, 1, 1))).toBe(true)
  await session.query(`select tidemark.clean_stale('progress')`)
  await expect(session.query(`delete from tidemark."barriers of public.progress"`)).rejects.toThrow(
    'permission denied',
  )
  await session.close()
  await destroyAll(db.database)
  await db.sql(`drop owned by ${role}; drop role ${role}`)
})

test.for([
  [{ on: 'sales', key: { user: 'user_id' } }, 'user, which is no column of the key'],
  [{ on: 'sales', key: { user_id: 'user' } }, 'public.sales has no column user'],
  [{ on: 'candidates', lookup: 'select id from people' }, 'id, which is no column of the key'],
  [{ on: 'candidates', lookup: 'select no from people' }, 'PostgreSQL refuses the lookup'],
] as const)('the rule %j is refused', async ([rule, message]) => {
  const planned = planConfiguration(
    db.database,
    configured({ ...config, cacheTables: { progress: { ...table, rules: [rule] } } }),
  )
  await expect(planned).rejects.toThrow(message)
  await expect(planned).rejects.toThrow('TIDEMARK_CACHE_RULE_INVALID')
})
