import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { planConfiguration } from '../../src/engine/define.ts'
import { rowsTag } from '../../src/invalidate/tags.ts'
import { relationOf } from '../../src/model/ids.ts'
import { configured, destroyAll, planAndApply, titles } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { copiesOf, createInstalledDatabase } from '../support/database.ts'
import { poll, tagsAfter, tagsOf } from './polling.ts'

const config: TidemarkConfig = {
  views: {},
  caches: {
    shop: {
      dependsOn: {
        quotes: [['tenant_id'], ['tenant_id', 'status'], []],
        products: [],
        expenses: ['tenant_id'],
      },
    },
  },
}
let db: TestDatabase

const create = copiesOf(async () => {
  const made = await createInstalledDatabase()
  await made.sql(`
    create type status as enum ('OPEN', 'ACCEPTED');
    create table quotes (id int primary key, tenant_id int, status status not null default 'OPEN', amount numeric(10, 2));
    create table products (id int primary key, name text);
    create table expenses (id int primary key, tenant_id text);
    create table unrelated (id int primary key);
    insert into quotes select g, g % 3, 'OPEN', g from generate_series(1, 9) g;`)
  await planAndApply(made.database, config)
  return made
})

beforeEach(async () => {
  db = await create()
})
afterEach(() => db.drop())

describe('tags', () => {
  test('each rule makes one of old and new values, whichever column changed, and only once a batch', async () => {
    const tags = await tagsAfter(db.database, async () => {
      await db.sql(`update quotes set amount = amount + 1 where tenant_id = 1`)
      await db.sql(`update quotes set tenant_id = 7 where id = 2`)
      await db.sql(`insert into products values (1, 'a'), (2, 'b')`)
    })
    expect(tags).toEqual([
      'source:public.products',
      'source:public.quotes',
      'source:public.quotes:status=OPEN,tenant_id=1',
      'source:public.quotes:status=OPEN,tenant_id=2',
      'source:public.quotes:status=OPEN,tenant_id=7',
      'source:public.quotes:tenant_id=1',
      'source:public.quotes:tenant_id=2',
      'source:public.quotes:tenant_id=7',
    ])
  })

  test('a value is written as PostgreSQL prints it, with the signs of a tag encoded, and NULL apart', async () => {
    const odd = `a,b=c:d%e é\n`
    const tags = await tagsAfter(db.database, async () => {
      await db.sql(`insert into expenses values (1, $1), (2, null)`, [odd])
    })
    expect(tags).toEqual([
      'source:public.expenses:tenant_id=\\N',
      'source:public.expenses:tenant_id=a%2Cb%3Dc%3Ad%25e é%0A',
    ])
    for (const value of [odd, null])
      expect(tags).toContain(rowsTag(relationOf('expenses'), [['tenant_id', value]]))
  })

  test('TRUNCATE is told as all of it', async () => {
    const tags = await tagsAfter(db.database, () => db.sql('truncate quotes, expenses'))
    expect(tags).toEqual([
      'source:public.expenses:*',
      'source:public.quotes',
      'source:public.quotes:*',
    ])
  })

  test('a gap is told as all of it', async () => {
    const tags = await tagsAfter(db.database, async () => {
      await db.sql(`alter table quotes disable trigger all`)
      await db.sql('select tidemark.tick()')
    })
    expect(tags).toEqual(['source:public.quotes', 'source:public.quotes:*'])
    expect((await poll(db.database)).problem).toContain('broken: public.quotes')
  })

  test('so many values that each would be a load are told as all of it', async () => {
    const tags = await tagsAfter(db.database, () =>
      db.sql(`insert into quotes select g, g, 'OPEN', 0 from generate_series(1000, 12000) g`),
    )
    expect(tags).toEqual(['source:public.quotes', 'source:public.quotes:*'])
  })

  test('an update of a column that came after the table was captured counts', async () => {
    await db.sql('alter table quotes add column note text')
    const tags = await tagsAfter(db.database, () =>
      db.sql(`update quotes set note = 'x' where id = 4`),
    )
    expect(tags).toContain('source:public.quotes:tenant_id=1')
  })

  test('an update that changes nothing is no change', async () => {
    expect(await tagsAfter(db.database, () => db.sql(`update quotes set amount = amount`))).toEqual(
      [],
    )
  })

  test('what is read of a table outside the namespace is not told', async () => {
    expect(await tagsAfter(db.database, () => db.sql(`insert into unrelated values (1)`))).toEqual(
      [],
    )
  })
})

describe('code', () => {
  test('a wish is told when its transaction commits, and not when it is rolled back', async () => {
    const writer = await db.session()
    await writer.query('begin')
    await writer.query(
      `select tidemark.invalidate('shop', array['tag:a', 'tag:b'], 'expire', keys => array['shop:a'])`,
    )
    expect(await tagsAfter(db.database, () => Promise.resolve())).toEqual([])
    expect(await tagsAfter(db.database, () => writer.query('commit'))).toEqual([
      'expire tag:a',
      'expire tag:b',
      'key expire shop:a',
    ])
    await writer.query(`begin; select tidemark.invalidate('shop', array['tag:c']); rollback`)
    expect(await tagsAfter(db.database, () => Promise.resolve())).toEqual([])
  })

  test('the transactions of an invalidation are named, from the lowest to the highest', async () => {
    const { position } = await poll(db.database)
    const xids: bigint[] = []
    for (const tag of ['key:a', 'key:a']) {
      const [row] = await db.sql<{ xid: string }>(
        `select tidemark.invalidate('shop', array[$1]), pg_current_xact_id()::text as xid`,
        [tag],
      )
      xids.push(BigInt(row?.xid ?? 0))
    }
    const { invalidations } = await poll(db.database, position)
    expect(invalidations.map(([, , , , first, last]) => [BigInt(first), BigInt(last)])).toEqual([
      xids,
    ])
  })

  test.for([
    [`select tidemark.invalidate('shop', '{a}', 'forget')`, 'TIDEMARK_USAGE'],
    [`select tidemark.invalidate('nowhere', '{a}')`, 'TIDEMARK_CACHE_UNKNOWN'],
    [`select tidemark.poll_invalidations('nowhere')`, 'TIDEMARK_CACHE_UNKNOWN'],
  ] as const)('%s is refused with a code', async ([sql, code]) => {
    await expect(db.sql(sql)).rejects.toThrow(code)
  })
})

describe('law: whoever sees a position sees all before it, and a poll misses no commit', () => {
  test('a transaction that was open while others were sequenced is told after its commit', async () => {
    const slow = await db.session()
    await slow.query(`begin; update quotes set amount = 0 where id = 1`)
    const { position } = await poll(db.database)
    await db.sql(`update quotes set amount = 0 where id = 2`)
    const between = await poll(db.database, position)
    expect(tagsOf(between)).toContain('source:public.quotes:tenant_id=2')
    expect(tagsOf(between)).not.toContain('source:public.quotes:tenant_id=1')
    await slow.query('commit')
    const after = await poll(db.database, between.position)
    expect(tagsOf(after)).toContain('source:public.quotes:tenant_id=1')
    expect(tagsOf(after)).not.toContain('source:public.quotes:tenant_id=2')
  })

  test('writers and pollers at once: each sees every commit that was there when it asked, in one order', async () => {
    const writers = 4
    const rounds = 25
    const begun = await poll(db.database)
    const order: (readonly [number, string])[][] = []
    const poller = async (): Promise<void> => {
      const session = await db.session()
      const seen: (readonly [number, string])[] = []
      order.push(seen)
      let since = begun.position
      for (let round = 0; round < rounds * 2; round += 1) {
        const committed = [...done]
        const news = await poll(session, since)
        since = news.position
        for (const [position, , tag] of news.invalidations) seen.push([position, tag])
        const told = new Set(seen.map(([, tag]) => tag))
        expect(committed.filter((tag) => !told.has(tag))).toEqual([])
      }
    }
    const done = new Set<string>()
    const writer = async (n: number): Promise<void> => {
      const session = await db.session()
      for (let round = 0; round < rounds; round += 1) {
        const tag = `key:${n}:${round}`
        await session.query(`select tidemark.invalidate('shop', array[$1])`, [tag])
        done.add(tag)
      }
    }
    await Promise.all([
      ...Array.from({ length: writers }, (_, n) => writer(n)),
      ...Array.from({ length: 3 }, poller),
    ])
    const [reference] = await Promise.all([poll(db.database, begun.position)])
    const whole = reference.invalidations.map(([position, , tag]) => [position, tag] as const)
    expect(whole).toHaveLength(writers * rounds)
    for (const seen of order) expect(seen).toEqual(whole.slice(0, seen.length))
  })

  test('who polls in the transaction that writes is not told of what may yet be rolled back', async () => {
    const session = await db.session()
    const { position } = await poll(db.database)
    await session.query(`begin; select tidemark.invalidate('shop', array['key:a'])`)
    await db.sql(`select tidemark.invalidate('shop', array['key:b'])`)
    expect(tagsOf(await poll(session, position))).toEqual(['key:b'])
    await session.query('rollback')
    expect(tagsOf(await poll(db.database, position))).toEqual(['key:b'])
  })
})

describe('who comes late', () => {
  test('gets as much as it asked for, and more when it asks again', async () => {
    const { position } = await poll(db.database)
    for (let n = 0; n < 5; n += 1) {
      await db.sql(`select tidemark.invalidate('shop', array[$1])`, [`key:${n}`])
      await poll(db.database)
    }
    const first = await poll(db.database, position, { max: 3 })
    expect(first).toMatchObject({ more: true, complete: true, position: position + 3 })
    const second = await poll(db.database, first.position, { max: 3 })
    expect(second).toMatchObject({ more: false, complete: true, position: position + 5 })
    expect(tagsOf(second)).toEqual(['key:3', 'key:4'])
  })

  test('is told that it cannot be told, when what it missed is forgotten', async () => {
    const { position, epoch } = await poll(db.database)
    await db.sql(`select tidemark.invalidate('shop', array['key:a'])`)
    const news = await poll(db.database, position, { epoch })
    await db.sql(`update tidemark.invalidation set at = now() - interval '2 hours'`)
    await db.sql('select tidemark.tick()')
    expect(await poll(db.database, position, { epoch })).toMatchObject({
      complete: false,
      invalidations: [],
      position: news.position,
    })
    expect(await poll(db.database, news.position, { epoch })).toMatchObject({ complete: true })
  })

  test('is told so as well when the journal began anew', async () => {
    const { position, epoch } = await poll(db.database)
    await db.sql(`select tidemark.renew_cache('shop')`)
    expect((await poll(db.database, position, { epoch })).complete).toBe(false)
    expect((await poll(db.database, position)).complete).toBe(false)
    const again = await poll(db.database)
    expect(again.epoch).not.toBe(epoch)
    expect((await poll(db.database, again.position, { epoch: again.epoch })).complete).toBe(true)
  })
})

test('law: a log is kept for a cache that has not seen it, and emptied once it has', async () => {
  const rows = async (): Promise<number> => {
    const [row] = await db.sql<{ n: number }>(
      `select sum(n)::int as n from (select count(*) as n from tidemark."log 0 public.quotes"
       union all select count(*) from tidemark."log 1 public.quotes" union all select count(*) from tidemark."log 2 public.quotes") l`,
    )
    return row?.n ?? -1
  }
  await db.sql(`update tidemark.setting set value = '0' where name = 'max_log_bytes'`)
  await db.sql(`update quotes set amount = 0 where id = 1`)
  await db.sql(`call tidemark.clean()`)
  expect(await rows()).toBe(1)
  await poll(db.database)
  await db.sql(`call tidemark.clean()`)
  expect(await rows()).toBe(0)
})

test('a tick gives positions where nobody polls', async () => {
  await db.sql(`update tidemark.cache_state set sequenced_at = now() - interval '6 seconds'`)
  await db.sql(`update quotes set amount = 0 where id = 1`)
  await db.sql('select tidemark.tick()')
  const [state] = await db.sql<{ position: number }>('select position::int from tidemark.caches')
  expect(state?.position).toBe(3)
})

test('a plan applied is a plan that is empty; roles may poll and invalidate their namespaces and no others', async () => {
  const role = `cache_reader_${Math.floor(Math.random() * 1e9)}`
  await db.sql(`create role ${role} login`)
  const two: TidemarkConfig = {
    views: {},
    caches: {
      shop: { ...config.caches?.['shop'], dependsOn: { products: [] }, roles: [role] },
      other: { dependsOn: { products: [] } },
    },
  }
  expect(titles(await planAndApply(db.database, two))).toContain('~ cache shop')
  expect((await planConfiguration(db.database, configured(two))).steps).toEqual([])
  const session = await db.session(role)
  expect((await poll(session)).complete).toBe(true)
  await session.query(`select tidemark.invalidate('shop', '{a}')`)
  for (const sql of [
    `select tidemark.poll_invalidations('other')`,
    `select tidemark.invalidate('other', '{a}')`,
    `select * from tidemark.invalidation`,
    `insert into tidemark.invalidation_request (cache, tags, keys, verb) values ('other', '{a}', '{}', 'remove')`,
    `select tidemark.renew_cache('shop')`,
    `select tidemark.ask_invalidation('other', '{a}', 'remove', '{}')`,
  ]) {
    await expect(session.query(sql)).rejects.toThrow(/permission denied/)
  }
  await session.close()
  await destroyAll(db.database)
  await db.sql(`drop role ${role}`)
})

test.for([
  [{ quotes: ['amount'] }, 'cannot be told apart by amount, which is numeric(10,2)'],
  [{ quotes: ['tenant'] }, 'public.quotes has no column tenant'],
] as const)('%j is refused', async ([dependsOn, message]) => {
  const planned = planConfiguration(
    db.database,
    configured({ views: {}, caches: { shop: { dependsOn } } }),
  )
  await expect(planned).rejects.toThrow(message)
  await expect(planned).rejects.toThrow('TIDEMARK_CACHE_KEY_INVALID')
})
