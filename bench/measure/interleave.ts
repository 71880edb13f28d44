import { cpus, loadavg } from 'node:os'
import { median } from './compare.ts'

/** One of several ways to do the same. */
export interface Contender {
  readonly name: string
  /** Does it so often, one after the other. */
  readonly run: (times: number) => Promise<void> | undefined
}

/** How long a measure takes. */
export interface Turns {
  readonly rounds: number
  /** How long a turn of a contender takes about, in milliseconds. */
  readonly turnMs: number
}

/** What a contender took a time: of its turns the median, and the best, which others on the machine delay least. */
export interface Cost {
  readonly median: number
  readonly best: number
}

/** The costs of contenders by name. */
export type Costs = ReadonlyMap<string, Cost>

/**
 * Measures contenders in turns, in microseconds, so that what else happens on the machine concerns all of them; who went first goes last
 * in the next round.
 */
export async function interleaved(
  contenders: readonly Contender[],
  { rounds, turnMs }: Turns,
): Promise<Costs> {
  const costs = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  const times = new Map<string, number>()
  for (const contender of contenders) times.set(contender.name, await timesFor(contender, turnMs))
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, run } of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const many = times.get(name) ?? 1
      const begun = performance.now()
      await run(many)
      costs.get(name)?.push(((performance.now() - begun) * 1_000) / many)
    }
  }
  return new Map([...costs].map(([name, each]) => [name, costOf(each)]))
}

/** What several turns say. */
export const costOf = (turns: readonly number[]): Cost => ({
  median: median(turns),
  best: Math.min(...turns),
})

/** How many times fill a turn, found while the code gets warm. */
async function timesFor({ run }: Contender, turnMs: number): Promise<number> {
  for (let times = 16; ; times *= 2) {
    const begun = performance.now()
    await run(times)
    if (performance.now() - begun >= turnMs / 2) return times
  }
}

/** How busy the machine was while something was measured. */
export interface Load {
  /** Processes that ran or wanted to, over the last minute. */
  readonly average: number
  /** Cores that others kept busy meanwhile. */
  readonly othersCores: number
}

/** Begins to look how busy the machine is; the result tells how busy it was since. */
export function loadMeter(): () => Load {
  const [began, ownBegan] = [busyMs(), ownMs()]
  const begunAt = performance.now()
  return () => {
    const others = busyMs() - began - (ownMs() - ownBegan)
    return {
      average: Number((loadavg()[0] ?? 0).toFixed(2)),
      othersCores: Number(Math.max(0, others / (performance.now() - begunAt)).toFixed(2)),
    }
  }
}

const busyMs = (): number =>
  cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)

function ownMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
