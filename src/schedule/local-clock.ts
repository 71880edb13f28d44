import { nearest } from '../base/nearest.ts'
import { TidemarkError } from '../model/errors.ts'

/**
 * A span during which the clocks of a zone keep one offset from UTC.
 *
 * Numbers are milliseconds. An *instant* counts from the epoch; a *wall time* is what a clock on the
 * wall shows, counted as if it were UTC, so that `wall = instant + offset` within one span.
 */
export interface OffsetSpan {
  /** First instant of the span; `-Infinity` for the first span of a list. */
  readonly startsAt: number
  /** First instant after the span; `Infinity` for the last span of a list. */
  readonly endsAt: number
  readonly offset: number
  /** Offset in force just before `startsAt`; the span's own where it is the first of a list. */
  readonly offsetBefore: number
}

/** A day of 24 hours, in milliseconds. */
export const dayMs = 86_400_000

/** What a change of the clocks does is over within this time, also where a zone skips a whole day. */
const marginMs = 2 * dayMs

const formatters = new Map<string, Intl.DateTimeFormat>()

/** Making a formatter costs a hundred times what using it does; there are some 600 zones at most. */
function formatterOf(zone: string): Intl.DateTimeFormat {
  const known = formatters.get(zone)
  if (known !== undefined) return known
  try {
    const made = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' })
    formatters.set(zone, made)
    return made
  } catch (cause) {
    throw new TidemarkError({
      code: 'TIDEMARK_ZONE_UNKNOWN',
      what: `There is no time zone '${zone}'`,
      mend: mendOf(zone),
      cause,
    })
  }
}

function mendOf(zone: string): string {
  const words = zone.toLowerCase().replaceAll(/[\s-]+/g, '_')
  const city = words.slice(words.lastIndexOf('/') + 1)
  const meant = Intl.supportedValuesOf('timeZone').find((name) => {
    const lower = name.toLowerCase()
    return city !== '' && lower.slice(lower.lastIndexOf('/') + 1) === city
  })
  const near = meant ?? nearest(zone, Intl.supportedValuesOf('timeZone'))
  if (near !== undefined) return `Did you mean '${near}'?`
  return "Write a name of the IANA database, such as 'America/New_York' or 'UTC'."
}

/** Throws `TIDEMARK_ZONE_UNKNOWN` unless the zone is one that this Node.js has rules for. */
export function checkZone(zone: string): void {
  formatterOf(zone)
}

/** Offset of the zone's clocks from UTC at an instant, in milliseconds; east is positive. */
export function offsetAt(zone: string, instant: number): number {
  const text = formatterOf(zone).format(instant)
  const match = /GMT([+-])(\d+):(\d+)(?::(\d+))?$/.exec(text)
  if (match === null) return 0
  const [, sign, hours, minutes, seconds] = match
  const total = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds ?? 0)
  return (sign === '-' ? -total : total) * 1000
}

/** First instant of `(low, high]` that has the offset of `high`; transitions are on whole seconds. */
function transitionIn(zone: string, low: number, high: number): number {
  const offset = offsetAt(zone, high)
  let before = low
  let after = high
  while (after - before > 1000) {
    const middle = before + Math.floor((after - before) / 2000) * 1000
    if (offsetAt(zone, middle) === offset) after = middle
    else before = middle
  }
  return after
}

/**
 * The spans of one offset that cover all time, right for every instant of `[from, until]`.
 *
 * Guarantees: spans follow one another without a hole, the first begins at `-Infinity` and the last
 * ends at `Infinity`; two days beyond either end are looked at too, so that a change of the clocks
 * just before `from` is known. One look a day: two changes within one day that cancel out would be
 * missed; no zone has had that.
 */
export function offsetSpans(zone: string, from: number, until: number): readonly OffsetSpan[] {
  const first = Math.floor((from - marginMs) / 1000) * 1000
  const last = until + marginMs
  const spans: OffsetSpan[] = []
  let offset = offsetAt(zone, first)
  let offsetBefore = offset
  let startsAt = Number.NEGATIVE_INFINITY
  for (let at = first; at < last; at += dayMs) {
    const next = offsetAt(zone, at + dayMs)
    if (next === offset) continue
    const endsAt = transitionIn(zone, at, at + dayMs)
    spans.push({ startsAt, endsAt, offset, offsetBefore })
    offsetBefore = offset
    offset = next
    startsAt = endsAt
  }
  spans.push({ startsAt, endsAt: Number.POSITIVE_INFINITY, offset, offsetBefore })
  return spans
}

/**
 * The first instant at which the clocks show a wall time or a later one. A wall time that occurs
 * twice means its first occurrence; one that does not occur means the instant of the jump over it.
 */
export function firstReach(spans: readonly OffsetSpan[], wall: number): number {
  for (const span of spans) {
    if (wall < span.endsAt + span.offset) return Math.max(wall - span.offset, span.startsAt)
  }
  return Number.POSITIVE_INFINITY
}

/** The span that holds an instant. */
export function spanAt(spans: readonly OffsetSpan[], instant: number): OffsetSpan {
  const span = spans.find((one) => instant < one.endsAt)
  if (span === undefined) throw new RangeError('An instant was not a finite number.')
  return span
}
