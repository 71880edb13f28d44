import { afterEach } from 'vitest'
import type { CacheManager, CacheOptions } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'

/**
 * What makes the caches of a file of tests; each ends with its test. To be called below the file's own hooks: what these take
 * away after a test, its caches have let go of by then.
 */
export function cachesOfTests(): (options: CacheOptions) => CacheManager {
  const open = new Set<CacheManager>()
  afterEach(async () => {
    await Promise.all([...open].map((cache) => cache.close()))
    open.clear()
  })
  return (options) => {
    const cache = createCache(options)
    open.add(cache)
    return cache
  }
}
