import type { EmbeddedServer } from '../../engine/demo-support.ts'
import type { Database } from '../../engine/demo-support.ts'
import type { RelationName } from '../../model/ids.ts'
import type { CommitLedger } from './commit-ledger.ts'
import type { DemoModel, EventLine } from './demo-model.ts'
import { grouped } from '../render/figures.ts'
import type { EngineProcess } from './engine-process.ts'
import type { Shop } from './found-shop.ts'
import type { LoadProgress } from './load-shop.ts'
import type { ShopWriter } from './shop-writer.ts'
import type { Twins } from './twins.ts'
import { bareName } from './twins.ts'
import type { Watch } from './watch.ts'

/** A view of the shop, as declared. */
export interface ShopView {
  readonly name: RelationName
  readonly sql: string
  readonly key: readonly string[]
}

/** All that the demonstration consists of. */
export interface StageParts {
  readonly server: EmbeddedServer
  readonly serverVersion: string
  readonly database: Database
  readonly shop: Shop
  readonly views: readonly ShopView[]
  readonly watch: Watch
  readonly twins: Twins
  readonly writer: ShopWriter
  readonly ledger: CommitLedger
  readonly engine: EngineProcess
}

const eventsMax = 50
const rateSpanMs = 5_000

/** What has happened so far, and how it looks at an instant. */
export class DemoStage {
  readonly parts: StageParts
  readonly #startedAt = Date.now()
  readonly #events: EventLine[] = []
  readonly #loaded: { readonly at: number; readonly lines: number }[] = []
  #lines: number
  #loadEndedAt: number | null = null
  #why: readonly string[] = []

  constructor(parts: StageParts) {
    this.parts = parts
    this.#lines = parts.shop.linesLoaded
    if (this.#lines >= parts.shop.linesTotal) this.#loadEndedAt = this.#startedAt
  }

  /** Something to be told; kept among the last fifty. */
  tell(text: string): void {
    // One line each: an error's detail would break the screen.
    const [line = ''] = text.split('\n')
    if (this.#events.at(-1)?.text === line) return
    this.#events.push({ at: new Date(), text: line })
    if (this.#events.length > eventsMax) this.#events.shift()
  }

  /** The last thing that was told; null when nothing was. */
  get lastEvent(): EventLine | null {
    return this.#events.at(-1) ?? null
  }

  /** Shows these lines as the answer to `w`. */
  answer(lines: readonly string[]): void {
    this.#why = lines
  }

  /** A batch of the load was committed. */
  noteLoad(progress: LoadProgress): void {
    const now = Date.now()
    this.parts.ledger.note(['orders', 'order_lines', 'payments', 'refunds'], now)
    this.#lines = progress.lines
    this.#loaded.push({ at: now, lines: progress.lines })
    while ((this.#loaded[0]?.at ?? now) < now - rateSpanMs) this.#loaded.shift()
    if (progress.lines < this.parts.shop.linesTotal) return
    this.#loadEndedAt = now
    const seconds = ((now - this.#startedAt) / 1000).toFixed(0)
    this.tell(
      `the load is done: ${grouped(progress.lines)} order lines, ${seconds} s since the first view`,
    )
  }

  /** How all of it looks now. */
  model(): DemoModel {
    const { parts } = this
    const now = Date.now()
    const records = parts.views.flatMap(({ name }) => parts.watch.recordOf(name) ?? [])
    return {
      server: `PostgreSQL ${parts.serverVersion} on port ${parts.server.port}`,
      elapsedMs: now - this.#startedAt,
      views: records.map(({ name, freshness, spentMs }) => ({
        name: bareName(name),
        state: freshness.state,
        stalenessMs: freshness.stalenessMs,
        targetMs: freshness.targetMs,
        refreshedAgoMs:
          freshness.lastRefreshAt === null ? null : now - freshness.lastRefreshAt.getTime(),
        durationMs: freshness.lastDurationMs,
        strategy: freshness.strategy,
        rows: freshness.rows,
        spentMs,
        twin: parts.twins.lineOf(name, parts.ledger, now),
      })),
      load: {
        lines: this.#lines,
        linesTotal: parts.shop.linesTotal,
        rate: this.#loadRate(now),
        elapsedMs: (this.#loadEndedAt ?? now) - this.#startedAt,
      },
      writer: {
        writes: parts.ledger.writes.length,
        rate: parts.ledger.rate(now),
        failed: parts.writer.failed,
      },
      engine: parts.engine.line,
      checks: {
        made: records.reduce((sum, { checks }) => sum + checks, 0),
        different: records.reduce((sum, { different }) => sum + different, 0),
      },
      events: this.#events,
      why: this.#why,
    }
  }

  #loadRate(now: number): number {
    const [oldest] = this.#loaded
    const newest = this.#loaded.at(-1)
    if (oldest === undefined || newest === undefined || oldest === newest) return 0
    if (newest.at < now - rateSpanMs) return 0
    return ((newest.lines - oldest.lines) * 1000) / (newest.at - oldest.at)
  }
}
