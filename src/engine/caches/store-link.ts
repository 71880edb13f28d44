import { createClient } from 'redis'
import type { RedisLink } from '../../cache/redis-link.ts'
import { redisLink } from '../../cache/redis-link.ts'
import type { StoreOption } from './cache-options.ts'

/** The connection to a store; one that is named by its URL is ended with the link. */
export function linkOf(store: Exclude<StoreOption, { readonly kind: 'postgres' }>): RedisLink {
  if (store.kind === 'redis client') return redisLink(store.client, false)
  // Commands are not kept while the server is away: what cannot be asked now is not asked later either.
  const client = createClient({ url: store.url, disableOfflineQueue: true })
  return redisLink(client, true)
}
