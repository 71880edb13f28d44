import type { BusinessHours, ViewDeclaration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { checkZone, dayMs, firstReach, offsetAt, offsetSpans } from './local-clock.ts'

/** A span of time: from its first instant to the first instant after it. */
export interface Window {
  readonly startsAt: Date
  readonly endsAt: Date
}

/** A row of `tidemark.target_window`: the target of a view during a span. */
export interface TargetWindow extends Window {
  readonly view: RelationName
  readonly targetMs: number
}

const minuteMs = 60_000

function invalid(what: string, mend: string): TidemarkError {
  return new TidemarkError({ code: 'TIDEMARK_CONFIG_INVALID', what, mend })
}

/** Minutes since midnight of `HH:MM`; 1440 for `24:00`. */
function minutesOf(time: string): number {
  const match = /^(\d{2}):(\d{2})$/.exec(time)
  const hours = Number(match?.[1])
  const minutes = Number(match?.[2])
  const known = match !== null && minutes < 60 && (hours < 24 || (hours === 24 && minutes === 0))
  if (known) return hours * 60 + minutes
  throw invalid(`'${time}' is not a time of day`, "Write it as 'HH:MM', from '00:00' to '24:00'.")
}

/** Wall time of the beginning of a local date, `YYYY-MM-DD`. */
function wallOf(date: string): number {
  const wall = /^\d{4}-\d{2}-\d{2}$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN
  if (!Number.isNaN(wall) && new Date(wall).toISOString().startsWith(date)) return wall
  throw invalid(`'${date}' is not a date`, "Write holidays as 'YYYY-MM-DD'.")
}

/**
 * Throws unless business hours can be used: a known zone, days 1 (Monday) to 7 (Sunday), times
 * `HH:MM` that differ, dates that exist. A `to` before `from` means the next day.
 */
export function checkBusinessHours(hours: BusinessHours): void {
  checkZone(hours.zone)
  if (hours.days.length === 0) {
    throw invalid('Business hours have no day', 'Name at least one, 1 = Monday … 7 = Sunday.')
  }
  const stranger = hours.days.find((day) => !Number.isInteger(day) || day < 1 || day > 7)
  if (stranger !== undefined) {
    throw invalid(`${stranger} is not a day of the week`, 'Days are 1 = Monday … 7 = Sunday.')
  }
  const from = minutesOf(hours.from)
  if (from === 1440) {
    throw invalid("Business hours begin at '24:00'", "Write '00:00' and the next day.")
  }
  if (from === minutesOf(hours.to)) {
    throw invalid(
      `Business hours begin and end at ${hours.from}`,
      "Write '00:00' to '24:00' for the whole day.",
    )
  }
  hours.holidays.forEach(wallOf)
}

/** A span of instants in milliseconds. */
interface Span {
  readonly startsAt: number
  readonly endsAt: number
}

/** The open span of each local day that touches `[from, until)`, whole, in order, never empty. */
function daySpans(hours: BusinessHours, from: Date, until: Date): readonly Span[] {
  checkBusinessHours(hours)
  if (until <= from) return []
  const opens = minutesOf(hours.from) * minuteMs
  const closes = minutesOf(hours.to) * minuteMs
  const lasts = closes > opens ? closes : closes + dayMs
  const holidays = new Set(hours.holidays.map(wallOf))
  const days = new Set(hours.days)
  const clock = offsetSpans(hours.zone, from.getTime() - 2 * dayMs, until.getTime() + 2 * dayMs)
  // Two days back: the day before may reach into this one, and a clock may have jumped over a day.
  const wallFrom = from.getTime() + offsetAt(hours.zone, from.getTime()) - 2 * dayMs
  const found: Span[] = []
  for (let day = Math.floor(wallFrom / dayMs) * dayMs; ; day += dayMs) {
    const startsAt = firstReach(clock, day + opens)
    if (startsAt >= until.getTime()) return found
    // 1970-01-01 was a Thursday.
    const weekday = ((((day / dayMs + 3) % 7) + 7) % 7) + 1
    if (!days.has(weekday) || holidays.has(day)) continue
    const endsAt = firstReach(clock, day + lasts)
    if (endsAt > from.getTime() && endsAt > startsAt) found.push({ startsAt, endsAt })
  }
}

/**
 * The spans of `[from, until)` in which it is open, cut to it; spans that touch are one.
 *
 * A span belongs to the local day on which it begins: weekday and holiday are looked up there, also
 * when it ends on the next day. It begins and ends when the clocks first show the time; a time that
 * the clocks jump over is the instant of the jump.
 */
export function openWindows(hours: BusinessHours, from: Date, until: Date): readonly Window[] {
  const merged: { startsAt: number; endsAt: number }[] = []
  for (const span of daySpans(hours, from, until)) {
    const last = merged.at(-1)
    if (last !== undefined && span.startsAt <= last.endsAt) {
      last.endsAt = Math.max(last.endsAt, span.endsAt)
    } else {
      merged.push({ ...span })
    }
  }
  return merged.map((span) => ({
    startsAt: new Date(Math.max(span.startsAt, from.getTime())),
    endsAt: new Date(Math.min(span.endsAt, until.getTime())),
  }))
}

/** Whether it is open at an instant: whether {@link openWindows} has a span that holds it. */
export function isOpen(hours: BusinessHours, instant: Date): boolean {
  return daySpans(hours, instant, new Date(instant.getTime() + 1)).length > 0
}

/** The part of a view's declaration that says how old it may be, and when. */
export type DeclaredTarget = Pick<ViewDeclaration, 'name' | 'targetMs' | 'businessTarget'>

/**
 * Rows for `tidemark.target_window`: the spans that touch `[from, until)` in which another target
 * than `targetMs` holds. None for a view with one target.
 *
 * Guarantees: a span is whole and begins where it begins, whatever `from` is, so that a row written
 * twice is the same row; one span a local day.
 */
export function targetWindows(
  declared: DeclaredTarget,
  from: Date,
  until: Date,
): readonly TargetWindow[] {
  const within = declared.businessTarget
  if (within === null) return []
  return daySpans(within.hours, from, until).map((span) => ({
    view: declared.name,
    startsAt: new Date(span.startsAt),
    endsAt: new Date(span.endsAt),
    targetMs: within.targetMs,
  }))
}
