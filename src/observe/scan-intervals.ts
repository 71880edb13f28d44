/** A schedule of pg_cron: a cron expression, or a number of seconds. */
export type CronSchedule =
  | { readonly kind: 'cron'; readonly cron: string }
  | { readonly kind: 'seconds'; readonly everyMs: number }

/** Slots of a cron expression from an instant on; null for one that cannot be read. */
export type SlotsOf = (cron: string, zone: string, from: Date) => readonly Date[] | null

/** Time between refreshes. */
export interface Gaps {
  readonly shortestMs: number
  readonly longestMs: number
  /** Age that a reader finds on average, were a refresh to take no time. */
  readonly meanAgeMs: number
}

/** Reads what `cron.schedule` takes: pg_cron's `$` is the last day of the month, cron's `L`. */
export function readCronSchedule(schedule: string): CronSchedule {
  const seconds = /^\s*(\d+)\s+seconds?\s*$/i.exec(schedule)?.[1]
  if (seconds !== undefined) return { kind: 'seconds', everyMs: Number(seconds) * 1_000 }
  return { kind: 'cron', cron: schedule.trim().split(/\s+/).join(' ').replace('$', 'L') }
}

/** pg_cron's own clocks are UTC, by whatever name. */
export const zoneOf = (cronZone: string | null): string =>
  cronZone === null || /^(|gmt|utc|etc\/(utc|gmt|universal|zulu))$/i.test(cronZone)
    ? 'UTC'
    : cronZone

/** Gaps between the slots of several schedules taken together; null when there are not two slots. */
export function gapsOf(
  schedules: readonly string[],
  zone: string,
  at: { readonly now: Date; readonly slotsOf: SlotsOf },
): Gaps | null {
  const read = schedules.map(readCronSchedule)
  const steps = read.flatMap((one) => (one.kind === 'seconds' ? one.everyMs : []))
  if (steps.length > 0) return evenGaps(Math.min(...steps))
  const slots = read.flatMap((one) =>
    one.kind === 'cron' ? (at.slotsOf(one.cron, zone, at.now) ?? []) : [],
  )
  const times = [...new Set(slots.map((slot) => slot.getTime()))].sort((a, b) => a - b)
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time))
  if (gaps.length === 0) return null
  const total = sum(gaps)
  return {
    shortestMs: gaps.reduce((a, b) => Math.min(a, b)),
    longestMs: gaps.reduce((a, b) => Math.max(a, b)),
    meanAgeMs: Math.round(sum(gaps.map((gap) => gap * gap)) / (2 * total)),
  }
}

/** Gaps of something that happens evenly. */
export const evenGaps = (ms: number): Gaps => ({
  shortestMs: ms,
  longestMs: ms,
  meanAgeMs: Math.round(ms / 2),
})

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
