import { createHash } from 'node:crypto'
import { createClient, RESP_TYPES } from 'redis'
import * as scripts from '../../cache/redis-scripts.ts'

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

/** What a replica has got of a namespace, as far as it has come. */
export type Replica = readonly (readonly [key: string, leftMs: number, content: Buffer])[]

/** Has a replica come as far as its primary. */
export async function replicated(client: Client, namespace: string): Promise<Replica> {
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const keys = await client.keys(`${namespace}:*`)
  return Promise.all(
    keys.map(async (key) => {
      const [leftMs, content] = await Promise.all([client.pTTL(key), bytes.dump(key)])
      return [key, Math.max(0, leftMs), content] as const
    }),
  )
}

/** Has a replica be the primary from here on: what it has not got has never been, and the server is another run. */
export async function promoted(client: Client, namespace: string, replica: Replica): Promise<void> {
  const keys = await client.keys(`${namespace}:*`)
  const step = client.multi().incr(runKey)
  if (keys.length > 0) step.del(keys)
  for (const [key, leftMs, content] of replica)
    step.addCommand(['RESTORE', key, String(leftMs), content])
  await step.exec()
}
