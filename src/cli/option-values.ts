import { formatDuration, parseDuration } from '../base/duration.ts'
import { TidemarkError } from '../model/errors.ts'

/** A value that an option cannot use. */
export const usage = (what: string, mend: string): TidemarkError =>
  new TidemarkError({ code: 'TIDEMARK_USAGE', what, mend })

/** Reads a whole number between two bounds. Throws `TIDEMARK_USAGE` for anything else. */
export function wholeNumber(
  option: string,
  text: string,
  bounds: { readonly min: number; readonly max: number },
): number {
  const number = /^\d+$/.test(text) ? Number(text) : NaN
  if (number >= bounds.min && number <= bounds.max) return number
  throw usage(
    `${option} ${text} is not a whole number from ${bounds.min} to ${bounds.max}`,
    `Write it as in ${option} ${bounds.min}.`,
  )
}

/** Reads a span of time between two bounds, in milliseconds. Throws `TIDEMARK_USAGE` otherwise. */
export function duration(
  option: string,
  text: string,
  bounds: { readonly minMs: number; readonly maxMs: number; readonly example: string },
): number {
  const ms = parseDuration(text)
  if (ms !== null && ms >= bounds.minMs && ms <= bounds.maxMs) return ms
  const { minMs, maxMs, example } = bounds
  throw usage(
    `${option} ${text} is not a span of time from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
    `Write it with its unit, as in ${option} ${example}.`,
  )
}
