import { slotsBetween, wallCron } from './cron-slots.ts'
import type { SlotRule, WallCron } from './cron-slots.ts'
import { dayMs, offsetSpans, spanAt } from './local-clock.ts'
import type { OffsetSpan } from './local-clock.ts'

/**
 * What a change of the clocks did to a run: `moved` out of the time jumped over, several `merged`
 * into one, `once` although the time occurs twice, `repeated` because it occurs twice.
 */
export type ClockMark = 'moved' | 'merged' | 'once' | 'repeated'

/** A run to come, as `tidemark schedules` and the plan show it. */
export interface NextRun {
  readonly at: Date
  /** What the clocks of the schedule's zone show, `2026-03-08 03:00:00`. */
  readonly local: string
  /** Their offset from UTC, `-04:00`. */
  readonly offset: string
  /** The same instant in UTC, `2026-03-08T07:00:00Z`. */
  readonly utc: string
  /** Null but for runs that a change of the clocks touches. */
  readonly mark: ClockMark | null
  /** The mark in one sentence; null without one. */
  readonly note: string | null
}

/** More times than this are counted, not named. */
const namedMax = 4

const iso = (wall: number): string => new Date(wall).toISOString()
const timeOf = (wall: number): string => iso(wall).slice(11, 19).replace(/:00$/, '')

function offsetText(offset: number): string {
  const minutes = Math.abs(offset) / 60_000
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  return `${offset < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`
}

/** Fixed wall times jumped over just before an instant; at most one more than are named. */
function jumpedOver(cron: WallCron, span: OffsetSpan): readonly number[] {
  const walls: number[] = []
  const until = span.startsAt + span.offset
  let wall = cron.nextFrom(span.startsAt + span.offsetBefore)
  while (wall < until && walls.length <= namedMax) {
    walls.push(wall)
    wall = cron.nextFrom(wall + 1)
  }
  return walls
}

function namesOf(walls: readonly number[]): string {
  if (walls.length > namedMax) return `More than ${namedMax} times`
  return walls.map(timeOf).join(', ')
}

type Marked = Pick<NextRun, 'mark' | 'note'>
const unmarked: Marked = { mark: null, note: null }

/** The mark of a run at the very instant at which the clocks jump forward. */
function markOfJump(cron: WallCron, span: OffsetSpan): Marked {
  const lost = jumpedOver(cron, span)
  const shown = span.startsAt + span.offset
  const own = cron.nextFrom(shown) === shown
  if (lost.length === 0) return unmarked
  const day = iso(span.startsAt + span.offsetBefore).slice(0, 10)
  const verb = lost.length === 1 ? 'does' : 'do'
  const lead = `${namesOf(lost)} ${verb} not occur on ${day}`
  if (lost.length === 1 && !own) {
    return { mark: 'moved', note: `${lead}; runs when the clocks jump to ${timeOf(shown)}.` }
  }
  return { mark: 'merged', note: `${lead}; one run at ${timeOf(shown)} stands for all.` }
}

function markOf(cron: WallCron, clock: readonly OffsetSpan[], instant: number): Marked {
  const span = spanAt(clock, instant)
  if (cron.fixed && instant === span.startsAt && span.offset > span.offsetBefore) {
    return markOfJump(cron, span)
  }
  const wall = instant + span.offset
  const again = clock.find((one) => one.startsAt === span.endsAt)
  if (cron.fixed && again !== undefined && wall >= again.startsAt + again.offset) {
    return { mark: 'once', note: `${timeOf(wall)} occurs twice on this day; runs the first time.` }
  }
  if (wall < span.startsAt + span.offsetBefore) {
    return { mark: 'repeated', note: `${timeOf(wall)} occurs twice on this day; runs again.` }
  }
  return unmarked
}

/**
 * The next runs from an instant on, for people: in the zone's own time and in UTC, with what a change
 * of the clocks does to them. Fewer than `count` when the schedule fires more rarely than that within
 * ten years.
 */
export function nextRuns(due: SlotRule, from: Date, count: number): readonly NextRun[] {
  const slots = firstSlots(due, from, count)
  const last = slots.at(-1) ?? from
  const clock = offsetSpans(due.zone, from.getTime(), last.getTime())
  const cron = wallCron(due.cron)
  return slots.map((at) => {
    const { offset } = spanAt(clock, at.getTime())
    const local = iso(at.getTime() + offset)
      .slice(0, 19)
      .replace('T', ' ')
    const utc = at.toISOString().replace('.000Z', 'Z')
    return {
      at,
      local,
      offset: offsetText(offset),
      utc,
      ...markOf(cron, clock, at.getTime()),
    }
  })
}

function firstSlots(due: SlotRule, from: Date, count: number): readonly Date[] {
  let slots: readonly Date[] = []
  for (const days of [2, 60, 3660]) {
    slots = slotsBetween(due, from, new Date(from.getTime() + days * dayMs), count)
    if (slots.length === count) break
  }
  return slots
}
