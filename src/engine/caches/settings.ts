import { parseDuration } from '../../base/duration.ts'
import { TidemarkError } from '../../model/errors.ts'

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
