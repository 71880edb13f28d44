import pg from 'pg'
import type { Backoff } from '../base/backoff.ts'
import { backoffMs } from '../base/backoff.ts'
import { pause } from '../base/clock.ts'
import { TidemarkError } from '../model/errors.ts'
import type { Place } from './fault.ts'
import { faultOf, placeOf } from './fault.ts'

/**
 * Whatever runs statements: a pool, a transaction, a session.
 *
 * Values travel apart from the text. Nothing is prepared by name, so that a pooler in transaction
 * mode can stand between. Without values the text may hold several statements; the rows of the last
 * one come back.
 *
 * An int8 comes as a number where that is exact and as text where it is not; numeric, date,
 * timestamp without time zone, interval, xid8 and pg_snapshot come as text; timestamptz as Date.
 */
export interface Queryable {
  readonly query: <Row extends object = Readonly<Record<string, unknown>>>(
    text: string,
    values?: readonly unknown[],
  ) => Promise<Row[]>
}

/** How a transaction begins. */
export interface TransactionOptions {
  readonly isolation?: 'read committed' | 'repeatable read' | 'serializable'
  readonly readOnly?: boolean
  /**
   * False: nothing is compiled just in time. For statements about the catalog, which are long and read few rows: where
   * the planner overrates them, compiling one takes half a second and running it a millisecond.
   */
  readonly jit?: false
  /** Nothing asked within the transaction for so long: the server ends it, and with it the locks of who stands still. */
  readonly idleMsMax?: number
}

/** One connection that nobody else uses: its settings, locks and temporary tables are its own. */
export interface Session extends Queryable {
  /** The backend, as `pg_stat_activity` names it. */
  readonly pid: number
  /** Commits when `body` returns, rolls back when it throws. */
  readonly transaction: <Result>(
    body: (transaction: Queryable) => Promise<Result>,
    options?: TransactionOptions,
  ) => Promise<Result>
  /** Ends the connection; a second call does nothing. */
  readonly close: () => Promise<void>
}

/** A database through a bounded pool of connections, which are made when needed. */
export interface Database extends Queryable {
  /** Commits when `body` returns, rolls back when it throws. */
  readonly transaction: <Result>(
    body: (transaction: Queryable) => Promise<Result>,
    options?: TransactionOptions,
  ) => Promise<Result>
  /** Lends a connection outside the pool and ends it afterwards. */
  readonly session: <Result>(body: (session: Session) => Promise<Result>) => Promise<Result>
  /** Waits for what runs, then ends every connection; a second call does nothing. */
  readonly close: () => Promise<void>
}

/** What may be chosen about a {@link Database}. */
export interface DatabaseOptions {
  /** Connections at most; who comes then waits. */
  readonly connectionsMax?: number
  readonly connectTimeoutMs?: number
  /**
   * An answer that takes longer fails, and its connection is given up: for calls of which it is known that
   * they are short. A network that is cut can leave a connection open that never answers again.
   */
  readonly answerWithinMs?: number
  /** Notices and warnings of the server, as text. */
  readonly onNotice?: (message: string) => void
}

const connectionsMaxDefault = 8
const connectTimeoutMsDefault = 10_000
const idleMsMax = 30_000
/** A connection at rest for this long is asked by the system whether the other side is still there. */
const keepAliveAfterMs = 10_000
/** How long the server may take to end a connection that we have ended. */
const goodbyeMsMax = 2_000
const reconnect: Backoff = { baseMs: 100, maxMs: 10_000 }
const oldestServer = 140_000

/**
 * Opens a database. Nothing is sent yet: a server that is not there is noticed by the first query,
 * and one that goes away and comes back is used again.
 */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const place = placeOf(url)
  const pool = new pg.Pool({
    ...configOf(url, options),
    ...(options.answerWithinMs === undefined ? {} : { query_timeout: options.answerWithinMs }),
    max: options.connectionsMax ?? connectionsMaxDefault,
    idleTimeoutMillis: idleMsMax,
  })
  // An idle connection was lost; the pool has dropped it and the next query makes another.
  pool.on('error', ignore)
  pool.on('connect', (client) => {
    hearNotices(client, options)
    boundGoodbye(client)
    // Lost while lent: the query that runs, or the next one, says so.
    client.on('error', ignore)
  })
  let closing: Promise<void> | undefined
  return {
    query: (text, values) => run(pool, place, { text, values }),
    async transaction(body, transactionOptions) {
      const client = await translated(place, () => pool.connect())
      let broken = false
      try {
        return await inTransaction({ client, place }, body, transactionOptions, () => {
          broken = true
        })
      } finally {
        client.release(broken)
      }
    },
    async session(body) {
      const session = await openSession(url, options)
      try {
        return await body(session)
      } finally {
        await session.close()
      }
    },
    close: () => (closing ??= pool.end()),
  }
}

/** Opens one connection of its own. The caller closes it. */
export async function openSession(url: string, options: DatabaseOptions = {}): Promise<Session> {
  const place = placeOf(url)
  const client = await connect(url, place, options)
  let closing: Promise<void> | undefined
  // Asked, not taken from the protocol: a pooler between gives its own number there.
  const [row] = await run<{ pid: number }>(client, place, {
    text: 'select pg_backend_pid() as pid',
    withinMs: options.connectTimeoutMs ?? connectTimeoutMsDefault,
  }).catch(async (error: unknown) => {
    await client.end().catch(ignore)
    throw error
  })
  return {
    pid: row?.pid ?? 0,
    query: (text, values) => run(client, place, { text, values }),
    transaction: (body, transactionOptions) =>
      inTransaction({ client, place }, body, transactionOptions, ignore),
    close: () => (closing ??= client.end().catch(ignore)),
  }
}

/** What to listen to. */
export interface Listening {
  readonly url: string
  readonly channel: string
  /** Called with '' whenever listening begins anew: what was sent before is lost, so look. */
  readonly onNotify: (payload: string) => void
  /** Called when the connection is lost or cannot be made; another attempt follows. */
  readonly onLost?: (error: unknown) => void
  readonly signal: AbortSignal
}

/**
 * Listens to a channel until the signal fires; connects again whenever the connection is lost.
 * Needs a session of its own: through a pooler in transaction mode nothing is heard.
 */
export async function listen(listening: Listening): Promise<void> {
  const { signal } = listening
  for (let failures = 0; ; failures += 1) {
    if (signal.aborted) return
    try {
      await listenOnce(listening, () => {
        failures = 0
      })
    } catch (error) {
      listening.onLost?.(error)
    }
    await pause(backoffMs(reconnect, failures + 1, Math.random), signal)
  }
}

async function listenOnce(listening: Listening, onReady: () => void): Promise<void> {
  const { url, channel, onNotify, signal } = listening
  const place = placeOf(url)
  const client = await connect(url, place, {})
  const { ended, end } = endOf(client)
  signal.addEventListener('abort', end)
  try {
    client.on('notification', (message) => {
      onNotify(message.payload ?? '')
    })
    await run(client, place, {
      text: `listen ${client.escapeIdentifier(channel)}`,
      withinMs: connectTimeoutMsDefault,
    })
    onReady()
    onNotify('')
    if (!signal.aborted) await translated(place, () => ended)
  } finally {
    signal.removeEventListener('abort', end)
    await client.end().catch(ignore)
  }
}

/** Settles when the connection is lost, or when `end` is called. */
function endOf(client: pg.Client): { readonly ended: Promise<void>; readonly end: () => void } {
  let end: () => void = ignore
  const ended = new Promise<void>((resolve, reject) => {
    end = resolve
    client.on('end', resolve)
    client.on('error', (error: Error) => {
      reject(error)
    })
  })
  ended.catch(ignore)
  return { ended, end }
}

/**
 * The version of the server as a number, 150018 for 15.18.
 * Throws `TIDEMARK_DATABASE_TOO_OLD` below PostgreSQL 14.
 */
export async function serverVersion(queryable: Queryable): Promise<number> {
  const [row] = await queryable.query<{ number: number; name: string }>(
    `select current_setting('server_version_num')::int as number,
            current_setting('server_version') as name`,
  )
  const number = row?.number ?? 0
  if (number >= oldestServer) return number
  throw new TidemarkError({
    code: 'TIDEMARK_DATABASE_TOO_OLD',
    what: `The server is PostgreSQL ${row?.name ?? 'of an unknown version'}`,
    mend: 'Tidemark needs PostgreSQL 14 or newer: upgrade the server, or name another in the URL.',
  })
}

interface Rows<Row> {
  readonly rows: Row[]
}

interface Statement {
  readonly text: string
  readonly values?: readonly unknown[] | undefined
  readonly withinMs?: number
}

async function run<Row extends object>(
  client: pg.Pool | pg.ClientBase,
  place: Place,
  statement: Statement,
): Promise<Row[]> {
  return translated(place, async () => {
    const { text, values, withinMs } = statement
    const config = {
      text,
      ...(values === undefined ? {} : { values: [...values] }),
      ...(withinMs === undefined ? {} : { query_timeout: withinMs }),
    }
    // Several statements give several results, which the types of pg do not say.
    const result = (await client.query(config)) as Rows<Row> | Rows<Row>[]
    return (Array.isArray(result) ? result.at(-1)?.rows : result.rows) ?? []
  })
}

async function translated<Result>(place: Place, step: () => Promise<Result>): Promise<Result> {
  try {
    return await step()
  } catch (error) {
    throw faultOf(error, place)
  }
}

/** `onBroken` is told when not even the rollback went through: the connection is of no more use. */
async function inTransaction<Result>(
  on: { readonly client: pg.ClientBase; readonly place: Place },
  body: (transaction: Queryable) => Promise<Result>,
  options: TransactionOptions = {},
  onBroken: () => void,
): Promise<Result> {
  const { client, place } = on
  const isolation = options.isolation ?? 'read committed'
  const access = options.readOnly === true ? ' read only' : ''
  const jit = options.jit === false ? '; set local jit = off' : ''
  const idle =
    options.idleMsMax === undefined
      ? ''
      : `; set local idle_in_transaction_session_timeout = ${String(options.idleMsMax)}`
  try {
    await run(client, place, { text: `begin isolation level ${isolation}${access}${jit}${idle}` })
    const result = await body({ query: (text, values) => run(client, place, { text, values }) })
    await run(client, place, { text: 'commit' })
    return result
  } catch (error) {
    await client.query('rollback').catch(onBroken)
    throw error
  }
}

async function connect(url: string, place: Place, options: DatabaseOptions): Promise<pg.Client> {
  const client = new pg.Client(configOf(url, options))
  client.on('error', ignore)
  hearNotices(client, options)
  await translated(place, () => client.connect())
  boundGoodbye(client)
  return client
}

/** Cuts off a connection that we have ended, if the other side does not end it too. */
function boundGoodbye(client: pg.Client): void {
  const { stream } = client.connection
  stream.once('finish', () => {
    const late = setTimeout(() => stream.destroy(), goodbyeMsMax)
    stream.once('close', () => {
      clearTimeout(late)
    })
  })
}

function configOf(url: string, options: DatabaseOptions): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: 'tidemark',
    connectionTimeoutMillis: options.connectTimeoutMs ?? connectTimeoutMsDefault,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveAfterMs,
    types: { getTypeParser: parserOf },
  }
}

function hearNotices(client: pg.ClientBase, options: DatabaseOptions): void {
  client.on('notice', (notice) => options.onNotice?.(notice.message ?? ''))
}

const asText = (text: string): string => text

const asNumber = (text: string): number | string => {
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : text
}

/** Types that pg reads in the zone of this machine (date, timestamp), or as an object (interval). */
const parsers: ReadonlyMap<number, (text: string) => unknown> = new Map([
  [20, asNumber],
  [1082, asText],
  [1114, asText],
  [1186, asText],
])

function parserOf(oid: number, format?: 'text' | 'binary'): (text: string) => unknown {
  const own = format === 'binary' ? undefined : parsers.get(oid)
  // Its overloads name the types that it knows; any other is read as text.
  const known = pg.types.getTypeParser as (id: number, as?: string) => (text: string) => unknown
  return own ?? known(oid, format)
}

function ignore(): void {
  // What the event says is said again, with its place, by the query that meets it.
}
