import { dayMs } from '../../schedule/local-clock.ts'
import { checkCron, slotsBetween } from '../../schedule/cron-slots.ts'
import type { SlotRule } from '../../schedule/cron-slots.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { WarmOptions } from './cache-options.ts'
import { durationMs } from './settings.ts'

/** When a kind is warmed, beside at start and after invalidations. */
export type WarmTimes =
  | { readonly kind: 'never' }
  | { readonly kind: 'every'; readonly ms: number }
  | { readonly kind: 'cron'; readonly due: SlotRule }

/** Reads when a kind is to be warmed. @throws TidemarkError for a cron expression, zone or duration that is none, and for two answers. */
export function warmTimes(
  { every, cron, zone }: Pick<WarmOptions<never>, 'every' | 'cron' | 'zone'>,
  { place, now }: { readonly place: string; readonly now: Date },
): WarmTimes {
  if (cron !== undefined && every === undefined) {
    const due = { cron, zone: zone ?? 'UTC', businessHours: null }
    checkCron(due, now)
    return { kind: 'cron', due }
  }
  if (every === undefined) return { kind: 'never' }
  const ms = durationMs(every, `${place}.every`)
  if (ms > 0 && cron === undefined) return { kind: 'every', ms }
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: cron === undefined ? 'Nothing can be warmed all the time.' : 'There are two schedules.',
    mend: "Write one of: every: '5m', or cron: '*/5 * * * *'.",
    place,
  })
}

/**
 * When the next warming is due, or null for one that is further away than a day. Spans are counted from the epoch, so that all nodes
 * begin together and one of them does it.
 */
export function nextWarming(times: Exclude<WarmTimes, { kind: 'never' }>, now: Date): Date | null {
  if (times.kind === 'every') {
    const at = (Math.floor(now.getTime() / times.ms) + 1) * times.ms
    return at - now.getTime() > dayMs ? null : new Date(at)
  }
  const from = new Date(now.getTime() + 1)
  return slotsBetween(times.due, from, new Date(from.getTime() + dayMs), 1)[0] ?? null
}
