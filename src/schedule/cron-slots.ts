import { Cron, CronPattern } from 'croner'
import type { BusinessHours } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import { openWindows } from './business-hours.ts'
import { checkZone, dayMs, offsetSpans } from './local-clock.ts'
import type { OffsetSpan } from './local-clock.ts'

/** When a schedule is due: a cron expression on the clocks of a zone, perhaps only in business hours. */
export interface SlotRule {
  readonly cron: string
  readonly zone: string
  readonly businessHours: BusinessHours | null
}

/** A cron expression as a calculator of wall times; it knows nothing of zones. */
export interface WallCron {
  /**
   * Neither seconds nor minutes nor hours have a wildcard or a step: the job means times of the day
   * and runs once for each. Any other job means an interval and follows real time.
   */
  readonly fixed: boolean
  /** The first matching wall time at or after one. Throws when the expression never fires. */
  readonly nextFrom: (wall: number) => number
}

/** Longer than any expression that a person writes; what is longer is not read. */
const cronLengthMax = 200

/** 29 February can be eight years away, around 2100; what is rarer is taken for a mistake. */
const rareYearsMax = 8.1

function invalid(cron: string, why: string, mend: string, cause?: unknown): TidemarkError {
  const what = `The cron expression '${cron}' ${why}`
  return new TidemarkError({ code: 'TIDEMARK_CRON_INVALID', what, mend, cause })
}

const fieldsMend =
  "Write five fields (minute hour day month weekday) or six (second first), such as '*/15 8-18 * * 1-5'."

const rule = { mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard' } as const

/**
 * Reads a cron expression; throws `TIDEMARK_CRON_INVALID` when it cannot be read.
 * Croner is used as a calculator in UTC only: no timer of its is ever started, and the rules of
 * {@link nextSlot}, not its own, say what happens when the clocks change.
 */
export function wallCron(cron: string): WallCron {
  if (cron.length > cronLengthMax) {
    throw invalid(`${cron.slice(0, 40)}…`, `has ${cron.length} characters`, fieldsMend)
  }
  const fields = cron.trim().split(/\s+/).filter(Boolean).length
  if (!cron.trim().startsWith('@') && fields !== 5 && fields !== 6) {
    throw invalid(cron, `has ${fields} ${fields === 1 ? 'field' : 'fields'}`, fieldsMend)
  }
  try {
    const { isFixedTime } = new CronPattern(cron, undefined, rule)
    const calculator = new Cron(cron, { ...rule, paused: true, utcOffset: 0 })
    return { fixed: isFixedTime, nextFrom: (wall) => nextFrom(calculator, wall) }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.replace(/^\w+: /, '') : String(cause)
    throw invalid(cron, `cannot be read: ${why.replace(/\.$/, '')}`, fieldsMend, cause)
  }
}

/** Croner gives the first run after a second; asked for the second before, it gives the first from it. */
function nextFrom(calculator: Cron, wall: number): number {
  const next = calculator.nextRun(new Date((Math.ceil(wall / 1000) - 1) * 1000))
  if (next !== null) return next.getTime()
  const mend = 'No month has such a day: mend the fields for day and month.'
  throw invalid(calculator.getPattern() ?? '', 'never fires', mend)
}

/**
 * The first slot at or after an instant.
 *
 * The rule of Vixie's cron. A *fixed* job is due when the clocks first show its time: once where a
 * time occurs twice, at the instant of the jump where it is jumped over. An *interval* job is due at
 * every instant at which the clocks show a time that matches: twice where a time occurs twice, not at
 * all where it is jumped over.
 */
function nextSlot(cron: WallCron, clock: readonly OffsetSpan[], from: number): number {
  for (const span of clock) {
    if (from >= span.endsAt) continue
    const wall = cron.nextFrom(wallFrom(cron, span, from))
    if (wall < span.endsAt + span.offset) return Math.max(wall - span.offset, span.startsAt)
  }
  throw new RangeError('The spans of a clock cover all time; these did not.')
}

/** The first wall time of a span that is still to be served from an instant on. */
function wallFrom(cron: WallCron, span: OffsetSpan, from: number): number {
  const wall = Math.max(from, span.startsAt) + span.offset
  if (!cron.fixed) return wall
  const shown = span.startsAt + span.offsetBefore
  // At the very beginning of the span the times jumped over are due; later only those not yet shown.
  return from <= span.startsAt ? shown : Math.max(wall, shown)
}

/**
 * The slots of `[from, until)` in order, at most `limit` of them.
 *
 * Guarantees: strictly increasing; the slots of two spans that meet are those of their union; work
 * is bounded by `limit` and the length of the span, not by the expression. Throws
 * `TIDEMARK_CRON_INVALID` when the expression cannot be read or never fires, `TIDEMARK_ZONE_UNKNOWN`.
 */
export function slotsBetween(due: SlotRule, from: Date, until: Date, limit: number): Date[] {
  checkZone(due.zone)
  const cron = wallCron(due.cron)
  const last = until.getTime()
  const clock = offsetSpans(due.zone, from.getTime(), last)
  const windows =
    due.businessHours === null
      ? [{ startsAt: from, endsAt: until }]
      : openWindows(due.businessHours, from, until)
  const slots: Date[] = []
  let cursor = from.getTime()
  for (const window of windows) {
    const closes = window.endsAt.getTime()
    cursor = Math.max(cursor, window.startsAt.getTime())
    while (cursor < closes && slots.length < limit) {
      const slot = nextSlot(cron, clock, cursor)
      cursor = slot + 1
      if (slot < closes) slots.push(new Date(slot))
      // The slot may be in a later window; it is found anew from there.
      else cursor = slot
    }
  }
  return slots
}

/**
 * Checks what a schedule declares, for `plan`: throws `TIDEMARK_CRON_INVALID` or
 * `TIDEMARK_ZONE_UNKNOWN`, or for the business hours `TIDEMARK_CONFIG_INVALID`. A schedule that is
 * not due once within eight years is refused.
 * @returns the next three slots
 */
export function checkCron(due: SlotRule, now: Date): Date[] {
  checkZone(due.zone)
  wallCron(due.cron).nextFrom(now.getTime())
  let slots: Date[] = []
  for (const days of [8, 400, Math.ceil(rareYearsMax * 366)]) {
    slots = slotsBetween(due, now, new Date(now.getTime() + days * dayMs), 3)
    if (slots.length === 3) return slots
  }
  if (slots.length > 0) return slots
  if (due.businessHours === null) {
    const mend = 'Write an expression that fires at least every few years.'
    throw invalid(due.cron, 'does not fire within eight years', mend)
  }
  const mend = 'Widen the business hours, or move the expression into them; mind their zone.'
  throw invalid(due.cron, 'never fires within the business hours', mend)
}
