import { Temporal } from 'temporal-polyfill'

/**
 * What a cron schedule and business hours should do when the clocks change, written without the
 * code under test: Temporal says where a wall time is, the rest is walking every minute.
 */

/** Spans of one offset in a zone, by Temporal. Instants and offsets in milliseconds. */
function spansOf(
  zone: string,
  from: number,
  until: number,
): { readonly endsAt: number; readonly offset: number }[] {
  const spans = []
  let at = Temporal.Instant.fromEpochMilliseconds(from).toZonedDateTimeISO(zone)
  for (;;) {
    const next = at.getTimeZoneTransition('next')
    const offset = at.offsetNanoseconds / 1e6
    const endsAt = next?.epochMilliseconds ?? Number.POSITIVE_INFINITY
    spans.push({ endsAt, offset })
    if (next === null || endsAt >= until) return spans
    at = next
  }
}

/** Instants within `[from, until)` at which the offset of a zone changes. */
export function transitionsOf(zone: string, from: number, until: number): number[] {
  const spans = spansOf(zone, from, until)
  return spans
    .filter((span, i) => span.endsAt < until && span.offset !== spans[i + 1]?.offset)
    .map((span) => span.endsAt)
}

/** The first instant at which the clocks show a wall time; the jump when they jump over it. */
export function firstShown(zone: string, wall: Temporal.PlainDateTime): number {
  const at = wall.toZonedDateTime(zone, { disambiguation: 'earlier' })
  if (at.toPlainDateTime().equals(wall)) return at.epochMilliseconds
  const jump = at.getTimeZoneTransition('next')
  if (jump === null) throw new Error(`${wall.toString()} has no place in ${zone}`)
  return jump.epochMilliseconds
}

/** The values of one field: numbers, lists, ranges, steps and `*`; no names. */
function valuesOf(field: string, low: number, high: number): Set<number> {
  const values = new Set<number>()
  for (const part of field.split(',')) {
    const [range = '', step = '1'] = part.split('/')
    const [first = '', last = first] = range === '*' ? [`${low}`, `${high}`] : range.split('-')
    for (let value = Number(first); value <= Number(last); value += Number(step)) values.add(value)
  }
  return values
}

/** A cron expression of six fields that can be asked whether it matches a wall time. */
function matcher(expression: string): {
  readonly day: (wall: Date) => boolean
  readonly time: (secondOfDay: number) => boolean
} {
  const fields = expression.split(' ')
  if (fields.length === 5) fields.unshift('0')
  const [second = '', minute = '', hour = '', day = '', month = '', weekday = ''] = fields
  const seconds = valuesOf(second, 0, 59)
  const minutes = valuesOf(minute, 0, 59)
  const hours = valuesOf(hour, 0, 23)
  const days = valuesOf(day, 1, 31)
  const months = valuesOf(month, 1, 12)
  const weekdays = valuesOf(weekday, 0, 7)
  if (weekdays.has(7)) weekdays.add(0)
  return {
    day: (wall) => {
      const byDay = days.has(wall.getUTCDate())
      const byWeekday = weekdays.has(wall.getUTCDay())
      const either = day !== '*' && weekday !== '*' ? byDay || byWeekday : byDay && byWeekday
      return months.has(wall.getUTCMonth() + 1) && either
    },
    time: (secondOfDay) =>
      seconds.has(secondOfDay % 60) &&
      minutes.has(Math.floor(secondOfDay / 60) % 60) &&
      hours.has(Math.floor(secondOfDay / 3600)),
  }
}

interface Span {
  readonly zone: string
  readonly from: number
  readonly until: number
}

/** An interval job is due whenever the clocks show a matching time: looks at every step. */
export function intervalSlots(expression: string, span: Span, stepMs: number): number[] {
  const matches = matcher(expression)
  const slots: number[] = []
  let today = Number.NaN
  let matchesToday = false
  let at = span.from
  for (const { endsAt, offset } of spansOf(span.zone, span.from, span.until)) {
    for (; at < Math.min(endsAt, span.until); at += stepMs) {
      const wall = at + offset
      const day = Math.floor(wall / 86_400_000)
      if (day !== today) {
        today = day
        matchesToday = matches.day(new Date(wall))
      }
      if (matchesToday && matches.time((wall - day * 86_400_000) / 1000)) slots.push(at)
    }
  }
  return slots
}

/** A fixed job is due when the clocks first show each of its times: looks at every local day. */
export function fixedSlots(expression: string, span: Span): number[] {
  const matches = matcher(expression)
  const times = Array.from({ length: 86_400 }, (_, second) => second).filter(matches.time)
  const days = 3 * 86_400_000
  const offsets = spansOf(span.zone, span.from - days, span.until + days)
  const slots = new Set<number>()
  const first = Math.floor((span.from - days) / 86_400_000) * 86_400_000
  for (let day = first; day <= span.until + days; day += 86_400_000) {
    if (!matches.day(new Date(day))) continue
    for (const second of times) {
      const at = firstWithin(offsets, day + second * 1000)
      if (at >= span.from && at < span.until) slots.add(at)
    }
  }
  return [...slots].sort((a, b) => a - b)
}

/** The first instant at which clocks with these offsets show a wall time; the jump when they jump over it. */
function firstWithin(offsets: ReturnType<typeof spansOf>, wall: number): number {
  let begins = Number.NEGATIVE_INFINITY
  for (const { endsAt, offset } of offsets) {
    const at = wall - offset
    if (at < endsAt) return Math.max(at, begins)
    begins = endsAt
  }
  return begins
}

export { Temporal }
