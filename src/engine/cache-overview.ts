import { createClient } from 'redis'
import { redisLink } from '../cache/redis-link.ts'
import type { StoredKey } from '../cache/redis-keys.ts'
import { storedKeys } from '../cache/redis-keys.ts'
import { TidemarkError } from '../model/errors.ts'
import { beginningTag, everyEntry } from '../invalidate/tags.ts'
import type { Tag, Verb } from '../model/invalidation.ts'
import type { Queryable } from '../postgres/connection.ts'

export type { StoredKey } from '../cache/redis-keys.ts'

/** A namespace of caches, as its journal stands. */
export interface JournalOverview {
  readonly name: string
  readonly dependsOn: readonly string[]
  readonly roles: readonly string[]
  readonly position: number
  /** Invalidations that are kept for nodes that ask late. */
  readonly kept: number
  /** Milliseconds since somebody last gave positions: what was committed since has none. */
  readonly behindMs: number
  /** Sessions that listen for news. */
  readonly listeners: number
}

/** A table that is a cache. */
export interface CacheTableOverview {
  readonly name: string
  readonly views: readonly string[]
  readonly sources: readonly string[]
  readonly rows: number | null
  readonly bytes: number
  readonly ttlMs: number | null
}

/** The caches and cache tables of a database. */
export async function readCaches(database: Queryable): Promise<{
  readonly caches: readonly JournalOverview[]
  readonly tables: readonly CacheTableOverview[]
}> {
  const caches = await database.query<JournalOverview>(`
    select c.name, k.depends_on as "dependsOn", c.roles, k.position::float8 as position, k.kept::float8 as kept,
           greatest(0, extract(epoch from clock_timestamp() - k.sequenced_at) * 1000)::float8 as "behindMs",
           (select count(*)::int from pg_stat_activity a
             where a.datname = current_database() and a.query ilike 'listen %'
               and trim(both '"' from split_part(a.query, ' ', 2)) = 'tidemark_' || c.name) as listeners
      from tidemark.cache c join tidemark.caches k using (name) order by c.name`)
  const tables = await database.query<CacheTableOverview>(`
    select t.name, t.views, t.sources, nullif(r.reltuples, -1)::float8 as rows,
           pg_total_relation_size(r.oid)::float8 as bytes, t.ttl_ms::float8 as "ttlMs"
      from tidemark.cache_table t left join pg_class r on r.oid = to_regclass(t.relation) order by t.name`)
  return { caches, tables }
}

/** Tags of patterns as people write them. @throws TidemarkError for one that is none. */
export function tagsOfPatterns(patterns: readonly string[]): readonly Tag[] {
  return patterns.map((pattern) => {
    const [, words] = /^([^*]+):\*$/.exec(pattern) ?? []
    if (pattern === '*') return everyEntry
    if (words !== undefined) return beginningTag(words)
    throw new TidemarkError({
      code: 'TIDEMARK_USAGE',
      what: `'${pattern}' is not a pattern`,
      mend: "Write '*', or words that end in ':*', as in 'quotes:tenant_7:*'.",
    })
  })
}

/** Asks that entries of a namespace be forgotten, or only be served while they are renewed. */
export async function invalidateByHand(
  database: Queryable,
  of: { readonly name: string; readonly tags: readonly Tag[]; readonly verb: Verb },
): Promise<void> {
  await database.query('select tidemark.invalidate($1, $2, $3)', [of.name, of.tags, of.verb])
}

const connectMs = 3_000

/** The entries that a namespace has in a Redis. @throws TidemarkError when it does not answer, or the URL is none. */
export async function readKeys(
  url: string,
  of: { readonly namespace: string; readonly glob: string; readonly limit: number },
): Promise<StoredKey[]> {
  if (!/^rediss?:\/\/.+/.test(url) || !URL.canParse(url)) {
    throw new TidemarkError({
      code: 'TIDEMARK_USAGE',
      what: 'The URL of the Redis is not of the form redis://user:password@host:port/number',
      mend: 'Write signs such as # or @ in a password as %23 or %40.',
    })
  }
  const socket = { reconnectStrategy: false, connectTimeout: connectMs } as const
  const client = createClient({ url, socket })
  const link = redisLink(client, true)
  try {
    return await storedKeys(link, of)
  } catch (cause) {
    throw new TidemarkError({
      code: 'TIDEMARK_CACHE_UNREACHABLE',
      what: `Redis at ${new URL(url).host} does not answer`,
      mend: 'See whether it runs, and whether the user and password of the URL are right.',
      cause,
    })
  } finally {
    await link.close()
  }
}
