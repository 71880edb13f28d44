import type { RelationName } from './ids.ts'
import type { IndexProposal } from './index-proposal.ts'

/** What a step does to the thing that it names. */
export type StepKind = 'create' | 'change' | 'replace' | 'drop' | 'warn'

/** The sign that `plan` prints for each kind of step. */
export const stepSigns: Readonly<Record<StepKind, string>> = {
  create: '+',
  change: '~',
  replace: '-/+',
  drop: '-',
  warn: '!',
}

/** One step of a plan: what is done, to what, under which lock, by which SQL. */
export interface PlanStep {
  readonly kind: StepKind
  /** `schema`, `source`, `view`, `schedule`, `event`, `grant`, … in the words of the glossary. */
  readonly noun: string
  readonly name: string
  /** One line for people: what changes and why. */
  readonly detail: string
  /** The strongest lock taken on a user's relation, `SHARE ROW EXCLUSIVE on public.orders`; null for none. */
  readonly lock: string | null
  /** How long it should take; null when nothing is known. */
  readonly expectedMs: number | null
  /** Drops or rewrites what a user owns; needs `--allow-destructive`. */
  readonly destructive: boolean
  /** Statements in order. Steps with `ownTransaction` run alone, after the others before them. */
  readonly sql: readonly string[]
  readonly ownTransaction: boolean
}

/** Whether a target can be held, judged from what refreshes cost. */
export interface Feasibility {
  readonly view: RelationName
  readonly targetMs: number
  readonly expectedMs: number | null
  readonly feasible: boolean | null
  readonly advice: string
}

/** What `apply` would do. Applying it twice does nothing the second time. */
export interface Plan {
  readonly version: 1
  /** Digest of the catalog that the plan was made against; `apply FILE` refuses when it has moved. */
  readonly catalog: string
  /** The relations that the digest covers, beside those that the catalogue knows. */
  readonly relations: readonly RelationName[]
  readonly steps: readonly PlanStep[]
  readonly feasibility: readonly Feasibility[]
  /** Indexes that the steps warn of; made only when asked for. */
  readonly indexes: readonly IndexProposal[]
}
