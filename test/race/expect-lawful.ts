import { expect } from 'vitest'
import type { RaceSubject } from '../../src/testing/index.ts'
import { raceHunt } from './race-hunt.ts'

/** Plays histories, which are to have no violation, and enough in them for that to mean something. */
export async function expectLawful(
  subject: RaceSubject,
  from: { readonly seed: number; readonly histories: number },
): Promise<void> {
  const { violations, reads, hits, acknowledged } = await raceHunt(subject, from)
  expect(violations).toEqual([])
  expect(reads).toBeGreaterThan(from.histories * 5)
  expect(hits).toBeGreaterThan(from.histories)
  expect(acknowledged).toBeGreaterThan(from.histories * 3)
}
