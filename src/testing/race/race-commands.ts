import { createHash } from 'node:crypto'
import { createClient, RESP_TYPES } from 'redis'
import * as scripts from '../../cache/redis-scripts.ts'
import type { Scheduler } from './scheduler.ts'

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

/** The scripts by their digests, with the clock and the run of a history in place of the server's. */
const byDigest = new Map(
  Object.values(scripts).map((text) => [
    createHash('sha1').update(text).digest('hex'),
    text.replaceAll(ownClock, clockOfHistory).replaceAll(ownRun, runOfHistory),
  ]),
)

/**
 * Commands to a real Redis, whose scripts go by the clock of the history and are known to it from the beginning: else the load of the
 * machine would decide what comes next, and a seed would not play a history again.
 */
export function raceCommands(client: Client): RaceCommand {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  return async (words, nowMs) => {
    const [name, digest, ...rest] = words
    const text = name === 'evalsha' ? byDigest.get(String(digest)) : undefined
    if (text === undefined) return bytes.sendCommand([...words])
    // On one connection they come in this order.
    const [, answer] = await Promise.all([
      bytes.sendCommand(['set', clockKey, String(Math.floor(nowMs))]),
      bytes.sendCommand(['eval', text, ...rest]),
    ])
    return answer
  }
}

/** What Redis keeps of a namespace, and has again when it is brought back. */
export interface SavedNamespace {
  readonly namespace: string
  readonly scheduler: Pick<Scheduler, 'real'>
}

/**
 * Notes all that Redis keeps of a namespace; what it returns has it be all there is, in another run of the server: as after a restart
 * from a snapshot, or a failover to a replica that has come no further.
 */
export async function saved(
  client: Client,
  { namespace, scheduler }: SavedNamespace,
): Promise<() => Promise<void>> {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const keysNow = (): Promise<string[]> => client.keys(`${namespace}:*`)
  const entries = await scheduler.real(async () =>
    Promise.all(
      (await keysNow()).map(async (key) => {
        const [leftMs, content] = await Promise.all([client.pTTL(key), bytes.dump(key)])
        return [key, String(Math.max(0, leftMs)), content] as const
      }),
    ),
  )
  return () =>
    scheduler.real(async () => {
      const keys = await keysNow()
      const step = client.multi().incr(runKey)
      if (keys.length > 0) step.del(keys)
      for (const entry of entries) step.addCommand(['RESTORE', ...entry])
      await step.exec()
    })
}
