import { createHash } from 'node:crypto'
import { createClient, RESP_TYPES } from 'redis'
import * as scripts from '../../cache/redis-scripts.ts'
import type { Scheduler } from './scheduler.ts'
import type { ServerClock } from './server-clock.ts'

/** A connection to the real Redis. */
export type Client = ReturnType<typeof createClient>

/** Connects to the real Redis. */
export async function connected(url: string): Promise<Client> {
  const client: Client = createClient({ url })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/** Sends a command at a time of its history. */
export type RaceCommand = (words: readonly (string | Buffer)[], nowMs: number) => Promise<unknown>

const clockKey = '~race:clock'
const ownClock = "redis.call('time')"
const clockOfHistory = `{ 0, redis.call('get', '${clockKey}') * 1000 }`
const runKey = '~race:run'
const ownRun = "redis.pcall('info', 'server')"
const runOfHistory = `'run_id:' .. (redis.call('get', '${runKey}') or '0')`

const ownTimeToLive = /redis\.call\('set', (.+), 'px', (ARGV\[\d+\])\)/g
const endsKey = '~race:ends'

/** Entries and leases end by the clock of the history as well. */
const timesToLive = `
local history_ms = tonumber(redis.call('get', '${clockKey}'))
for _, key in ipairs(redis.call('zrangebyscore', '${endsKey}', '-inf', history_ms)) do
  redis.call('del', key)
  redis.call('zrem', '${endsKey}', key)
end
local function set_for(key, value, ms)
  redis.call('set', key, value)
  redis.call('zadd', '${endsKey}', history_ms + ms, key)
end
`

/** The scripts by their digests, with the clock and the run of a history in place of the server's. */
const byDigest = new Map(
  Object.values(scripts).map((text) => [
    createHash('sha1').update(text).digest('hex'),
    timesToLive +
      text
        .replaceAll(ownClock, clockOfHistory)
        .replaceAll(ownRun, runOfHistory)
        .replaceAll(ownTimeToLive, 'set_for($1, $2)'),
  ]),
)

const plain = `${timesToLive}return redis.call(unpack(ARGV))`

/**
 * Commands to a real Redis, which goes by the clock of the history and knows its scripts from the beginning: else the load of the
 * machine would decide what comes next, and a seed would not play a history again.
 */
export function raceCommands(client: Client): RaceCommand {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  let shown = ''
  return async (words, nowMs) => {
    const [name, digest, ...rest] = words
    const shows = String(Math.floor(nowMs))
    const isRight = shows === shown
    shown = shows
    const text = name === 'evalsha' ? byDigest.get(String(digest)) : undefined
    // On one connection they come in this order.
    const [, answer] = await Promise.all([
      isRight ? null : bytes.sendCommand(['set', clockKey, shows]),
      bytes.sendCommand(
        text === undefined ? ['eval', plain, '0', ...words] : ['eval', text, ...rest],
      ),
    ])
    return answer
  }
}

/** What Redis keeps of a namespace, and has again when it is brought back. */
export interface SavedNamespace {
  readonly namespace: string
  readonly scheduler: Pick<Scheduler, 'real'>
  readonly clock: ServerClock
}

/**
 * Notes all that Redis keeps of a namespace; what it returns has it be all there is, in another run of the server, by another clock: as
 * after a restart from a snapshot, or a failover to a replica that has come no further.
 */
export async function saved(
  client: Client,
  { namespace, scheduler, clock }: SavedNamespace,
): Promise<() => Promise<void>> {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const keysNow = (): Promise<string[]> => client.keys(`${namespace}:*`)
  const entries = await scheduler.real(async () =>
    Promise.all(
      (await keysNow()).map(async (key) => {
        const [endsAt, content] = await Promise.all([client.zScore(endsKey, key), bytes.dump(key)])
        return { key, endsAt, content }
      }),
    ),
  )
  return () => {
    clock.change()
    return scheduler.real(async () => {
      const keys = await keysNow()
      const step = client.multi().incr(runKey)
      if (keys.length > 0) step.del(keys).zRem(endsKey, keys)
      for (const { key, endsAt, content } of entries) {
        step.addCommand(['RESTORE', key, '0', content])
        if (endsAt !== null) step.zAdd(endsKey, { score: endsAt, value: key })
      }
      await step.exec()
    })
  }
}
