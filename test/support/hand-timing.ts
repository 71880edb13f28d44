import type { Timing } from '../../src/base/timing.ts'

/** Time that passes when a test lets it. */
export interface HandTiming extends Timing {
  /** Lets it pass, with whatever is due on the way; resolves when what that began has had its turn. */
  readonly pass: (ms: number) => Promise<void>
}

/** Lets what is ready happen. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Makes a time that stands still. */
export function handTiming(): HandTiming {
  const due = new Set<{ readonly at: number; readonly callback: () => void }>()
  let now = 0
  return {
    now: () => now,
    after(ms, callback) {
      const timer = { at: now + ms, callback }
      due.add(timer)
      return () => void due.delete(timer)
    },
    async pass(ms) {
      const until = now + ms
      await turn()
      for (;;) {
        const [next] = [...due].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
        if (next === undefined) break
        due.delete(next)
        now = Math.max(now, next.at)
        next.callback()
        await turn()
      }
      now = until
    },
  }
}
