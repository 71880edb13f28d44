import { spawnSync } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openSession } from '../../src/postgres/connection.ts'
import { plainUser } from '../../src/postgres/plain-user.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'
import { planAndApply } from '../define/configured.ts'
import { createTestDatabase } from '../support/database.ts'
import { workUntilWhole } from './await-state.ts'
import { openFolder } from './own-server.ts'

const order = { worker: 'test', groupsMax: 10, laneMax: 'background' } as const

/** A disk of our own takes root and Linux. */
const mayMount = process.platform === 'linux' && spawnSync('unshare', ['-m', 'true']).status === 0

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

/** A disk of some megabytes that the server's account owns. */
async function smallDisk(megabytes: number): Promise<string> {
  const folder = join(await openFolder(), 'disk')
  await mkdir(folder)
  const user = plainUser()
  mount('-t', 'tmpfs', '-o', `size=${megabytes}m,uid=${user?.uid ?? 0},mode=700`, 'tmpfs', folder)
  onTestFinished(async () => {
    spawnSync('umount', [folder])
    await rm(join(folder, '..'), { recursive: true, force: true })
  })
  return folder
}

test.runIf(mayMount)(
  'a view whose disk is full keeps its rows and says how stale it is; it is not set aside, and catches up when there is room',
  async () => {
    const disk = await smallDisk(1)
    const db = await createTestDatabase()
    const space = `small_of_${db.name}`
    onTestFinished(async () => {
      const admin = await openSession(db.url.replace(db.name, 'postgres'))
      await db.drop()
      await admin.query(`drop tablespace ${space}`)
      await admin.close()
    })
    await db.sql(`create tablespace ${space} location '${disk}'`)
    await db.sql(`create table orders (id int primary key, amount int);
      insert into orders select g, g from generate_series(1, 100) g`)
    await planAndApply(db.database, {
      views: {
        each: { sql: 'select id, amount from orders', key: ['id'], target: '300ms' },
        total: { sql: 'select sum(amount) as amount from orders', target: '300ms' },
      },
    })
    await db.sql(`alter table tidemark_state."public.each" set tablespace ${space}`)
    await workUntilWhole(db.database, ['each', 'total'])

    await db.sql('insert into orders select g, g from generate_series(101, 40000) g')
    for (let attempt = 1; attempt <= 7; attempt += 1) {
      await tick(db.database)
      await db.sql('update tidemark.request set due = now()')
      const done = await work(db.database, order)
      expect(done.find(({ outcome }) => outcome.startsWith('failed'))?.outcome).toMatch(
        /could not extend file .*: No space left on device/,
      )
    }
    const [each, total] = await readFreshness(db.database)
    expect(each).toMatchObject({ view: 'public.each', quarantineReason: null })
    expect(each?.stalenessMs).toBeGreaterThan(0)
    expect(total).toMatchObject({ view: 'public.total', state: 'fresh' })
    expect(await db.sql('select count(*)::int as n from each')).toEqual([{ n: 100 }])

    mount('-o', 'remount,size=32m', disk)
    await db.sql('update tidemark.request set due = now()')
    await workUntilWhole(db.database, ['each', 'total'])
    expect(await db.sql('select count(*)::int as n from each')).toEqual([{ n: 40_000 }])
  },
  120_000,
)
