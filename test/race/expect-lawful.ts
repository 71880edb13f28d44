import { expect } from 'vitest'
import type { RaceSubject } from '../../src/testing/index.ts'
import { raceHunt } from './race-hunt.ts'

/** Plays histories, which are to have no violation, and enough in them for that to mean something. */
export async function expectLawful(
  subject: RaceSubject,
  from: { readonly seed: number; readonly histories: number },
): Promise<void> {
  const report = await raceHunt(subject, from)
  const { violations, reads, hits, acknowledged, expires, sets, renewals, warmed } = report
  expect(violations).toEqual([])
  expect(reads).toBeGreaterThan(from.histories * 5)
  expect(hits).toBeGreaterThan(from.histories)
  expect(acknowledged).toBeGreaterThan(from.histories * 3)
  for (const count of [expires, sets, renewals, warmed])
    expect(count).toBeGreaterThan(from.histories / 12)
}
