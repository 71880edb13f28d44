const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** A hundred years; longer spans are a slip of the pen and would overflow an `interval`. */
const durationMsMax = 100 * 365 * 86_400_000

/** The form of a duration, for editors; {@link parseDuration} also asks for falling units. */
export const durationPattern = '^\\s*(\\d+(\\.\\d+)?\\s*(ms|s|min|m|h|d|w)\\s*)+$'

/**
 * Reads a span of time as people write it: `500ms`, `5m`, `1h 30m`, `2.5 s`, `4 min 10 s`.
 * Units are ms, s, m (or min), h, d and w, each at most once and from long to short.
 * Returns whole milliseconds, or null when the text is not a duration or is beyond a hundred years.
 * A number without a unit is not a duration.
 */
export function parseDuration(text: string): number | null {
  const part = /\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*/y
  let total = 0
  let unitBefore = Infinity
  while (part.lastIndex < text.length) {
    const found = part.exec(text)
    const unit = unitMs[found?.[2] ?? '']
    if (found === null || unit === undefined || unit >= unitBefore) return null
    total += Number(found[1]) * unit
    unitBefore = unit
  }
  if (unitBefore === Infinity || total > durationMsMax) return null
  return Math.round(total)
}

/** A long unit and the shorter one told beside it, from long to short. */
const pairs = [
  { long: 'd', longMs: 86_400_000, short: 'h', shortMs: 3_600_000 },
  { long: 'h', longMs: 3_600_000, short: 'min', shortMs: 60_000 },
  { long: 'min', longMs: 60_000, short: 's', shortMs: 1_000 },
] as const

/**
 * Writes a span of milliseconds for people, at two units and about three digits: `250 ms`, `3.2 s`,
 * `4 min 10 s`, `2 h`, `3 d 4 h`. {@link parseDuration} reads what this writes of a span ≥ 0.
 */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`
  const whole = Math.round(ms)
  if (whole < 1_000) return `${String(whole)} ms`
  const tenths = Math.round(whole / 100)
  if (tenths < 600) return `${String(tenths / 10)} s`
  for (const { long, longMs, short, shortMs } of pairs) {
    const shorts = Math.round(whole / shortMs)
    const shortsPerLong = longMs / shortMs
    const longs = Math.floor(shorts / shortsPerLong)
    if (longs === 0) continue
    const rest = shorts % shortsPerLong
    return rest === 0
      ? `${String(longs)} ${long}`
      : `${String(longs)} ${long} ${String(rest)} ${short}`
  }
  // Sixty seconds and more always hold a whole minute.
  throw new Error(`law: ${String(ms)} ms has a unit to be told in`)
}
