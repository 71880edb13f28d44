import { createHash } from 'node:crypto'
import { slotsBetween } from './cron-slots.ts'
import type { SlotRule } from './cron-slots.ts'
import { dayMs } from './local-clock.ts'

/** How far ahead slots are written, where they are not too many. */
export const horizonMsMax: number = 35 * dayMs

/** How many slots of one schedule may be stored ahead; one a minute for the horizon are 50,400. */
export const slotsAheadMax = 52_000

/** How many missed slots are recorded after the fact; with those ahead no more than 60,000. */
export const slotsBehindMax = 8_000

/** Missed slots older than this are not recorded after the fact. */
const behindMsMax = 7 * dayMs

/** A schedule that has not one slot in this time is refused by the plan. */
const rareMs = 8.1 * 366 * dayMs

/** What the ledger holds of a schedule: a row read from `tidemark.slot` and `tidemark.schedule`. */
export interface StoredSlots {
  /** {@link scheduleDigest} of the declaration that the slots were computed from; null for none. */
  readonly digest: string | null
  /** The latest slot stored, decided or not; null when there is none. */
  readonly latest: Date | null
  /** How many are stored after now. */
  readonly ahead: number
}

/** What to write so that the ledger is complete again. */
export interface SlotChange {
  /** Undecided slots after now go first: they are those of another declaration. */
  readonly replace: boolean
  /** Slots to insert, in order; one that is there already is left as it is. */
  readonly insert: readonly Date[]
  /** How far ahead the ledger reaches now: the value of `tidemark.schedule.horizon`. */
  readonly horizonMs: number
  readonly coverage: Coverage
}

/** How long the ledger lasts when nobody computes slots. */
export interface Coverage {
  readonly state: 'covered' | 'short' | 'exhausted'
  /** The last slot known; null when there is none ahead. */
  readonly slotsUntil: Date | null
  /** One sentence for people; null when all is well. */
  readonly warning: string | null
}

/** Digest of what decides the slots of a schedule; formatting of the expression is no change. */
export function scheduleDigest(due: SlotRule): string {
  const hours = due.businessHours
  const parts = [
    due.cron.trim().replaceAll(/\s+/g, ' '),
    due.zone,
    hours && [
      hours.zone,
      [...hours.days].sort((a, b) => a - b),
      hours.from,
      hours.to,
      [...hours.holidays].sort(),
    ],
  ]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

/**
 * What to write into `tidemark.slot` for a schedule, so that every slot of the next 35 days is there.
 *
 * Guarantees: never more than {@link slotsAheadMax} ahead and {@link slotsBehindMax} behind (dense
 * expressions get a shorter horizon); work grows with what is new, so that a call when all is there
 * costs nothing; the ledger ends with a slot at or after the end of the horizon, also that of a
 * yearly schedule, so that its latest slot says how far it reaches. Slots that were due while nobody
 * computed any are written for the last seven days, so that they get an outcome.
 */
export function slotChange(due: SlotRule, stored: StoredSlots, now: Date): SlotChange {
  const replace = stored.latest !== null && stored.digest !== scheduleDigest(due)
  const known = replace ? { latest: null, ahead: 0 } : stored
  const until = new Date(now.getTime() + horizonMsMax)
  const from = new Date(Math.max(now.getTime(), (known.latest?.getTime() ?? 0) + 1))
  const behind = known.latest === null ? [] : missedSlots(due, known.latest, now)
  const room = slotsAheadMax - known.ahead
  const ahead = from < until && room > 0 ? slotsBetween(due, from, until, room) : []
  const full = ahead.length >= room
  if (!full && from < until) ahead.push(...firstAfter(due, until))
  const latest = ahead.at(-1) ?? known.latest
  const reach = latest === null ? 0 : latest.getTime() - now.getTime()
  const count = known.ahead + ahead.length
  return {
    replace,
    insert: [...behind, ...ahead],
    horizonMs: full ? Math.min(Math.max(reach, 0), horizonMsMax) : horizonMsMax,
    coverage: coverageOf({ latest, ahead: count }, now),
  }
}

/** Slots between the latest stored and now, the earliest first, as far as they are recorded. */
function missedSlots(due: SlotRule, latest: Date, now: Date): Date[] {
  const from = Math.max(latest.getTime() + 1, now.getTime() - behindMsMax)
  if (from >= now.getTime()) return []
  return slotsBetween(due, new Date(from), now, slotsBehindMax)
}

function firstAfter(due: SlotRule, until: Date): Date[] {
  return slotsBetween(due, until, new Date(until.getTime() + rareMs), 1)
}

/**
 * How long the ledger lasts from now on: `short` when it ends within seven days although there was
 * room for more, `exhausted` when no slot is ahead.
 */
export function coverageOf(stored: Omit<StoredSlots, 'digest'>, now: Date): Coverage {
  const { latest, ahead } = stored
  if (latest === null || latest <= now) {
    const warning = "No slot is left; start 'tidemark up' or run 'tidemark apply'."
    return { state: 'exhausted', slotsUntil: null, warning }
  }
  const short = latest.getTime() - now.getTime() < 7 * dayMs && ahead < slotsAheadMax / 5
  if (!short) return { state: 'covered', slotsUntil: latest, warning: null }
  const warning = `Slots are computed only until ${latest.toISOString()}; start 'tidemark up' or run 'tidemark apply'.`
  return { state: 'short', slotsUntil: latest, warning }
}
