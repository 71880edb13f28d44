import { parseDuration } from '../../base/duration.ts'
import type { EntryTerms } from '../../cache/entry-request.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { TermOptions } from './cache-options.ts'

/** Milliseconds of a duration as people write it. @throws TidemarkError TIDEMARK_CACHE_INVALID, naming `place`. */
export function durationMs(text: string | 0, place: string): number {
  const ms = text === 0 ? 0 : parseDuration(text)
  if (ms !== null) return ms
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `'${text}' is no duration`,
    mend: `Write one like '500ms', '5m' or '1h 30m'.`,
    place,
  })
}

/** The terms that options ask for; `place` is where they were written. */
export function termsOf(
  { ttl, stale, softTimeout, hardTimeout, eagerness }: TermOptions,
  { ttlMs, place }: { readonly ttlMs: number; readonly place: string },
): EntryTerms {
  return {
    ttlMs: ttl === undefined ? ttlMs : durationMs(ttl, `${place}.ttl`),
    staleMs: durationMs(stale ?? 0, `${place}.stale`),
    softMs: durationMs(softTimeout ?? 0, `${place}.softTimeout`),
    hardMs: durationMs(hardTimeout ?? '10s', `${place}.hardTimeout`),
    eagerness: eagerness ?? 1,
  }
}
