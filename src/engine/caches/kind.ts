import { createHash } from 'node:crypto'
import type { Cache } from '../../cache/cache.ts'
import type { Explanation } from '../../cache/explanation.ts'
import type { EntryAddress, EntryRequest, Loaded } from '../../cache/entry-request.ts'
import type { DependentKind } from '../../invalidate/concerned.ts'
import { keyMaker } from '../../invalidate/entry-key.ts'
import { remembered } from '../../invalidate/recent-keys.ts'
import type { Dependencies } from '../../invalidate/dependency.ts'
import { dependencies } from '../../invalidate/dependency.ts'
import { tagsOfKey } from '../../invalidate/pattern.ts'
import { namedTag, tenantIn } from '../../invalidate/tags.ts'
import type { Answer } from '../../model/answer.ts'
import type { EntryKey, Tag } from '../../model/invalidation.ts'
import { parseToken } from '../../model/write-token.ts'
import type { Cached, KindOptions } from './cache-options.ts'
import { isCached } from './cache-options.ts'
import { durationMs, termsOf } from './settings.ts'
import type { WarmKind } from './warmer.ts'
import { warmKind } from './warm-kind.ts'

/** The load of a kind: reads from the source what its entries hold. */
export type Load<Args extends readonly unknown[], Value> = (
  ...args: Args
) => Promise<Value | Cached<Value>> | Value | Cached<Value>

/** One entry, its key made once: for reads that must cost nothing but the reading. */
export interface PreparedEntry<Value> {
  readonly key: EntryKey
  /** The answer from memory if that is known to be true now; else undefined, and {@link get} finds it. */
  readonly hit: () => Answer<Value> | undefined
  readonly get: () => Promise<Answer<Value>>
}

/** The entries of one load, by its arguments. */
export interface Kind<Args extends readonly unknown[], Value> {
  readonly name: string
  /** The value, from wherever it is known to be true, else loaded. */
  readonly get: (...args: Args) => Promise<Answer<Value>>
  /** Many at once; what fails, fails all. */
  readonly getMany: (argsOfEach: readonly Args[]) => Promise<Answer<Value>[]>
  /**
   * Reads of entries that have the write of a token, which `select tidemark.token()` gives in the transaction of the write. They
   * wait until this node has heard of it, within `hardTimeout`. @throws TidemarkError TIDEMARK_CACHE_TIMEOUT
   */
  readonly after: (token: string) => Pick<Kind<Args, Value>, 'get' | 'getMany'>
  /** The entry of these arguments, its key made once. */
  readonly prepare: (...args: Args) => PreparedEntry<Value>
  readonly key: (...args: Args) => EntryKey
  /** What made the entry what it is. */
  readonly explain: (...args: Args) => Promise<Explanation>
  /** Has the entry loaded anew, whatever is there. */
  readonly renew: (...args: Args) => Promise<void>
  /**
   * Puts what `make` gives in the place of the entry, as if its load had brought it: nobody is given what was there before, and who
   * asks meanwhile waits for it. Resolves to whether it is kept; false: something has invalidated it since `make` was called, or a
   * load came first. What `make` gives has to be read, or known, when it is called: what was read before may lack what was
   * invalidated since.
   */
  set(args: Args, make: () => ReturnType<Load<Args, Value>>): Promise<boolean>
  /** The entry may not be served again; resolves when no node can. */
  readonly remove: (...args: Args) => Promise<void>
  /** The entry may be served only while it is renewed. */
  readonly expire: (...args: Args) => Promise<void>
}

/** What a kind gets from its cache. */
export interface KindSurroundings {
  readonly namespace: string
  readonly tenantForm: string
  readonly ttlMs: number
}

/** A kind with what its cache has to know of it. */
export interface DefinedKind<Args extends readonly unknown[], Value> {
  readonly kind: Kind<Args, Value>
  /** The kind as invalidations name it. */
  readonly named: DependentKind
  /** Null: nothing is loaded before somebody asks. */
  readonly warm: WarmKind | null
}

const digestOf = (text: string): string => longDigestOf(text).slice(0, 8)

/** Of arguments: two that have one digest would have one entry. */
const longDigestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Defines a kind of entries over a cache. */
export function defineKind<Args extends readonly unknown[], Value>(
  cache: Cache,
  { namespace, ttlMs, tenantForm }: KindSurroundings,
  { name, load, options }: { name: string; load: Load<Args, Value>; options: KindOptions<Args> },
): DefinedKind<Args, Value> {
  const depends = dependencies<Args>(options.dependsOn ?? [])
  const terms = termsOf(options, { ttlMs, place: `define('${name}')` })
  const tenantIsFirst = options.tenant === undefined && depends.byFirst.size > 0
  const tenantOf = tenantIsFirst ? firstOf : options.tenant === false ? undefined : options.tenant
  const digest = digestOf(options.version ?? `${name} ${load.toString()}`)
  const { tags: named = [] } = options
  const tagsOf = entryTags(name, named, depends)
  const keyOfParts = keyMaker({ prefix: namespace, kind: name, digest }, longDigestOf)
  const addressFor = remembered((id, params): EntryAddress => {
    const tenant = id === undefined ? null : tenantIn(tenantForm, id)
    return { kind: name, tenant, key: keyOfParts(tenant, params) }
  })
  const addressOf = (args: Args): EntryAddress =>
    addressFor(
      tenantOf?.(...args),
      options.params?.(...args) ?? (tenantIsFirst ? args.slice(1) : args),
    )
  const requestOf = ({ key, tenant }: EntryAddress, args: Args, of = terms): EntryRequest => ({
    key,
    kind: name,
    tenant,
    terms: of,
    tags: tagsOf(tenant, args),
    load: async () => loadedOf(await load(...args), options),
    sharesFailures: options.shareFailures ?? true,
  })
  const keyOf = (args: Args): EntryKey => addressOf(args).key
  const warm = warmKind(name, options.warm, (args) => requestOf(addressOf(args), args))
  const read = (
    args: Args,
    { address = addressOf(args), of = terms } = {},
  ): Promise<Answer<Value>> => {
    warm?.noteRead(address.key, args)
    const request = (): EntryRequest => requestOf(address, args, of)
    // The values of a kind's entries are what its load returned.
    return cache.read(address, request) as Promise<Answer<Value>>
  }
  const kind: Kind<Args, Value> = {
    name,
    get: (...args) => asked(read, args),
    getMany: async (argsOfEach) => Promise.all(argsOfEach.map((args) => read(args))),
    after(text) {
      const token = parseToken(text)
      const get = async (...args: Args): Promise<Answer<Value>> => {
        const hardMs = await cache.reach(token, terms.hardMs)
        return read(args, { of: { ...terms, hardMs } })
      }
      return {
        get,
        getMany: async (argsOfEach) => Promise.all(argsOfEach.map((args) => get(...args))),
      }
    },
    prepare(...args) {
      const address = addressOf(args)
      return {
        key: address.key,
        hit() {
          warm?.noteRead(address.key, args)
          return cache.hit(address) as Answer<Value> | undefined
        },
        get: () => read(args, { address }),
      }
    },
    key: (...args) => keyOf(args),
    explain: async (...args) => cache.explain(keyOf(args), requestOf(addressOf(args), args).tags),
    renew: async (...args) => cache.renew(requestOf(addressOf(args), args)),
    async set(args, make) {
      const request = requestOf(addressOf(args), args)
      return cache.replace({ ...request, load: async () => loadedOf(await make(), options) })
    },
    remove: async (...args) => cache.invalidate({ verb: 'remove', keys: [keyOf(args)], tags: [] }),
    expire: async (...args) => cache.invalidate({ verb: 'expire', keys: [keyOf(args)], tags: [] }),
  }
  const owned = tenantOf === undefined ? null : tenantForm
  return { kind, named: namedKind(name, { named, depends, owned }), warm }
}

/** Rejects where `read` throws; an async function would make one more promise for each hit. */
function asked<Args, Value>(
  read: (args: Args) => Promise<Answer<Value>>,
  args: Args,
): Promise<Answer<Value>> {
  try {
    return read(args)
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)))
  }
}

/** A kind as invalidations name it; `owned` is how its keys write a tenant, or null. */
function namedKind<Args extends readonly unknown[]>(
  kind: string,
  {
    named,
    depends: { rules, byFirst },
    owned,
  }: {
    readonly named: NonNullable<KindOptions<Args>['tags']>
    readonly depends: Dependencies<Args>
    readonly owned: string | null
  },
): DependentKind {
  const tags = new Set(typeof named === 'function' ? [] : named.map(namedTag))
  return { kind, tenantForm: owned, tags, rules, byFirst }
}

/** The tags of an entry before it is loaded: where they are the same for all entries of a kind, one list. */
function entryTags<Args extends readonly unknown[]>(
  name: string,
  named: NonNullable<KindOptions<Args>['tags']>,
  depends: Dependencies<Args>,
): (tenant: string | null, args: Args) => readonly Tag[] {
  const namesOf = typeof named === 'function' ? named : () => named
  const tagsOf = (tenant: string | null, args: Args): readonly Tag[] => [
    ...tagsOfKey(name, tenant),
    ...namesOf(...args).map(namedTag),
    ...depends.tagsOf(args),
  ]
  if (typeof named === 'function' || depends.rules.length > 0) return tagsOf
  const ofAll = [...tagsOfKey(name, null), ...named.map(namedTag)]
  return (tenant, args) => (tenant === null ? ofAll : tagsOf(tenant, args))
}

/** Whose first argument is the tenant: it is a text or number, or the dependencies would have refused it. */
const firstOf = (...args: readonly unknown[]): string => String(args[0])

function loadedOf<Args extends readonly unknown[], Value>(
  result: Value | Cached<Value>,
  { negativeTtl }: KindOptions<Args>,
): Loaded {
  const value = isCached(result) ? result.value : result
  const { ttl, tags = [], skip = false } = isCached(result) ? result.options : {}
  const negative = value === null || value === undefined ? negativeTtl : undefined
  const own = ttl ?? negative
  const ttlMs = own === undefined ? null : durationMs(own, 'cached(…).ttl')
  return {
    value,
    tags: tags.map(namedTag),
    ttlMs,
    store: !skip && ttlMs !== 0,
  }
}
