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

/** The scripts by their digests, with the clock of a history in place of the server's. */
const byDigest = new Map(
  Object.values(scripts).map((text) => [
    createHash('sha1').update(text).digest('hex'),
    text.replaceAll(ownClock, clockOfHistory),
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
