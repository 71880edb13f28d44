import { readKeys } from '../../engine/cache-overview.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { usage, wholeNumber } from '../option-values.ts'
import { renderKeys } from '../render/caches.ts'

interface KeysOptions {
  readonly redisUrl?: string
  readonly limit: string
}

/** `tidemark keys`: what a cache has in Redis. */
export const keysCommand: CommandMaker = makeCommand<KeysOptions>({
  name: 'keys',
  summary: 'the entries that a cache has in Redis: key, state, age, time left; changes nothing',
  examples: [
    ['tidemark keys shop --redis-url redis://localhost:6379', 'all entries of the cache shop'],
    [
      "tidemark keys shop 'quotes:*:tenant_7:*'",
      'those of one tenant; TIDEMARK_REDIS_URL names the Redis',
    ],
  ],
  arrange: (command) => {
    command
      .argument('<namespace>', 'of the cache')
      .argument('[pattern]', 'of keys after the namespace, with * for anything', '*')
      .option('--redis-url <url>', 'the Redis; else TIDEMARK_REDIS_URL')
      .option('--limit <number>', 'show no more entries', '100')
  },
  async run(call) {
    const { redisUrl, limit: text } = call.options
    const [namespace = '', glob = '*'] = call.words
    const limit = wholeNumber('--limit', text, { min: 1, max: 100_000 })
    const url = redisUrl ?? call.surroundings.environment['TIDEMARK_REDIS_URL'] ?? ''
    if (url === '') {
      throw usage(
        'No Redis is named',
        'Write --redis-url redis://host:6379, or set TIDEMARK_REDIS_URL.',
      )
    }
    const keys = await readKeys(url, { namespace, glob, limit })
    call.answer('keys', { namespace, keys }, (style) =>
      renderKeys(keys, { namespace, limit }, style),
    )
    return 0
  },
})
