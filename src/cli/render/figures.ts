import { formatDuration } from '../../base/duration.ts'

/** A span in at most four characters, of a second digit where it matters: `0.4s`, `38s`, `12m`, `3h`, `5d`. */
export function span(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 9.95) return `${seconds.toFixed(1).replace(/\.0$/, '')}s`
  if (seconds < 99.5) return `${seconds.toFixed(0)}s`
  if (seconds < 99.5 * 60) return `${(seconds / 60).toFixed(0)}m`
  if (seconds < 72 * 3600) return `${(seconds / 3600).toFixed(0)}h`
  return `${(seconds / 86_400).toFixed(0)}d`
}

/** How long a step took: `83ms`, `1.2s`, `42s`. */
export const tookText = (ms: number): string =>
  ms < 999.5 ? `${Math.max(0, ms).toFixed(0)}ms` : span(ms)

/** `12s ago`; a moment that is yet to come is `in 12s`. */
export function relative(at: Date, now: Date): string {
  const ms = now.getTime() - at.getTime()
  // Clocks of two machines differ a little: what just happened there is now.
  if (Math.abs(ms) < 50) return 'now'
  return ms > 0 ? `${span(ms)} ago` : `in ${span(-ms)}`
}

/** `4 min 10 s ago`, for sentences. */
export function relativeLong(at: Date, now: Date): string {
  const ms = now.getTime() - at.getTime()
  if (Math.abs(ms) < 50) return 'now'
  return ms > 0 ? `${formatDuration(ms)} ago` : `in ${formatDuration(-ms)}`
}

/** A number with its thousands apart: `1,000,000`. */
export const grouped = (value: number): string =>
  String(Math.round(value)).replaceAll(/\B(?=(\d{3})+$)/g, ',')

/** `1 view`, `2 views`. */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${grouped(count)} ${count === 1 ? one : many}`

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** A share as a bar of `cells` characters; a share above 1 fills it. */
export function bar(share: number, cells: number): string {
  const filled = Math.max(0, Math.min(1, share)) * cells
  const whole = Math.floor(filled)
  const part = eighths[Math.floor((filled - whole) * 8)] ?? ''
  const drawn = '█'.repeat(whole) + part
  return drawn + '░'.repeat(cells - whole - (part === '' ? 0 : 1))
}

/** An instant in UTC to the second: `2026-03-08 07:00:00Z`. */
export const utcText = (at: Date): string => at.toISOString().replace('T', ' ').slice(0, 19) + 'Z'

/** Text of a user's as one line that cannot move the cursor. */
export const oneLine = (text: string): string =>
  text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/\p{Cc}/gu, '�')
    .trim()
