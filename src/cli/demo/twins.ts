import { createHash } from 'node:crypto'
import { must } from '../../base/assert.ts'
import { pause } from '../../base/clock.ts'
import { identifier, qualified } from '../../engine/demo-support.ts'
import type { Database, Session } from '../../engine/demo-support.ts'
import type { RelationName } from '../../model/ids.ts'
import type { CommitLedger } from './commit-ledger.ts'
import type { TwinLine } from './demo-model.ts'

/** The query of a view, to be kept a second time. */
export interface TwinDeclaration {
  readonly name: RelationName
  readonly sql: string
  /** Columns of the unique index that REFRESH CONCURRENTLY needs. */
  readonly key: readonly string[]
  /** Tables that it reads, by their bare names. */
  readonly sources: readonly string[]
}

interface Twin {
  readonly declaration: TwinDeclaration
  readonly relation: string
  /** The instant of the snapshot that it shows; null before it is filled. */
  snapshotAt: number | null
  spentMs: number
  refreshing: boolean
}

const schema = 'old_way'

/**
 * The old way, for comparison: each view once more as a plain materialized view, all of them refreshed
 * concurrently at a fixed interval, one after the other, whether anything changed or not.
 */
export class Twins {
  readonly #twins: readonly Twin[]

  constructor(declarations: readonly TwinDeclaration[]) {
    this.#twins = declarations.map((declaration) => ({
      declaration,
      relation: qualified(schema, bareName(declaration.name)),
      snapshotAt: null,
      spentMs: 0,
      refreshing: false,
    }))
  }

  /** Makes those that are missing or of another query, filled, each with its unique index. */
  async create(database: Database): Promise<void> {
    await database.query(`create schema if not exists ${identifier(schema)}`)
    for (const { declaration, relation } of this.#twins) {
      const digest = createHash('sha256').update(declaration.sql).digest('hex')
      const [there] = await database.query<{ digest: string | null }>(
        `select obj_description(to_regclass($1), 'pg_class') as digest`,
        [relation],
      )
      if (there?.digest === digest) continue
      await database.transaction(async (transaction) => {
        await transaction.query(`drop materialized view if exists ${relation}`)
        await transaction.query(`create materialized view ${relation} as ${declaration.sql}`)
        const columns = declaration.key.map(identifier).join(', ')
        await transaction.query(`create unique index on ${relation} (${columns})`)
        await transaction.query(`comment on materialized view ${relation} is '${digest}'`)
      })
    }
  }

  /** Refreshes all of them, then again every `everyMs`, until the signal fires. */
  async run(session: Session, everyMs: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const began = Date.now()
      for (const twin of this.#twins) {
        if (signal.aborted) return
        await refresh(session, twin, signal)
      }
      await pause(Math.max(0, began + everyMs - Date.now()), signal)
      if (signal.aborted) return
    }
  }

  /** What to show of the twin of a view. */
  lineOf(name: RelationName, ledger: CommitLedger, now: number): TwinLine {
    const twin = must(
      this.#twins.find(({ declaration }) => declaration.name === name),
      'every view has a twin',
    )
    const { snapshotAt, spentMs, refreshing } = twin
    if (snapshotAt === null) return { ageMs: null, spentMs, refreshing }
    const oldest = ledger.firstAfter(snapshotAt, twin.declaration.sources)
    return { ageMs: oldest === null ? 0 : now - oldest, spentMs, refreshing }
  }
}

/** A relation as people call it: without schema public. */
export const bareName = (name: RelationName): string => name.replace(/^public\./, '')

async function refresh(session: Session, twin: Twin, signal: AbortSignal): Promise<void> {
  const began = performance.now()
  twin.refreshing = true
  try {
    twin.snapshotAt = await session.transaction(
      async (transaction) => {
        // The first query takes the snapshot that the refresh reads; the clock is read after it, in
        // favour of the twin.
        await transaction.query('select pg_current_snapshot()')
        const snapshotAt = Date.now()
        await transaction.query(`refresh materialized view concurrently ${twin.relation}`)
        return snapshotAt
      },
      { isolation: 'repeatable read' },
    )
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    twin.refreshing = false
    twin.spentMs += performance.now() - began
  }
}
