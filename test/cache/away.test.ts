import { expect, onTestFinished, test } from 'vitest'
import { systemTiming } from '../../src/base/timing.ts'
import { createCache } from '../../src/cache.ts'
import { diceOf } from '../../src/testing/index.ts'
import { Scheduler } from '../../src/testing/race/scheduler.ts'
import { gate } from '../support/gate.ts'
import { scriptedJournal } from './scripted-journal.ts'

const hardTimeout = '4s'

/** A cache whose database and source can be frozen; time passes when the test lets it. */
function freezable() {
  const time = new Scheduler(diceOf(1))
  const journal = scriptedJournal()
  const cache = createCache({ namespace: 'test', ...journal.options, timing: time.timing(0) })
  onTestFinished(() => cache.close())
  const source = { version: 1, frozen: false, loads: 0 }
  const thing = cache.define(
    'thing',
    () => {
      source.loads += 1
      return source.frozen ? new Promise<number>(() => undefined) : source.version
    },
    { hardTimeout, eagerness: 0 },
  )
  /** What a reader is told who waits no longer than that. */
  const read = async (waitMs = 0): Promise<string> => {
    let told = 'nothing'
    const answered = thing.get().then(
      ({ value, state }) => `${state} ${String(value)}`,
      (error: unknown) => String(error),
    )
    void answered.then((answer) => (told = answer))
    await time.pass(waitMs)
    // What needs no time to pass has happened when its turns have.
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    return told
  }
  return { time, journal, source, read }
}

test('while the database is frozen the first reads wait for it, later ones are answered by the source at once', async () => {
  const { time, journal, source, read } = freezable()
  expect(await read()).toBe('miss 1')
  expect(await read()).toBe('hit 1')
  journal.freeze(true)
  await time.pass(150)
  expect(await read()).toBe('nothing')
  await time.pass(5_000)
  source.version = 2
  expect(await read()).toBe('miss 2')
  const looks = journal.looks()
  for (let seconds = 0; seconds < 10; seconds += 1) {
    expect(await read(1_000)).toBe('miss 2')
  }
  expect(journal.looks() - looks).toBeLessThanOrEqual(10)
})

test('law: when the database is back, what was committed meanwhile is known before anything is a hit again', async () => {
  const { time, journal, source, read } = freezable()
  expect(await read()).toBe('miss 1')
  journal.freeze(true)
  await time.pass(150)
  await read(5_000)
  source.version = 2
  journal.commit('all')
  journal.freeze(false)
  const told = new Set<string>()
  for (let tenths = 0; tenths < 20; tenths += 1) told.add(await read(100))
  expect([...told]).toEqual(['miss 2', 'hit 2'])
})

test('while database and source are frozen, what is known is answered, marked, and after the first reads at once', async () => {
  const { time, journal, source, read } = freezable()
  expect(await read()).toBe('miss 1')
  journal.freeze(true)
  source.frozen = true
  await time.pass(150)
  for (let reads = 0; reads < 4; reads += 1) expect(await read(4_000)).toBe('fallback 1')
  expect(await read()).toBe('fallback 1')
  const { loads } = source
  for (let seconds = 0; seconds < 10; seconds += 1) {
    await read()
    expect(await read(1_000)).toBe('fallback 1')
  }
  expect(source.loads - loads).toBeLessThanOrEqual(10)
  journal.freeze(false)
  source.frozen = false
  source.version = 2
  journal.commit('all')
  await time.pass(5_000)
  expect(await read()).toBe('miss 2')
  expect(await read()).toBe('hit 2')
})

test('law: with maxLag 0 nobody joins a load that began before he asked, nor while the journal is away and a clock stands still', async () => {
  const { options } = scriptedJournal()
  const cache = createCache({
    ...options,
    namespace: 'test',
    maxLag: 0,
    timing: { ...systemTiming, now: () => 1_000 },
    journalThrough: (own) => ({
      ...(options.journalThrough?.(own) ?? own),
      look: () => Promise.reject(new Error('away')),
    }),
  })
  onTestFinished(() => cache.close())
  const held = gate()
  let [version, loads] = [1, 0]
  const thing = cache.define('thing', async () => {
    loads += 1
    const seen = version
    await held.passed
    return seen
  })
  const before = thing.get()
  await expect.poll(() => loads).toBe(1)
  version = 2
  const after = thing.get()
  await expect.poll(() => loads).toBe(2)
  held.open()
  expect([(await before).value, (await after).value]).toEqual([1, 2])
})
