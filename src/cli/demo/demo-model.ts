import type { State } from '../../model/freshness.ts'

/** What the demonstration shows of one view, and of its twin. */
export interface ViewLine {
  readonly name: string
  readonly state: State
  /** Null when unknown. */
  readonly stalenessMs: number | null
  readonly targetMs: number
  /** Since the last refresh ended; null before the first. */
  readonly refreshedAgoMs: number | null
  readonly durationMs: number | null
  readonly strategy: string
  readonly rows: number | null
  /** Seconds that Tidemark has spent on it since the demonstration began. */
  readonly spentMs: number
  readonly twin: TwinLine
}

/** The same query as a materialized view that is refreshed every minute. */
export interface TwinLine {
  /** Age of the oldest commit that it does not show; null before it is filled. */
  readonly ageMs: number | null
  readonly spentMs: number
  readonly refreshing: boolean
}

/** How far the load is. */
export interface LoadLine {
  readonly lines: number
  readonly linesTotal: number
  /** Order lines a second, over the last seconds. */
  readonly rate: number
  /** How long this session has loaded. */
  readonly elapsedMs: number
}

/** What the writers do. */
export interface WriterLine {
  readonly writes: number
  /** Commits a second, over the last seconds. */
  readonly rate: number
  readonly failed: number
}

/** The engine, which is a process of its own. */
export interface EngineLine {
  readonly status: 'starting' | 'running' | 'killed' | 'stopped'
  readonly pid: number | null
  readonly restarts: number
}

/** Something that happened, newest last. */
export interface EventLine {
  readonly at: Date
  readonly text: string
}

/** All that the screen shows at one instant. */
export interface DemoModel {
  readonly server: string
  readonly elapsedMs: number
  readonly views: readonly ViewLine[]
  readonly load: LoadLine
  readonly writer: WriterLine
  readonly engine: EngineLine
  /** Refreshes that compared themselves with their query, and those that found a difference. */
  readonly checks: { readonly made: number; readonly different: number }
  readonly events: readonly EventLine[]
  /** The answer to the last `w`; empty before it. */
  readonly why: readonly string[]
}
