import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemTiming } from '../../src/base/timing.ts'
import type { Journal } from '../../src/cache/journal.ts'
import { postgresJournal } from '../../src/cache/postgres-journal.ts'
import { namedTag, rowsTag } from '../../src/invalidate/tags.ts'
import { relationOf } from '../../src/model/ids.ts'
import type { EntryKey, Tag } from '../../src/model/invalidation.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'

let db: TestDatabase
let journal: Journal

beforeEach(async () => {
  db = await createInstalledDatabase()
  await db.sql(`create table quotes (id int primary key, tenant_id int)`)
  await planAndApply(db.database, {
    views: {},
    caches: { shop: { dependsOn: { quotes: ['tenant_id'] } } },
  })
  journal = postgresJournal('shop', {
    url: db.url,
    maxLagMs: 20,
    timing: systemTiming,
    wanted: () => [],
  })
})
afterEach(async () => {
  await journal.close()
  await db.drop()
})

test('a look tells commits and wishes in order, with the one transaction that they are of', async () => {
  const { position, epoch } = await journal.look(null)
  const [row] = await db.sql<{ xid: string }>(
    `insert into quotes values (1, 7) returning pg_current_xact_id()::text as xid`,
  )
  const tag = namedTag('prices')
  const key = 'shop:quotes:7' as EntryKey
  const appended = await journal.append({ verb: 'expire', tags: [tag], keys: [key] })
  const news = await journal.look(position)
  expect(news).toMatchObject({ complete: true, epoch, position: appended })
  expect(news.invalidations.map(({ verb, of }) => ({ verb, ...of }))).toEqual([
    {
      verb: 'remove',
      kind: 'tag',
      tag: rowsTag(relationOf('quotes'), [['tenant_id', 7]]),
    },
    { verb: 'expire', kind: 'key', key },
    { verb: 'expire', kind: 'tag', tag },
  ])
  expect(news.invalidations[0]?.xids).toEqual({ first: row?.xid, last: row?.xid })
  expect(news.snapshot).toMatch(/^\d+:\d+:/)
  expect(await journal.snapshot()).toMatch(/^\d+:\d+:/)
})

test('an invalidation by several transactions names the lowest and the highest', async () => {
  const { position } = await journal.look(null)
  const insert = (id: number) =>
    db.sql<{ xid: string }>(
      `insert into quotes values (${id}, 7) returning pg_current_xact_id()::text as xid`,
    )
  const [[first], [last]] = [await insert(1), await insert(2)]
  const { invalidations } = await journal.look(position)
  expect(invalidations.map(({ xids }) => xids)).toEqual([{ first: first?.xid, last: last?.xid }])
})

test('more than one answer holds is one look', async () => {
  const { position } = await journal.look(null)
  const tags = Array.from({ length: 25_000 }, (_, n) => namedTag(String(n)))
  await journal.append({ verb: 'remove', tags, keys: [] })
  const { invalidations, complete } = await journal.look(position)
  expect(complete).toBe(true)
  expect(new Set(invalidations.map(({ of }) => of.kind === 'tag' && of.tag)).size).toBe(25_000)
})

test('a hint comes when there are news', async () => {
  let hints = 0
  const hinted = new Promise<void>((resolve) => {
    journal.onHint(() => {
      hints += 1
      // The first says that listening has begun.
      if (hints === 1) void journal.append({ verb: 'remove', tags: ['a' as Tag], keys: [] })
      else resolve()
    })
  })
  await hinted
})

test('a look fails while a table is not captured, and where there is no such cache', async () => {
  await db.sql(`select tidemark.bypass('quotes', 'test')`)
  await expect(journal.look(null)).rejects.toThrow('TIDEMARK_CACHE_BLIND')
  const other = postgresJournal('other', {
    url: db.url,
    maxLagMs: 20,
    timing: systemTiming,
    wanted: () => [],
  })
  await expect(other.look(null)).rejects.toThrow('TIDEMARK_CACHE_UNKNOWN')
  await other.close()
})

test('a look after a new beginning says that not all can be told', async () => {
  const { position, epoch } = await journal.look(null)
  await db.sql(`select tidemark.renew_cache('shop')`)
  const news = await journal.look(position)
  expect(news.complete).toBe(false)
  expect(news.epoch).not.toBe(epoch)
  expect((await journal.look(news.position)).complete).toBe(true)
})
