import { parseDuration } from '../../base/duration.ts'
import { nearest } from '../../base/nearest.ts'
import type { EntryTerms } from '../../cache/entry-request.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { TermOptions } from './cache-options.ts'

/** Milliseconds of a duration as people write it. @throws TidemarkError TIDEMARK_CACHE_INVALID, naming `place`. */
export function durationMs(text: string | 0, place: string): number {
  const ms = text === 0 ? 0 : parseDuration(text)
  if (ms !== null) return ms
  throw invalid(`'${text}' is no duration`, `Write one like '500ms', '5m' or '1h 30m'.`, place)
}

/** A duration that is more than none. @throws TidemarkError TIDEMARK_CACHE_INVALID, naming `place`. */
export function spanMs(text: string, place: string): number {
  const ms = durationMs(text, place)
  if (ms > 0) return ms
  throw invalid(`'${text}' is no time at all`, `Write one like '500ms', '5m' or '1h 30m'.`, place)
}

/** Refuses what is no whole number from `min` on. @throws TidemarkError TIDEMARK_CACHE_INVALID, naming `place`. */
export function requireWhole(
  number: number,
  { place, min }: { readonly place: string; readonly min: number },
): void {
  if (Number.isInteger(number) && number >= min) return
  const mend = `Write ${String(Math.max(min, 4))}, for instance.`
  throw invalid(`${String(number)} is no whole number from ${String(min)} on`, mend, place)
}

/**
 * Refuses an option that is not known: one that is misspelt, as it may come from JavaScript, would be as if it were not there.
 * @throws TidemarkError TIDEMARK_CACHE_INVALID, naming `place`.
 */
export function requireKnown(options: object, known: readonly string[], place: string): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    const meant = nearest(name, known)
    const mend =
      meant === undefined
        ? `Remove it; known here are ${known.join(', ')}.`
        : `Write '${meant}' instead.`
    throw invalid(`There is no option '${name}'`, mend, `${place}.${name}`)
  }
}

/** Refuses what is no share of a whole. @throws TidemarkError TIDEMARK_CACHE_INVALID, naming `place`. */
export function requireShare(number: number, place: string): void {
  if (number >= 0 && number <= 1) return
  throw invalid(
    `${String(number)} is no share`,
    'Write one from 0 to 1: 0.8 is four of five.',
    place,
  )
}

/** The terms that options ask for; `place` is where they were written. */
export function termsOf(
  { ttl, stale, softTimeout, hardTimeout, eagerness = 1 }: TermOptions,
  { ttlMs, place }: { readonly ttlMs: number; readonly place: string },
): EntryTerms {
  const softMs = durationMs(softTimeout ?? 0, `${place}.softTimeout`)
  const hardMs = spanMs(hardTimeout ?? '10s', `${place}.hardTimeout`)
  if (softMs > hardMs) {
    const what = `A reader would wait ${String(softMs)} ms for a renewal, and waits ${String(hardMs)} ms at most`
    throw invalid(what, `Lower 'softTimeout', or raise 'hardTimeout'.`, `${place}.softTimeout`)
  }
  if (!Number.isFinite(eagerness) || eagerness < 0) {
    const mend = 'Write 0 for no renewal ahead of time, or 1 or more.'
    throw invalid(`${String(eagerness)} is no eagerness`, mend, `${place}.eagerness`)
  }
  return {
    ttlMs: ttl === undefined ? ttlMs : spanMs(ttl, `${place}.ttl`),
    staleMs: durationMs(stale ?? 0, `${place}.stale`),
    softMs,
    hardMs,
    eagerness,
  }
}

const invalid = (what: string, mend: string, place: string): TidemarkError =>
  new TidemarkError({ code: 'TIDEMARK_CACHE_INVALID', what, mend, place })
