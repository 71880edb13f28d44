import { formatDuration } from '../base/duration.ts'
import type { RefreshCost, ScannedProspect, ScannedSource } from './scan-report.ts'

/** Targets that people write, in milliseconds: the next one up is proposed. */
const niceTargets = [
  10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400,
].map((seconds) => seconds * 1_000)

/** Where nothing promises an interval today. */
const targetDefaultMs = 300_000

/**
 * What Tidemark would do: keep what the present schedule promises, or twice what a refresh takes where
 * that is more. A target of twice the duration holds under steady writes: a commit that just missed a
 * refresh waits for that one and for its own.
 */
export function prospectOf(today: {
  readonly intervalMs: number | null
  readonly cost: RefreshCost | null
  readonly sources: readonly ScannedSource[]
}): ScannedProspect {
  const { intervalMs, cost, sources } = today
  const wishedMs = intervalMs === null ? targetDefaultMs : Math.max(10_000, toSeconds(intervalMs))
  const neededMs = cost === null ? 0 : 2 * cost.medianMs
  const targetMs = neededMs > wishedMs ? niceAtLeast(neededMs) : wishedMs
  const foreign = sources.filter(({ kind }) => kind === 'foreign').map(({ name }) => name)
  const verdict = (feasible: boolean | null, advice: string): ScannedProspect => ({
    strategy: 'full',
    method: 'diff',
    targetMs,
    feasible,
    advice,
  })
  if (foreign.length > 0) {
    return verdict(
      null,
      `writes to ${foreign.join(', ')} cannot be seen from here: the view would be 'unknown'`,
    )
  }
  if (cost === null) return verdict(null, 'judged after the first refresh')
  const takes = `a refresh takes ${formatDuration(cost.medianMs)}${cost.from === 'estimate' ? " by the planner's estimate" : ''}`
  if (targetMs > wishedMs) {
    return verdict(true, `${takes}, so ${formatDuration(wishedMs)} cannot hold under steady writes`)
  }
  return verdict(true, takes)
}

const toSeconds = (ms: number): number => Math.round(ms / 1_000) * 1_000

const niceAtLeast = (ms: number): number =>
  niceTargets.find((target) => target >= ms) ?? Math.ceil(ms / 86_400_000) * 86_400_000
