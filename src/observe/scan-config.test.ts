import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfiguration } from '../define/config/load-configuration.ts'
import { upcomingSlots } from '../engine/scan.ts'
import type { Configuration } from '../model/declaration.ts'
import { relationName } from '../model/ids.ts'
import { configText, durationText } from './scan-config.ts'
import { prospectOf } from './scan-prospect.ts'
import type { ScannedRefresher, ScannedView } from './scan-report.ts'

const job = (id: number, schedule: string, active = true): ScannedRefresher => ({
  kind: 'pg_cron',
  name: `job ${id} 'a */ name\n'`,
  mode: 'plain',
  job: { id, schedule, active },
  through: [],
  onRequest: false,
})

const viewOf = (parts: Partial<ScannedView>): ScannedView => ({
  name: relationName('public', 'mv'),
  owner: 'postgres',
  tableBytes: 0,
  indexBytes: 0,
  rows: null,
  populated: true,
  uniqueIndex: null,
  managed: false,
  refreshers: [],
  mode: 'plain',
  last: null,
  history: null,
  hints: [],
  interval: null,
  cost: null,
  blocks: '',
  sources: [],
  readers: [],
  readsTheClock: false,
  staleness: null,
  tidemark: prospectOf({ intervalMs: null, cost: null, sources: [] }),
  warnings: [],
  ...parts,
})

const textOf = (views: readonly ScannedView[], cronZone: string | null = null): string =>
  configText({
    database: 'shop\n*/',
    at: new Date('2026-11-22T10:00:00Z'),
    views,
    queues: [],
    cronZone,
    slotsOf: upcomingSlots,
  })

async function loaded(text: string): Promise<Configuration> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-scan-'))
  try {
    await writeFile(join(folder, 'tidemark.config.ts'), text)
    return await loadConfiguration(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('the configuration that a scan proposes', () => {
  it('loads whatever is in the names, and leaves out what it cannot name', async () => {
    const names = [
      `it's`,
      'a b',
      '${x}',
      '`tick`',
      '\\back',
      'ñandú',
      '9',
      'select',
      '-',
      '*/',
      '//',
    ]
    const views = [...names, 'a.b', 'quo"te', 'line\nbreak', ' blank'].map((name) =>
      viewOf({ name: relationName('public', name), refreshers: [job(1, '*/5 * * * *')] }),
    )
    const configuration = await loaded(textOf(views))
    expect(configuration.views.map(({ name }) => name).sort()).toEqual(
      names.map((name) => `public.${name}`).sort(),
    )
  })

  it('keeps the cron schedules of pg_cron in its zone', async () => {
    const refreshers = [job(1, '0 6 * * *'), job(2, '0 12 $ * *'), job(3, '30 seconds')]
    const [view] = (await loaded(textOf([viewOf({ refreshers })], 'America/Bogota'))).views
    expect(view?.schedules.map(({ cron, zone }) => [cron, zone])).toEqual([
      ['0 6 * * *', 'America/Bogota'],
      ['0 12 L * *', 'America/Bogota'],
      ['*/30 * * * * *', 'America/Bogota'],
    ])
  })

  it('tells in a comment what is no cron expression, and what is paused', async () => {
    const text = textOf([
      viewOf({ refreshers: [job(1, '45 seconds'), job(2, '@reboot'), job(3, '* * * * *', false)] }),
    ])
    expect(text.match(/which is no cron expression|no cron\b/g)).toHaveLength(2)
    expect(text).toContain('Paused today')
    expect((await loaded(text)).views[0]?.schedules).toEqual([])
  })

  it('forces a refresh where the result changes with time alone', async () => {
    const text = textOf([viewOf({ readsTheClock: true, refreshers: [job(1, '0 * * * *')] })])
    expect((await loaded(text)).views[0]?.schedules[0]?.force).toBe(true)
  })

  it('leaves out views that Tidemark keeps already', async () => {
    const text = textOf([viewOf({ managed: true })])
    expect(text).toContain('public.mv is kept by Tidemark already')
    expect((await loaded(text)).views).toEqual([])
  })
})

describe('the target that a scan proposes', () => {
  const cost = (medianMs: number) => ({ medianMs, mostMs: null, from: 'pg_cron' })

  it('is the present interval', () => {
    expect(prospectOf({ intervalMs: 420_000, cost: cost(1_000), sources: [] })).toMatchObject({
      targetMs: 420_000,
      feasible: true,
    })
  })

  it('is twice what a refresh takes, rounded up, where the present interval cannot hold', () => {
    const prospect = prospectOf({ intervalMs: 60_000, cost: cost(45_000), sources: [] })
    expect(prospect.targetMs).toBe(120_000)
    expect(prospect.advice).toBe('a refresh takes 45 s, so 1 min cannot hold under steady writes')
  })

  it('is written as people write it', () => {
    expect([300_000, 5_400_000, 90_061_000, 400].map(durationText)).toEqual([
      '5m',
      '1h 30m',
      '1d 1h 1m 1s',
      '1s',
    ])
  })
})
