import type { RaceSubject, Violation } from '../../src/testing/index.ts'
import { checkHistory, diceOf, pick, playHistory } from '../../src/testing/index.ts'

/** What a hunt has seen. */
export interface HuntReport {
  readonly histories: number
  readonly reads: number
  readonly hits: number
  readonly acknowledged: number
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
  let [reads, hits, acknowledged] = [0, 0, 0]
  const violations: [number, Violation][] = []
  const byNodes: Record<number, { histories: number; wrong: number }> = {}
  for (let at = seed; at < seed + histories; at += 1) {
    const dice = diceOf(at)
    const size = { nodes: pick(dice, [1, 2, 4]), keys: 2, operations: 40 }
    const history = await playHistory(subject, dice, size)
    reads += history.reads.length
    hits += history.reads.filter(({ state }) => state === 'hit').length
    acknowledged += history.invalidations.length
    const found = checkHistory(history)
    for (const violation of found) violations.push([at, violation])
    const ofNodes = (byNodes[size.nodes] ??= { histories: 0, wrong: 0 })
    ofNodes.histories += 1
    if (found.length > 0) ofNodes.wrong += 1
    onHistory?.()
  }
  return { histories, reads, hits, acknowledged, violations, byNodes }
}

/** What several hunts have seen. */
export function togetherOf(parts: readonly HuntReport[]): HuntReport {
  const sum = (name: 'histories' | 'reads' | 'hits' | 'acknowledged'): number =>
    parts.reduce((total, part) => total + part[name], 0)
  const byNodes: Record<number, { histories: number; wrong: number }> = {}
  for (const [nodes, of] of parts.flatMap((part) => Object.entries(part.byNodes))) {
    const ofNodes = (byNodes[Number(nodes)] ??= { histories: 0, wrong: 0 })
    ofNodes.histories += of.histories
    ofNodes.wrong += of.wrong
  }
  return {
    histories: sum('histories'),
    reads: sum('reads'),
    hits: sum('hits'),
    acknowledged: sum('acknowledged'),
    violations: parts.flatMap(({ violations }) => violations),
    byNodes,
  }
}
