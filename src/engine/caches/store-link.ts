import { createClient } from 'redis'
import type { RedisLink } from '../../cache/redis-link.ts'
import { redisLink } from '../../cache/redis-link.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { StoreOption } from './cache-options.ts'

/** The connection to a Redis; one that is named by its URL is ended with the link. @throws TidemarkError for a store that is none. */
export function linkOf(store: StoreOption): RedisLink {
  switch (store.kind) {
    case 'redis client':
      return redisLink(store.client, false)
    case 'redis':
      // Commands are not kept while the server is away: what cannot be asked now is not asked later either.
      return redisLink(createClient({ url: store.url, disableOfflineQueue: true }), true)
    case 'postgres':
      throw new TidemarkError({
        code: 'TIDEMARK_CACHE_INVALID',
        what: 'postgres() shares entries of a cache, and is no Redis.',
        mend: `Name one: redis('redis://…').`,
      })
  }
}
