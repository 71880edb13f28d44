import type { EntryKey, Tag } from '../model/invalidation.ts'
import type { CacheEvent, EntryOwner, NotStored } from './cache-event.ts'

/** What was counted of some entries since the process began. */
export interface CacheStats {
  /** Answers that were true within the bound and needed no load. */
  readonly hits: number
  /** Answers for which something was loaded. */
  readonly misses: number
  readonly stale: number
  readonly fallbacks: number
  readonly loads: number
  readonly loadFailures: number
  /** Loads that were not stored because something invalidated them meanwhile, or another one of the same key came first. */
  readonly loadsRefused: number
  /** Hits and stale answers as a share of all; null before the first answer. */
  readonly hitRate: number | null
  /** Milliseconds within which half of the loads, and 99 of 100, came; null before the first. */
  readonly loadP50Ms: number | null
  readonly loadP99Ms: number | null
  /** When an entry was last stored, as ISO 8601; null if none was. */
  readonly lastUpdated: string | null
  /** What was invalidated that has such entries: keys, tags and patterns, each time; of a tenant what names it. */
  readonly invalidations: number
}

/** What became of the warmings of a kind. */
export interface WarmingStats {
  readonly running: boolean
  readonly ended: number
  /** Entries that they loaded, and that they could not load. */
  readonly loaded: number
  readonly failed: number
  /** Warmings that ended before every entry had its turn. */
  readonly incomplete: number
  /** When the last one ended, as ISO 8601. */
  readonly lastEnded: string | null
}

/** What was counted of a kind. */
export interface KindStats extends CacheStats {
  readonly tenants: Readonly<Record<string, CacheStats>>
  readonly warming: WarmingStats
}

/** What was counted in a cache: all in all, and by kind, and by tenant within it. */
export interface CacheStatistics extends CacheStats {
  readonly entries: number
  readonly kinds: Readonly<Record<string, KindStats>>
}

/** Tenants that are counted apart; those that come later are counted with their kind only. */
const tenantsMax = 1_000

/** Load times fall into classes a quarter apart, from 0.1 ms to about a day. */
const classGrowth = 1.25
const classFirstMs = 0.1
const classesMax = 96

/** What a load or its kind does not keep, or cannot be dated, was refused by nobody. */
const isRefusal = (why: NotStored | null): boolean => why === 'invalidated' || why === 'overtaken'

class Counter {
  readonly #count = { hit: 0, miss: 0, stale: 0, fallback: 0 }
  readonly #classes = new Uint32Array(classesMax)
  #loads = 0
  #failures = 0
  #refused = 0
  #invalidations = 0
  #updatedAt: Date | null = null

  noteInvalidations(count: number): void {
    this.#invalidations += count
  }

  note(event: CacheEvent, now: () => Date): void {
    if (event.event === 'answered') this.#count[event.state] += 1
    else if (event.event === 'load_failed') this.#failures += 1
    else if (event.event === 'loaded') {
      this.#loads += 1
      this.#classes[classOf(event.ms)] = (this.#classes[classOf(event.ms)] ?? 0) + 1
      if (event.stored) this.#updatedAt = now()
      else if (isRefusal(event.notStored)) this.#refused += 1
    }
  }

  read(): CacheStats {
    const { hit, miss, stale, fallback } = this.#count
    const answers = hit + miss + stale + fallback
    return {
      hits: hit,
      misses: miss,
      stale,
      fallbacks: fallback,
      loads: this.#loads,
      loadFailures: this.#failures,
      loadsRefused: this.#refused,
      hitRate: answers === 0 ? null : (hit + stale) / answers,
      loadP50Ms: this.#quantile(0.5),
      loadP99Ms: this.#quantile(0.99),
      lastUpdated: this.#updatedAt?.toISOString() ?? null,
      invalidations: this.#invalidations,
    }
  }

  #quantile(share: number): number | null {
    let left = Math.ceil(this.#loads * share)
    if (left === 0) return null
    const at = this.#classes.findIndex((count) => (left -= count) <= 0)
    return Math.round(classFirstMs * classGrowth ** at * 100) / 100
  }
}

class WarmingCounter {
  #running = 0
  #ended = 0
  #loaded = 0
  #failed = 0
  #incomplete = 0
  #endedAt: Date | null = null

  note(event: CacheEvent & { readonly event: 'warming' }, now: () => Date): void {
    if (event.progress === 'began') this.#running += 1
    if (event.progress !== 'ended') return
    this.#running -= 1
    this.#ended += 1
    this.#loaded += event.loaded
    this.#failed += event.failed
    if (!event.complete) this.#incomplete += 1
    this.#endedAt = now()
  }

  read(): WarmingStats {
    return {
      running: this.#running > 0,
      ended: this.#ended,
      loaded: this.#loaded,
      failed: this.#failed,
      incomplete: this.#incomplete,
      lastEnded: this.#endedAt?.toISOString() ?? null,
    }
  }
}

/** What is counted of a kind. */
interface KindCounters {
  readonly all: Counter
  readonly tenants: Map<string, Counter>
  readonly warming: WarmingCounter
}

type Invalidated = CacheEvent & { readonly event: 'invalidated' }

/** What was invalidated by name. */
export type InvalidatedNames = Pick<Invalidated, 'keys' | 'tags'>

/** So many names are noted before it is told whose entries they are, unless somebody reads. */
const uncountedMax = 1_000

const classOf = (ms: number): number =>
  Math.min(
    classesMax - 1,
    Math.max(0, Math.ceil(Math.log(ms / classFirstMs) / Math.log(classGrowth))),
  )

/** Counts what happens in a cache. Times are told to a quarter of themselves. */
export class Statistics {
  readonly #now: () => Date
  readonly #all = new Counter()
  readonly #kinds = new Map<string, KindCounters>()
  readonly #concerned: (named: InvalidatedNames) => readonly EntryOwner[]
  /** How often each name was invalidated since it was last told whose entries they are, which takes longer than to invalidate. */
  readonly #uncounted = { keys: new Map<EntryKey, number>(), tags: new Map<Tag, number>() }
  #tenants = 0

  /** `concerned` says whose entries an invalidation names, once for each of its names. */
  constructor(now: () => Date, concerned: (named: InvalidatedNames) => readonly EntryOwner[]) {
    this.#now = now
    this.#concerned = concerned
  }

  /** Counts an event. */
  note(event: CacheEvent): void {
    if (event.event === 'invalidated') this.#noteInvalidated(event)
    if (!('kind' in event)) return
    if (event.event === 'hit_rate' || event.event === 'depends_on_all') return
    if (event.event === 'warming') {
      this.#ofKind(event.kind).warming.note(event, this.#now)
      return
    }
    const ofKind = this.#ofKind(event.kind)
    this.#all.note(event, this.#now)
    ofKind.all.note(event, this.#now)
    if (event.tenant !== null) this.#tenantOf(ofKind, event.tenant)?.note(event, this.#now)
  }

  /** What was counted so far. */
  read(entries: number): CacheStatistics {
    this.#countInvalidated()
    const kinds = [...this.#kinds].map(([kind, { all, tenants, warming }]) => {
      const each = [...tenants].map(([tenant, counter]) => [tenant, counter.read()] as const)
      const parts = { tenants: Object.fromEntries(each), warming: warming.read() }
      return [kind, { ...all.read(), ...parts }] as const
    })
    return {
      ...this.#all.read(),
      entries,
      kinds: Object.fromEntries(kinds),
    }
  }

  #noteInvalidated({ keys, tags }: Invalidated): void {
    this.#all.noteInvalidations(keys.length + tags.length)
    const { keys: ofKeys, tags: ofTags } = this.#uncounted
    for (const key of keys) ofKeys.set(key, (ofKeys.get(key) ?? 0) + 1)
    for (const tag of tags) ofTags.set(tag, (ofTags.get(tag) ?? 0) + 1)
    if (ofKeys.size + ofTags.size >= uncountedMax) this.#countInvalidated()
  }

  #countInvalidated(): void {
    const { keys, tags } = this.#uncounted
    for (const [key, times] of keys) this.#addInvalidated({ keys: [key], tags: [] }, times)
    for (const [tag, times] of tags) this.#addInvalidated({ keys: [], tags: [tag] }, times)
    keys.clear()
    tags.clear()
  }

  #addInvalidated(named: InvalidatedNames, times: number): void {
    for (const { kind, tenant } of this.#concerned(named)) {
      const { all, tenants } = this.#ofKind(kind)
      all.noteInvalidations(times)
      if (tenant !== null) tenants.get(tenant)?.noteInvalidations(times)
    }
  }

  #ofKind(kind: string): KindCounters {
    const known = this.#kinds.get(kind)
    if (known !== undefined) return known
    const begun = { all: new Counter(), tenants: new Map(), warming: new WarmingCounter() }
    this.#kinds.set(kind, begun)
    return begun
  }

  /** Undefined: there are too many to count each. */
  #tenantOf({ tenants }: KindCounters, tenant: string): Counter | undefined {
    let counter = tenants.get(tenant)
    if (counter === undefined && this.#tenants < tenantsMax) {
      counter = new Counter()
      tenants.set(tenant, counter)
      this.#tenants += 1
    }
    return counter
  }
}
