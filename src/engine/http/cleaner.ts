import { createHash, timingSafeEqual } from 'node:crypto'
import type { TidemarkConfig } from '../../define/config/tidemark-config.ts'
import type { ErrorCode, Fault } from '../../model/errors.ts'
import { faultIn, TidemarkError } from '../../model/errors.ts'
import type { Database } from '../../postgres/connection.ts'
import { openDatabase } from '../../postgres/connection.ts'

/** How a {@link cacheCleaner} is made. */
export interface CacheCleanerOptions {
  /** The database of the cache tables, as `postgres://…`. Default: `TIDEMARK_DATABASE_URL`, else `DATABASE_URL`. */
  readonly database?: string
  /** The configuration, whose cache tables may have `paths` of their own. */
  readonly config?: Pick<TidemarkConfig, 'cacheTables'>
  /** What a request has to bear. Default: `CRON_SECRET`. */
  readonly secret?: string
}

/** Answers requests that clean cache tables. */
export interface CacheCleaner {
  (request: Request): Promise<Response>
  /** Ends its connections. */
  readonly close: () => Promise<void>
}

const route = /^\/api\/cron\/clean\/([^/]+)$/
const maxAgeMinutesDefault = '5'

/**
 * Makes what answers `GET /api/cron/clean/:cache?maxAge=`, and the further paths of a cache table, in any server that has
 * `Request` and `Response`: deletes rows older than `maxAge` minutes (5), as `tidemark.clean_stale` does. Who asks bears the secret,
 * as `?token=` or `Authorization: Bearer`.
 */
export function cacheCleaner(options: CacheCleanerOptions = {}): CacheCleaner {
  let database: Database | undefined
  const named = cachesByPath(options.config)
  const handler = async (request: Request): Promise<Response> => {
    try {
      const { pathname, searchParams } = new URL(request.url)
      requireSecret(request, searchParams, options.secret ?? process.env['CRON_SECRET'])
      if (request.method !== 'GET') return answered(405, notGet, { allow: 'GET' })
      const cache = named.get(pathname) ?? nameIn(pathname)
      const minutes = minutesOf(searchParams.get('maxAge') ?? maxAgeMinutesDefault)
      database ??= openDatabase(urlOf(options))
      return answered(200, await clean(database, cache, minutes))
    } catch (error) {
      const fault = faultIn(error) ?? unforeseen
      const { code, what: message, mend } = fault
      return answered(statuses[code] ?? 500, { success: false, code, message, mend })
    }
  }
  return Object.assign(handler, {
    close: async () => {
      await database?.close()
    },
  })
}

async function clean(database: Database, cache: string, minutes: number): Promise<object> {
  const beganAt = performance.now()
  const [row] = await database.query<{ deleted: number }>(
    'select tidemark.clean_stale($1, make_interval(secs => $2)) as deleted',
    [cache, minutes * 60],
  )
  return {
    success: true,
    cache,
    deleted: row?.deleted ?? 0,
    max_age_minutes: minutes,
    duration_ms: Math.round(performance.now() - beganAt),
  }
}

function cachesByPath(config: CacheCleanerOptions['config']): ReadonlyMap<string, string> {
  const tables = Object.entries(config?.cacheTables ?? {})
  return new Map(
    tables.flatMap(([name, { paths = [] }]) => paths.map((path) => [path, name] as const)),
  )
}

function nameIn(pathname: string): string {
  const [, name] = route.exec(pathname) ?? []
  const decoded = name === undefined ? null : decodedOf(name)
  if (decoded !== null) return decoded
  throw new TidemarkError({
    code: 'TIDEMARK_CACHE_UNKNOWN',
    what: `No cache table is cleaned by ${pathname}.`,
    mend: `Ask /api/cron/clean/<cache>, or declare the path: cacheTables: { <cache>: { paths: ['${pathname}'] } }.`,
  })
}

/** A part of a path as it was meant; null where it means nothing. */
function decodedOf(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}

function minutesOf(text: string): number {
  if (/^\d{1,7}(\.\d{1,3})?$/.test(text)) return Number(text)
  throw new TidemarkError({
    code: 'TIDEMARK_USAGE',
    what: `'${text}' is no age in minutes.`,
    mend: 'Write maxAge=5.',
  })
}

function urlOf({ database }: CacheCleanerOptions): string {
  const url = database ?? process.env['TIDEMARK_DATABASE_URL'] ?? process.env['DATABASE_URL']
  if (url !== undefined && url !== '') return url
  throw new TidemarkError({
    code: 'TIDEMARK_DATABASE_URL_MISSING',
    what: 'The cleaner of cache tables has no database.',
    mend: 'Set TIDEMARK_DATABASE_URL, or DATABASE_URL.',
  })
}

/** Whoever does not bear the secret learns nothing, not even by the time that it takes. */
function requireSecret(
  request: Request,
  searchParams: URLSearchParams,
  secret: string | undefined,
): void {
  if (secret === undefined || secret === '') {
    throw new TidemarkError({
      code: 'TIDEMARK_VARIABLE_MISSING',
      what: 'CRON_SECRET is not set, so nobody may clean.',
      mend: 'Set it to a long random text, and give it to whoever calls.',
    })
  }
  const [, bearer = ''] = /^Bearer (.+)$/i.exec(request.headers.get('authorization') ?? '') ?? []
  const isToken = isSame(searchParams.get('token') ?? '', secret)
  const isBearer = isSame(bearer, secret)
  if (isToken || isBearer) return
  throw new TidemarkError({
    code: 'TIDEMARK_HTTP_UNAUTHORIZED',
    what: 'The request does not bear the secret.',
    mend: 'Send CRON_SECRET as ?token= or as Authorization: Bearer.',
  })
}

/** Takes as long for texts that begin alike as for others; digests have one length. */
const isSame = (given: string, secret: string): boolean =>
  timingSafeEqual(digestOf(given), digestOf(secret))

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest()

const statuses: Partial<Record<ErrorCode, number>> = {
  TIDEMARK_HTTP_UNAUTHORIZED: 401,
  TIDEMARK_CACHE_UNKNOWN: 404,
  TIDEMARK_USAGE: 400,
  TIDEMARK_DATABASE_UNREACHABLE: 503,
  TIDEMARK_STANDBY: 503,
}

/** Who asks has no business with the rest. */
const unforeseen: Fault = {
  code: 'TIDEMARK_HTTP_FAILED',
  what: 'The cache could not be cleaned.',
  mend: 'The log of the server tells why.',
}

const notGet = { success: false, code: 'TIDEMARK_USAGE', message: 'Ask with GET.' }

function answered(
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json(body, { status, headers: { 'cache-control': 'no-store', ...headers } })
}
