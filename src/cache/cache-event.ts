import type { AnswerState, AnswerTier } from '../model/answer.ts'
import type { EntryKey, Tag, Verb } from '../model/invalidation.ts'

/** Whose entry it is: what is counted apart. */
export interface EntryOwner {
  /** The kind, as it was defined: `dashboard:kpis`. */
  readonly kind: string
  /** The tenant as it stands in the key, or null for a kind without tenants. */
  readonly tenant: string | null
}

/**
 * Why a value that was loaded is given to its callers and to nobody else. `invalidated`: while it was loaded. `overtaken`: another load
 * of it has given more, or may have. `skipped`: its load or its kind does not keep it. `undated`: the journal does not answer,
 * so it cannot be told what would make it untrue.
 */
export type NotStored = 'invalidated' | 'overtaken' | 'skipped' | 'undated'

/** What made a warming begin. */
export type WarmingCause = 'start' | 'schedule' | 'invalidation' | 'asked'

/** What happens in a cache, for logs, metrics and tests. */
export type CacheEvent =
  | (EntryOwner & {
      readonly event: 'answered'
      readonly key: EntryKey
      readonly state: AnswerState
      readonly tier: AnswerTier
    })
  | (EntryOwner & {
      readonly event: 'loaded'
      readonly key: EntryKey
      readonly ms: number
      readonly stored: boolean
      /** Null: it was stored. */
      readonly notStored: NotStored | null
      readonly ttlMs: number
    })
  /** Said once of a kind: the part of its value would come back from the shared store as something else, so it stays in this process. */
  | (EntryOwner & { readonly event: 'not_shared'; readonly key: EntryKey; readonly part: string })
  | (EntryOwner & {
      readonly event: 'load_failed'
      readonly key: EntryKey
      readonly ms: number
      readonly error: unknown
    })
  /** The share of answers of a kind that needed no load fell below its bound, or is back above it. */
  | (EntryOwner & {
      readonly event: 'hit_rate'
      readonly low: boolean
      readonly rate: number
      readonly min: number
      readonly answers: number
    })
  | (EntryOwner & {
      readonly event: 'warming'
      readonly why: WarmingCause
      /** `skipped`: another node does it, or the shared store does not answer. */
      readonly progress: 'began' | 'going' | 'ended' | 'skipped'
      readonly loaded: number
      readonly ready: number
      readonly failed: number
      /** False: it ended before every entry had its turn. */
      readonly complete: boolean
      readonly ms: number
      /** The last failure. */
      readonly error?: unknown
    })
  /** Said of a kind at start: any change of the table or view invalidates all its entries. */
  | (EntryOwner & { readonly event: 'depends_on_all'; readonly source: string })
  /** Keys of another program's cache were deleted; `glob`: all that match it. */
  | {
      readonly event: 'foreign_deleted'
      readonly keys: readonly string[]
      readonly glob: string | null
    }
  /** Said after five seconds, and again: another node is at work on the keys of `of`, or stands still there. */
  | { readonly event: 'foreign_waits'; readonly of: string; readonly ms: number }
  | {
      readonly event: 'invalidated'
      readonly verb: Verb
      readonly keys: readonly EntryKey[]
      readonly tags: readonly Tag[]
      /** `here`: asked for by this process. `journal`: told by the journal. */
      readonly by: 'here' | 'journal'
    }
  /** Other nodes could not be told, or what to invalidate could not be told exactly and more was; the call went on. */
  | { readonly event: 'invalidation_failed'; readonly error: unknown }
  /** What was invalidated since the last look cannot be told: every entry counts as removed. */
  | { readonly event: 'flushed' }
  | {
      readonly event: 'unreachable'
      readonly what: 'journal' | 'shared' | 'foreign'
      readonly error?: unknown
    }

/** Hears of what happens. What it throws is dropped: a log must not fail a read. */
export type CacheListener = (event: CacheEvent) => void
