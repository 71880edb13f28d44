import type { EntryKey, Position, Tag, Verb, Xids } from '../model/invalidation.ts'
import { taggedSource } from '../model/journal.ts'
import type { Standing } from './ledger.ts'
import type { MemoryEntry } from './memory-tier.ts'
import { longAgo } from './memory-tier.ts'
import type { SharedFind } from './shared-tier.ts'
import type { InvalidatedBy, TracedInvalidation, Trail } from './trail.ts'

/**
 * How an entry stands. `fresh`: it is served. `stale`: its time is over, or it was expired; it is served while it is renewed,
 * if its kind allows. `removed`: it is there, and is not served. `absent`: no tier has it.
 */
export type ExplainedState = 'fresh' | 'stale' | 'removed' | 'absent'

/** An invalidation that concerned an entry. */
export interface ExplainedInvalidation {
  readonly verb: Verb
  /** When this process heard of it, as ISO 8601. */
  readonly heardAt: string
  /** `here`: code of this process asked for it. `journal`: another process, or a change in the database. */
  readonly by: 'here' | 'journal'
  /** The tag of the entry that was invalidated; null: the key itself, or everything at once. */
  readonly tag: Tag | null
  /** The table or view that changed, where that was the cause. */
  readonly source: string | null
  /** Which of its rows, by their values; null where that cannot be told. */
  readonly rows: Readonly<Record<string, string | null>> | null
  readonly position: Position | null
  readonly xids: Xids | null
}

/** What made an entry what it is, as far as this process knows. */
export interface Explanation {
  readonly key: EntryKey
  readonly state: ExplainedState
  /** Where it is; null when it is absent. */
  readonly tier: 'memory' | 'shared' | null
  /** False: what was invalidated meanwhile cannot be found out now, so nothing is served without a load. */
  readonly current: boolean
  /** When its load ended (in the shared tier: began), as ISO 8601. */
  readonly loadedAt: string | null
  /** The process that loaded it. */
  readonly node: string | null
  readonly tidemark: string | null
  /** Milliseconds that are left of its time; not above 0 when that is over. */
  readonly freshMs: number | null
  readonly tags: readonly Tag[]
  /** Since when it is not served as fresh, as ISO 8601; null while it is, or when that is forgotten. */
  readonly invalidSince: string | null
  /** What made it invalid; of a fresh or absent entry the last that concerned it. Null: none that is remembered. */
  readonly invalidation: ExplainedInvalidation | null
}

/** What explanations are made with. */
export interface ExplainParts {
  readonly key: EntryKey
  readonly clock: Date
  readonly trail: Trail
  readonly current: boolean
}

/** Explains an entry in memory. */
export function explainMemory(
  entry: MemoryEntry,
  parts: ExplainParts & { readonly standing: Standing; readonly now: number },
): Explanation {
  const { standing, now, clock, trail, key } = parts
  const tags = entry.tags.map(({ tag }) => tag)
  const by = { key, tags: new Set(tags) }
  const left = entry.freshUntil - now
  const expired = entry.freshUntil === longAgo
  const outdated = standing !== 'valid' || expired
  const traced = outdated ? trail.firstAfter(entry.at, by) : trail.last(by)
  const ranOut = left <= 0 && !expired ? new Date(clock.getTime() + left) : null
  return {
    ...outlineOf(parts),
    state: standing === 'removed' ? 'removed' : outdated || left <= 0 ? 'stale' : 'fresh',
    tier: 'memory',
    loadedAt: new Date(clock.getTime() - (now - entry.loadedAt)).toISOString(),
    node: entry.node,
    tidemark: entry.tidemark,
    freshMs: Math.max(0, left),
    tags,
    invalidSince: ((outdated ? traced?.heardAt : ranOut) ?? null)?.toISOString() ?? null,
    invalidation: explained(traced, trail),
  }
}

/** Explains an entry that only the shared tier has. */
export function explainShared(entry: SharedFind, parts: ExplainParts): Explanation {
  const { clock, trail, key } = parts
  const { ageMs, ttlMs, fresh, node, tidemark, tags } = entry
  const left = fresh ? ttlMs - ageMs : 0
  const traced = trail.last({ key, tags: new Set(tags) })
  const ranOut = fresh ? new Date(clock.getTime() + left) : traced?.heardAt
  return {
    ...outlineOf(parts),
    state: left > 0 ? 'fresh' : 'stale',
    tier: 'shared',
    loadedAt: new Date(clock.getTime() - ageMs).toISOString(),
    node,
    tidemark,
    freshMs: Math.max(0, left),
    tags,
    invalidSince: left > 0 ? null : (ranOut?.toISOString() ?? null),
    invalidation: explained(traced, trail),
  }
}

/** Explains why there is nothing. */
export function explainAbsent(tags: readonly Tag[], parts: ExplainParts): Explanation {
  const by: InvalidatedBy = { key: parts.key, tags: new Set(tags) }
  return {
    ...outlineOf(parts),
    tags,
    invalidation: explained(parts.trail.last(by), parts.trail),
  }
}

const outlineOf = ({ key, current }: ExplainParts) =>
  ({
    key,
    state: 'absent',
    tier: null,
    current,
    loadedAt: null,
    node: null,
    tidemark: null,
    freshMs: null,
    invalidSince: null,
  }) as const

function explained(
  traced: TracedInvalidation | undefined,
  trail: Trail,
): ExplainedInvalidation | null {
  if (traced === undefined) return null
  const { verb, heardAt, by, of } = traced
  const tag = of.kind === 'tag' ? of.tag : null
  const about = tag === null ? null : taggedSource(tag)
  return {
    verb,
    heardAt: heardAt.toISOString(),
    by,
    tag,
    source: about?.source ?? null,
    rows: about?.rows ?? null,
    ...placeOf(traced, trail),
  }
}

function placeOf(
  traced: TracedInvalidation,
  trail: Trail,
): Pick<ExplainedInvalidation, 'position' | 'xids'> {
  const { position, xids } = trail.told(traced)
  return { position, xids }
}
