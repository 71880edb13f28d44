/** What a Lua script may answer. */
export type RedisReply = Buffer | number | null | readonly RedisReply[]

/** A connection to Redis (or Valkey), whatever client it is made with. */
export interface RedisLink {
  /** Sends one command; texts of the answer come as bytes. */
  readonly send: (words: readonly (string | Uint8Array)[]) => Promise<RedisReply>
  /** What `read` makes of the answer to one command of texts, for a caller who himself waits no longer than he may: nothing else ends it. */
  readonly ask: <Result>(words: string[], read: (reply: RedisReply) => Result) => Promise<Result>
  /** Calls back for each message of a channel, on a connection of its own; returns what ends that. */
  readonly subscribe: (channel: string, listener: () => void) => () => void
  /** Ends the connections that this link made; a second call does nothing. */
  readonly close: () => Promise<void>
}

/** The part of a `redis` (node-redis) client that is used. */
export interface NodeRedisClient {
  readonly isOpen: boolean
  readonly connect: () => Promise<unknown>
  readonly duplicate: () => NodeRedisClient
  readonly destroy: () => void
  readonly on: (event: 'error', listener: (error: unknown) => void) => unknown
  readonly sendCommand: (words: (string | Buffer)[], options?: object) => Promise<unknown>
  readonly subscribe: (channel: string, listener: () => void) => Promise<unknown>
}

/** The part of an `ioredis` or `iovalkey` client that is used. */
export interface IoredisClient {
  readonly callBuffer: (command: string, words: (string | Buffer)[]) => Promise<unknown>
  readonly duplicate: () => IoredisClient
  readonly disconnect: () => void
  readonly on: (event: 'error' | 'message', listener: (...args: unknown[]) => void) => unknown
  readonly subscribe: (channel: string) => Promise<unknown>
}

/** A client that the user has made and goes on owning. */
export type RedisClient = NodeRedisClient | IoredisClient

const isIoredis = (client: RedisClient): client is IoredisClient => 'callBuffer' in client

/** RESP type of a text; mapped to bytes, for entries are no text. */
const blobString = 36
const inBytes = { typeMapping: { [blobString]: Buffer } }
/** The client's own timeout makes an abort signal for each command, which takes longer than all that a hit needs. */
const untimed = { ...inBytes, timeout: undefined }

/** Uses a client of `redis`, `ioredis` or `iovalkey`. `owned`: it is ended with the link. */
export function redisLink(client: RedisClient, owned: boolean): RedisLink {
  return isIoredis(client) ? ioredisLink(client, owned) : nodeRedisLink(client, owned)
}

/** A connection on which so long nobody has answered is given up: a network that is cut can leave it open for ever. */
const silenceMsMax = 5_000

function nodeRedisLink(client: NodeRedisClient, owned: boolean): RedisLink {
  const listening: NodeRedisClient[] = []
  client.on('error', ignore)
  let waiting = 0
  let silentSince = 0
  const settled = (): void => {
    waiting -= 1
    silentSince = performance.now()
  }
  const asked = <Result>(
    words: (string | Buffer)[],
    options: object,
    read: (reply: RedisReply) => Result,
  ): Promise<Result> => {
    const now = performance.now()
    if (waiting === 0) silentSince = now
    else if (owned && now - silentSince > silenceMsMax) destroyed(client)
    if (!client.isOpen)
      return connected()
        .then(() => client.sendCommand(words, options))
        .then((reply) => read(reply as RedisReply))
    waiting += 1
    return client.sendCommand(words, options).then(
      (reply) => {
        settled()
        return read(reply as RedisReply)
      },
      (error: unknown) => {
        settled()
        throw error
      },
    )
  }
  let connecting: Promise<unknown> | undefined
  const connected = (): Promise<unknown> =>
    (connecting ??= client.connect().finally(() => {
      connecting = undefined
    }))
  return {
    send: (words) => asked(words.map(word), inBytes, (reply) => reply),
    ask: (words, read) => asked(words, untimed, read),
    subscribe(channel, listener) {
      const own = client.duplicate()
      own.on('error', ignore)
      listening.push(own)
      own
        .connect()
        .then(() => own.subscribe(channel, listener))
        .catch(ignore)
      return () => {
        destroyed(own)
      }
    },
    close() {
      for (const one of owned ? [...listening, client] : listening) destroyed(one)
      return Promise.resolve()
    },
  }
}

function ioredisLink(client: IoredisClient, owned: boolean): RedisLink {
  const listening: IoredisClient[] = []
  client.on('error', ignore)
  return {
    async send([command, ...words]) {
      return (await client.callBuffer(String(command), words.map(word))) as RedisReply
    },
    ask([command = '', ...words], read) {
      return client.callBuffer(command, words).then((reply) => read(reply as RedisReply))
    },
    subscribe(channel, listener) {
      const own = client.duplicate()
      own.on('error', ignore)
      own.on('message', listener)
      listening.push(own)
      own.subscribe(channel).catch(ignore)
      return () => {
        own.disconnect()
      }
    },
    close() {
      for (const one of owned ? [...listening, client] : listening) one.disconnect()
      return Promise.resolve()
    },
  }
}

const word = (text: string | Uint8Array): string | Buffer =>
  typeof text === 'string' ? text : Buffer.from(text.buffer, text.byteOffset, text.byteLength)

function destroyed(client: NodeRedisClient): void {
  if (client.isOpen) client.destroy()
}

/** The call that suffers from it says so. */
function ignore(): void {
  return undefined
}

/** The parts of an answer that is a list; none of any other. */
export function listOf(reply: RedisReply | undefined): readonly RedisReply[] {
  return Array.isArray(reply) ? (reply as readonly RedisReply[]) : []
}

/** An answer that is a text; a number as one. */
export const textOf = (reply: RedisReply | undefined): string =>
  Buffer.isBuffer(reply) ? reply.toString() : String(reply ?? '')
