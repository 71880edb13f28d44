import type {
  History,
  InvalidationRecord,
  RaceSubject,
  ReadRecord,
  Violation,
} from '../../src/testing/index.ts'
import { checkHistory, diceOf, pick, playHistory } from '../../src/testing/index.ts'

/** What a hunt has seen. */
export interface HuntReport {
  readonly histories: number
  readonly reads: number
  readonly hits: number
  /** Answers that said that they may be old, for they were being renewed. */
  readonly marked: number
  readonly acknowledged: number
  /** Of those that were acknowledged: what may be served as stale, and what was put in the place of another. */
  readonly expires: number
  readonly sets: number
  readonly renewals: number
  /** Entries that were loaded before anybody asked. */
  readonly warmed: number
  /** By seed of the history, which plays it again. */
  readonly violations: readonly (readonly [seed: number, violation: Violation])[]
  /** The histories on so many nodes, and those of them with a violation. */
  readonly byNodes: Readonly<Record<number, { readonly histories: number; readonly wrong: number }>>
}

/** Plays histories from a seed on, over one, two and four nodes, and checks each. */
export async function raceHunt(
  subject: RaceSubject,
  { seed, histories, onHistory }: { seed: number; histories: number; onHistory?: () => void },
): Promise<HuntReport> {
  const counts: Counts[] = []
  const violations: [number, Violation][] = []
  const byNodes: Record<number, { histories: number; wrong: number }> = {}
  for (let at = seed; at < seed + histories; at += 1) {
    const dice = diceOf(at)
    const size = { nodes: pick(dice, [1, 2, 4]), keys: 2, operations: 40 }
    const history = await playHistory(subject, dice, size)
    counts.push(countsOf(history))
    const found = checkHistory(history)
    for (const violation of found) violations.push([at, violation])
    const ofNodes = (byNodes[size.nodes] ??= { histories: 0, wrong: 0 })
    ofNodes.histories += 1
    if (found.length > 0) ofNodes.wrong += 1
    onHistory?.()
  }
  return { histories, ...sumOf(counts), violations, byNodes }
}

type Counts = Record<(typeof counted)[number], number>

const counted = [
  'reads',
  'hits',
  'marked',
  'acknowledged',
  'expires',
  'sets',
  'renewals',
  'warmed',
] as const

const sumOf = (all: readonly Readonly<Counts>[]): Counts =>
  all.reduce<Counts>(
    (sum, each) => {
      for (const name of counted) sum[name] += each[name]
      return sum
    },
    { reads: 0, hits: 0, marked: 0, acknowledged: 0, expires: 0, sets: 0, renewals: 0, warmed: 0 },
  )

function countsOf({ reads, invalidations, renewals, warmed }: History): Counts {
  const told = (by: InvalidationRecord['by']): number =>
    invalidations.filter((each) => each.by === by).length
  const answered = (state: ReadRecord['state']): number =>
    reads.filter((each) => each.state === state).length
  return {
    reads: reads.length,
    hits: answered('hit'),
    marked: answered('stale'),
    acknowledged: invalidations.length,
    expires: told('expire'),
    sets: told('set'),
    renewals,
    warmed,
  }
}

/** What several hunts have seen. */
export function togetherOf(parts: readonly HuntReport[]): HuntReport {
  const byNodes: Record<number, { histories: number; wrong: number }> = {}
  for (const [nodes, of] of parts.flatMap((part) => Object.entries(part.byNodes))) {
    const ofNodes = (byNodes[Number(nodes)] ??= { histories: 0, wrong: 0 })
    ofNodes.histories += of.histories
    ofNodes.wrong += of.wrong
  }
  return {
    histories: parts.reduce((total, part) => total + part.histories, 0),
    ...sumOf(parts),
    violations: parts.flatMap(({ violations }) => violations),
    byNodes,
  }
}
