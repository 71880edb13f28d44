import type { HistoryFacts, ViewOutcome } from './case.ts'

/** What a worker of a hunt is to do. */
export interface HuntOrder {
  readonly adminUrl: string
  readonly database: string
  readonly maintain: 'full' | 'incremental'
  /** Through plan, apply and runs, or by the compiler's programs alone. */
  readonly through: 'plan' | 'programs'
  readonly seed: number
  /** From one batch to the next. */
  readonly stride: number
  /** Epoch milliseconds. */
  readonly until: number
  readonly queries: number
  readonly histories: number
  readonly construct?: string
  /** Queries that match this are left out: what is known already. */
  readonly skip?: string
  readonly shrinksMax: number
  readonly shrinkMs: number
}

export interface BatchReport {
  readonly kind: 'batch'
  readonly seed: number
  readonly ms: number
  readonly facts: HistoryFacts
  readonly rejected: readonly { readonly sql: string; readonly fault: string }[]
  readonly views: readonly (Omit<ViewOutcome, 'view'> & {
    readonly sql: string
    readonly featured: string
    readonly constructs: readonly string[]
    readonly choice: boolean
  })[]
}

/** A view that was not what it had to be. */
export interface FoundFailure {
  readonly kind: 'failure'
  readonly seed: number
  readonly view: string
  /** Failures of one sort probably have one cause. */
  readonly sort: string
  readonly sql: string
  readonly detail: string
  /** The regression that was written; null when one of its sort was before. */
  readonly path: string | null
}

export type HuntMessage =
  BatchReport | FoundFailure | { readonly kind: 'broken'; readonly error: string }
