import { must } from '../base/assert.ts'
import type { EntryKey, Position, Tag } from '../model/invalidation.ts'
import type { Database } from '../postgres/connection.ts'
import { failureText, readFailure } from './load-failure.ts'
import type { SharedAnswer, SharedStore } from './shared-store.ts'

/** What `tidemark.shared_store` answers. */
interface StoreRow {
  readonly epoch: string
  readonly position: Position
  readonly leased: boolean
  readonly stored: boolean
  readonly standing: 'valid' | 'expired' | 'removed' | null
  readonly age_ms: number | null
  readonly payload: Uint8Array | null
  readonly tags: readonly Tag[] | null
  readonly failure: string | null
  readonly failure_ms: number | null
}

/** What one operation is asked with. */
interface Operation {
  readonly what: 'read' | 'fill' | 'fail' | 'release'
  readonly key: EntryKey
  readonly holder: string
  readonly tags?: readonly Tag[]
  readonly payload?: Uint8Array
  readonly ms?: number
  readonly renew?: boolean
  /** How long the caller has waited, or a load took that failed. */
  readonly sinceMs?: number
  readonly failure?: string
}

/**
 * The shared tier in an unlogged table of the database whose journal nodes follow. Each operation is one call of a function. The
 * journal is at hand there: it is asked itself whether an entry stands, so the store is never behind it.
 */
export function postgresStore(database: Database, namespace: string): SharedStore {
  const use = async ({ what, key, holder, ...of }: Operation): Promise<StoreRow> => {
    const { tags = [], payload = null, ms = 0, renew = false, sinceMs = 0, failure = null } = of
    const [row] = await database.query<StoreRow>(
      `select epoch, position, leased, stored, standing, age_ms, payload, tags, failure, failure_ms
       from tidemark.shared_store($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
      [namespace, what, key, holder, tags, payload, ms, renew, sinceMs, failure],
    )
    return must(row, 'the store answers one row')
  }
  return {
    glances: null,
    async read({ key, tags, holder, leaseMs, renew, waitedMs }) {
      // Only a failure is compared by the tags of the question: an entry bears its own.
      const waited = waitedMs > 0 ? { sinceMs: waitedMs, tags } : {}
      return answerOf(await use({ what: 'read', key, holder, ms: leaseMs, renew, ...waited }))
    },
    async fill({ key, holder, tags, payload, keepMs }) {
      return (await use({ what: 'fill', key, holder, tags, payload, ms: keepMs })).stored
    },
    async fail({ key, holder, failure, loadMs, keepMs }) {
      const told = { sinceMs: loadMs, failure: failureText(failure) }
      await use({ what: 'fail', key, holder, ms: keepMs, ...told })
    },
    async release(key, holder) {
      await use({ what: 'release', key, holder })
    },
    follow: ({ to }) => Promise.resolve(to),
    close: () => database.close(),
  }
}

function answerOf(row: StoreRow): SharedAnswer {
  const { epoch, position, leased, standing, age_ms, payload, tags } = row
  const isThere = payload !== null && (standing === 'valid' || standing === 'expired')
  const entry = isThere
    ? { payload, tags: tags ?? [], ageMs: age_ms ?? 0, standing, leasedAt: null }
    : null
  const failure =
    row.failure === null ? null : { ...readFailure(row.failure), ageMs: row.failure_ms ?? 0 }
  return { epoch, position, leased, entry, failure }
}
