import { systemClock } from '../../base/clock.ts'
import type { EntryRequest } from '../../cache/entry-request.ts'
import { HotEntries } from '../../cache/hot-entries.ts'
import type { EntryKey } from '../../model/invalidation.ts'
import type { WarmOptions } from './cache-options.ts'
import { requireWhole, spanMs } from './settings.ts'
import { warmTimes } from './warm-times.ts'
import type { WarmKind } from './warmer.ts'

/** A kind that is warmed, and what its reads are told to. */
export interface WarmedKind<Args extends readonly unknown[]> extends WarmKind {
  readonly noteRead: (key: EntryKey, args: Args) => void
}

/** To find the most read, more are counted. */
const countedPerHot = 4

/** Settles how a kind is warmed; null: not at all. @throws TidemarkError for what cannot be. */
export function warmKind<Args extends readonly unknown[]>(
  name: string,
  options: WarmOptions<Args> | undefined,
  requestOf: (args: Args) => EntryRequest,
): WarmedKind<Args> | null {
  if (options === undefined) return null
  const { entries, hot = 0, concurrency = 4, within = '1m', atStart = true } = options
  const place = `define('${name}').warm`
  requireWhole(concurrency, { place: `${place}.concurrency`, min: 1 })
  requireWhole(hot, { place: `${place}.hot`, min: 0 })
  const read = new HotEntries<Args>(hot * countedPerHot)
  return {
    kind: name,
    entries: entries === undefined ? null : () => requestsOf(entries, requestOf),
    hot: () => read.top(hot).map(([, args]) => requestOf(args)),
    hotMax: hot,
    atStart,
    times: warmTimes(options, { place, now: systemClock() }),
    concurrency,
    withinMs: spanMs(within, `${place}.within`),
    noteRead(key, args) {
      if (hot > 0) read.note(key, args)
    },
  }
}

async function* requestsOf<Args extends readonly unknown[]>(
  entries: NonNullable<WarmOptions<Args>['entries']>,
  requestOf: (args: Args) => EntryRequest,
): AsyncGenerator<EntryRequest, void> {
  for await (const args of await entries()) yield requestOf(args)
}
