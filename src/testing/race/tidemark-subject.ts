import type { TermOptions, WarmOptions } from '../../engine/caches/cache-options.ts'
import { redis } from '../../engine/caches/cache-options.ts'
import type { CacheManager } from '../../engine/caches/create-cache.ts'
import { createCache } from '../../engine/caches/create-cache.ts'
import type { DependsOn } from '../../invalidate/dependency.ts'
import type { RaceNode, RacePlay, RaceStage, RaceSubject, RaceValue } from './play-history.ts'
import { passing } from '../../base/timing.ts'
import type { Dice } from '../../base/dice.ts'
import { pick } from '../../base/dice.ts'
import type { Client } from './race-commands.ts'
import { connected, raceCommands, saved } from './race-commands.ts'
import type { RedisFaults, RedisSurroundings } from './scheduled-redis.ts'
import { scheduledRedis } from './scheduled-redis.ts'
import { ServerClock } from './server-clock.ts'

/** Tidemark's cache, its nodes sharing a real Redis, for the race kit. */
export async function tidemarkSubject(url: string): Promise<{
  readonly subject: RaceSubject
  readonly close: () => Promise<void>
}> {
  const client = await connected(url)
  const command = raceCommands(client)
  let histories = 0
  const subject: RaceSubject = {
    name: 'tidemark',
    begin(stage) {
      histories += 1
      return Promise.resolve(playOn(stage, `race${histories}`, { client, command }))
    },
  }
  return {
    subject,
    close() {
      client.destroy()
      return Promise.resolve()
    },
  }
}

/** How bad the connections of a history are. */
export const faultsOf: readonly RedisFaults[] = [
  { lostCommands: 0, lostAnswers: 0, hints: 0.2 },
  { lostCommands: 0, lostAnswers: 0, hints: 0 },
  { lostCommands: 0.05, lostAnswers: 0.05, hints: 0.1 },
]

function playOn(
  { scheduler, dice, load, keys }: RaceStage,
  namespace: string,
  { client, command }: { readonly client: Client } & Pick<RedisSurroundings, 'command'>,
): RacePlay {
  let down = false
  const clock = new ServerClock(dice)
  const options = { ...termsOf(dice), warm: warmOf(dice, keys) }
  const slow = slowly({ scheduler, dice }, load)
  const surroundings: RedisSurroundings = {
    scheduler,
    dice,
    command,
    clock,
    faults: pick(dice, faultsOf),
    isDown: () => down,
    listeners: new Set(),
  }
  const makeNode = (): RaceNode => {
    const own = scheduledRedis(surroundings)
    const timing = scheduler.timing(dice() * 4_000)
    const cache = createCache({ namespace, store: redis(own), timing, random: dice })
    return nodeOver(cache, slow, options)
  }
  return {
    makeNode,
    upsets: [
      ...upsetsOf({ scheduler, dice }, namespace, client),
      () => Promise.resolve(void (down = !down)),
    ],
    save: () => saved(client, { namespace, scheduler, clock }),
    async end() {
      const kept = await client.keys(`${namespace}:*`)
      if (kept.length > 0) await client.unlink(kept)
    },
  }
}

/** Time passes. */
export const timePasses = ({
  scheduler,
  dice,
}: Pick<RaceStage, 'scheduler' | 'dice'>): (() => Promise<void>)[] => [
  () => scheduler.pass(dice() * 300),
  () => scheduler.pass(dice() * 20),
]

/** Time passes, and Redis forgets some of what it keeps of a namespace. */
export function upsetsOf(
  { scheduler, dice }: Pick<RaceStage, 'scheduler' | 'dice'>,
  namespace: string,
  client: Client,
): (() => Promise<void>)[] {
  const forget = async (pattern: string): Promise<void> => {
    const keys = await scheduler.real(() => client.keys(`${namespace}:${pattern}`))
    if (keys.length > 0) await scheduler.real(() => client.del(pick(dice, keys.toSorted())))
  }
  return [
    ...timePasses({ scheduler, dice }),
    () => forget('~tag:*'),
    () => forget('thing:*'),
    () => forget('~lease:*'),
    () => forget('~*'),
  ]
}

/** The terms of a history: entries that are renewed behind their readers, early or late, or never run out. */
export function termsOf(dice: Dice): TermOptions {
  return {
    ttl: pick(dice, ['1h', '300ms', '60ms']),
    stale: pick(dice, ['0ms', '200ms', '1h']),
    softTimeout: pick(dice, ['0ms', '20ms']),
    hardTimeout: '30s',
    eagerness: pick(dice, [0, 1, 30]),
  }
}

/** What is loaded before anybody asks: whatever there is when a node is told to, or as it starts as well, or what is read most behind invalidations. */
export function warmOf(dice: Dice, keys: readonly string[]): WarmOptions<readonly [string]> {
  return {
    entries: () => keys.map((key) => [key] as const),
    atStart: dice() < 0.5,
    hot: pick(dice, [0, 1, keys.length]),
    concurrency: pick(dice, [1, 4]),
  }
}

/** Loads that take time, in every other history: then entries are renewed ahead of theirs. */
export function slowly(
  { scheduler, dice }: Pick<RaceStage, 'scheduler' | 'dice'>,
  load: RaceStage['load'],
): RaceStage['load'] {
  if (dice() < 0.5) return load
  const timing = scheduler.timing(0)
  return async (key) => {
    const value = await load(key)
    await passing(timing, dice() * 20)
    return value
  }
}

/** A node of a history, started: one kind of entries, invalidated by key or by tag, and told to hold what a load brings. */
export function nodeOver(
  cache: CacheManager,
  load: (key: string) => Promise<RaceValue>,
  options: TermOptions & {
    readonly dependsOn?: DependsOn<readonly [string]>
    readonly warm: WarmOptions<readonly [string]>
  },
): RaceNode {
  const thing = cache.define('thing', load, {
    ...options,
    version: '1',
    tags: (key) => [`tag_${key}`],
  })
  // Where it fails, for want of the journal, what is warmed begins nevertheless.
  cache.start().catch(() => undefined)
  return {
    read: (key) => thing.get(key),
    invalidate: (key, way) =>
      way < 0.5 ? thing.remove(key) : cache.remove({ tags: [`tag_${key}`] }),
    expire: (key, way) => (way < 0.5 ? thing.expire(key) : cache.expire({ tags: [`tag_${key}`] })),
    set: (key) => thing.set([key], () => load(key)),
    renew: (key) => thing.renew(key),
    warm: () => cache.warm(),
    warmed: () => cache.getStats().kinds['thing']?.warming.loaded ?? 0,
    kill: () => void cache.close(),
  }
}
