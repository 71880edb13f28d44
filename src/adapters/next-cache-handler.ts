import { redis } from '../engine/caches/cache-options.ts'
import type { NextIsrContext, NextIsrHandler } from './next-entries/isr-handler.ts'
import { IsrEntries, IsrHandler } from './next-entries/isr-handler.ts'
import type { NextCacheHandlerOptions } from './next-entries/next-redis.ts'
import { NextRedis } from './next-entries/next-redis.ts'
import type { NextCacheEntry } from './next-entries/use-cache-handler.ts'
import { UseCacheHandler } from './next-entries/use-cache-handler.ts'

export { redis }
export type { NextCacheEntry, NextCacheHandlerOptions, NextIsrContext, NextIsrHandler }

/** What Next.js 16 asks of a handler in `cacheHandlers`. */
export interface NextCacheHandler {
  readonly get: (cacheKey: string, softTags: string[]) => Promise<NextCacheEntry | undefined>
  readonly set: (cacheKey: string, pendingEntry: Promise<NextCacheEntry>) => Promise<void>
  readonly refreshTags: () => Promise<void>
  readonly getExpiration: (tags: string[]) => Promise<number>
  readonly updateTags: (tags: string[], durations?: { expire?: number }) => Promise<void>
}

/**
 * A handler for `cacheHandlers` of Next.js: what `'use cache'` computes is in Redis, for all servers of an app.
 *
 * Law: an entry is given only if, by one look at Redis, none of its tags and none of the path's was revalidated since before
 * its computation began. Nothing is kept in the process, so what was revalidated through one server and acknowledged is
 * given by none. While Redis does not answer nothing is given.
 */
export function nextCacheHandler(options: NextCacheHandlerOptions): NextCacheHandler {
  const entries = new NextRedis(options)
  const handler = new UseCacheHandler(entries)
  return {
    get: (cacheKey, softTags) => handler.get(cacheKey, softTags),
    set: (cacheKey, pendingEntry) => handler.set(cacheKey, pendingEntry),
    refreshTags: () => Promise.resolve(),
    // Infinity: `get` is given the tags of the path, and compares them itself.
    getExpiration: () => Promise.resolve(Infinity),
    updateTags: (tags, durations) => entries.update(tags, durations?.expire ?? 0),
  }
}

/**
 * A class for `cacheHandler` of Next.js: pages that it renders ahead, responses of routes and answers of `fetch` are in Redis,
 * for all servers of a build of an app.
 *
 * Law: the same as that of {@link nextCacheHandler}, by the tags that a page was rendered with.
 */
export function nextIsrHandler(
  options: NextCacheHandlerOptions,
): new (context: NextIsrContext) => NextIsrHandler {
  const entries = new IsrEntries(new NextRedis(options))
  return class extends IsrHandler {
    constructor(context: NextIsrContext) {
      super(entries, context)
    }
  }
}
