import { invalidateByHand, readCaches, tagsOfPatterns } from '../../engine/cache-overview.ts'
import type { Call, CommandMaker } from '../command.ts'
import { makeCommand } from '../command.ts'
import { usage } from '../option-values.ts'
import { renderCaches } from '../render/caches.ts'
import { counted } from '../render/figures.ts'

interface CacheCommandOptions {
  readonly yes?: boolean
  readonly expire?: boolean
}

/** `tidemark cache`: the caches and cache tables of a database, and invalidation by hand. */
export const cacheCommand: CommandMaker = makeCommand<CacheCommandOptions>({
  name: 'cache',
  summary: 'the caches and cache tables of the database, how far behind; invalidate by hand',
  examples: [
    [
      'tidemark cache',
      'each cache with what it depends on, its journal and who listens; cache tables',
    ],
    ["tidemark cache invalidate shop 'quotes:*' 'dashboard:*'", 'shows what goes, and asks'],
    [
      "tidemark cache invalidate shop '*' --expire --yes",
      'all may be served until there is a new one',
    ],
  ],
  arrange: (command) => {
    command
      .argument('[action]', 'list, or invalidate', 'list')
      .argument('[name]', 'of the cache')
      .argument('[patterns...]', "'*', or words of keys that end in ':*'")
      .option('--expire', 'entries may be served while they are renewed')
      .option('--yes', 'do not ask')
  },
  run(call) {
    const [action = 'list', name, ...patterns] = call.words
    if (action === 'invalidate') return invalidate(call, name ?? '', patterns)
    if (action === 'list' && name === undefined) return list(call)
    throw usage(
      action === 'list' ? `list takes no name` : `cache knows nothing like ${action}`,
      "Write 'tidemark cache', or 'tidemark cache invalidate NAME PATTERN'.",
    )
  },
})

const list = (call: Call<CacheCommandOptions>): Promise<number> =>
  call.installed(async (database) => {
    const found = await readCaches(database)
    call.answer('caches', found, (style) => renderCaches(found, style))
    return 0
  })

function invalidate(
  call: Call<CacheCommandOptions>,
  name: string,
  patterns: readonly string[],
): Promise<number> {
  if (name === '' || patterns.length === 0) {
    throw usage(
      'What is to be invalidated is not said',
      "Write the cache and patterns, as in: tidemark cache invalidate shop 'quotes:*'.",
    )
  }
  const tags = tagsOfPatterns(patterns)
  const verb = call.options.expire === true ? 'expire' : 'remove'
  return call.installed(async (database) => {
    const { caches } = await readCaches(database)
    const listeners = caches.find((cache) => cache.name === name)?.listeners ?? 0
    call.say([
      `Cache ${name}: entries of ${patterns.join(', ')} ${
        verb === 'remove' ? 'may not be served again' : 'may be served only while they are renewed'
      }.`,
      `${counted(listeners, 'process', 'processes')} of the cache listening now.`,
    ])
    if (!(await agreed(call))) {
      call.say(['Nothing was invalidated.'])
      return 1
    }
    await invalidateByHand(database, { name, tags, verb })
    call.answer('cache_invalidated', { name, patterns, verb }, () => ['Done.'])
    return 0
  })
}

async function agreed({
  options,
  surroundings,
  json,
}: Call<CacheCommandOptions>): Promise<boolean> {
  if (options.yes === true) return true
  if (surroundings.confirm === null || json) {
    throw usage('Nobody can be asked here whether to invalidate', 'Add --yes to say so beforehand.')
  }
  return surroundings.confirm('Invalidate?')
}
