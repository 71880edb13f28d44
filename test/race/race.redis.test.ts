import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RaceSubject } from '../../src/testing/index.ts'
import { checkHistory, tidemarkSubject } from '../../src/testing/index.ts'
import type { TestRedis } from '../support/redis.ts'
import { startRedis } from '../support/redis.ts'
import { expectLawful } from './expect-lawful.ts'
import { raceHunt } from './race-hunt.ts'

const histories = process.env['TIDEMARK_LONG'] === '1' ? 10_000 : 24

describe('the race kit', () => {
  let server: TestRedis
  let subject: RaceSubject
  let close: () => Promise<void>

  beforeAll(async () => {
    server = await startRedis()
    ;({ subject, close } = await tidemarkSubject(server.url))
  })
  afterAll(async () => {
    await close()
    await server.stop()
  })

  test(
    `law: no read that began after an acknowledged invalidation is older (${histories} histories)`,
    { timeout: histories * 5_000 },
    () => expectLawful(subject, { seed: 1, histories }),
  )

  test('law: a history is played again by its seed', async () => {
    const [first, second] = [
      await raceHunt(subject, { seed: 7, histories: 1 }),
      await raceHunt(subject, { seed: 7, histories: 1 }),
    ]
    expect(second).toEqual(first)
  })
})

describe('a history is refused', () => {
  const read = { node: 0, key: 'a', version: 0, state: 'hit', beganAt: 5, endedAt: 6 } as const

  test('when a read that began after an acknowledgement is older', () => {
    const missed = { key: 'a', version: 1, by: 'remove', acknowledgedAt: 4 } as const
    expect(checkHistory({ reads: [read], invalidations: [missed] })).toEqual([
      { kind: 'stale', read, missed },
    ])
  })

  test('when a node goes back', () => {
    const before = { ...read, version: 1, beganAt: 1, endedAt: 2 }
    expect(checkHistory({ reads: [before, read], invalidations: [] })).toEqual([
      { kind: 'backwards', read, before },
    ])
  })

  test('but not when the read began before, is of another key, or says that it may be old', () => {
    const invalidations = [{ key: 'a', version: 1, by: 'remove', acknowledgedAt: 4 } as const]
    const reads = [
      { ...read, beganAt: 3 },
      { ...read, key: 'b' },
      { ...read, state: 'fallback' } as const,
    ]
    expect(checkHistory({ reads, invalidations })).toEqual([])
  })
})
