import type { CaptureProgram, CaptureWish } from '../model/capture.ts'
import type {
  EventDeclaration,
  ScheduleDeclaration,
  ViewDeclaration,
} from '../model/declaration.ts'
import type { RelationName } from '../model/ids.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import type { Feasibility } from '../model/plan.ts'
import type { CompiledView } from '../model/view.ts'
import type { Journal } from './journal-program.ts'
import type { TableCache } from './table-cache.ts'

/** A view as declared and compiled. */
export interface DesiredView {
  readonly declaration: ViewDeclaration
  readonly compiled: CompiledView
  /** Indexes of tables that its refreshes would look rows up by, and that are not there. */
  readonly indexes: readonly IndexProposal[]
}

/** A source and the program that captures it. */
export interface DesiredSource {
  readonly wish: CaptureWish
  readonly program: CaptureProgram
}

/** A schedule, with the digest of what decides its slots. */
export interface DesiredSchedule {
  readonly view: RelationName
  readonly declaration: ScheduleDeclaration
  readonly digest: string
}

/** An event rule, with its condition bound to the source. */
export interface DesiredEvent {
  readonly view: RelationName
  readonly declaration: EventDeclaration
  readonly condition: string
}

/** A step of Tidemark's own schemas that is to be taken. */
export interface DesiredMigration {
  readonly number: number
  readonly name: string
  readonly sql: string
}

/** What shall be: the configuration, compiled and bound. */
export interface Desired {
  readonly migrations: readonly DesiredMigration[]
  readonly sources: readonly DesiredSource[]
  readonly views: readonly DesiredView[]
  readonly schedules: readonly DesiredSchedule[]
  readonly events: readonly DesiredEvent[]
  readonly caches: readonly Journal[]
  readonly cacheTables: readonly TableCache[]
  /** Settings that functions in the database read, by name. */
  readonly settings: Readonly<Record<string, string>>
  readonly runtimeRole: string | null
  readonly readerRoles: readonly string[]
  /** Tables that queries read and triggers cannot watch, with the reason and the mend. */
  readonly uncapturable: ReadonlyMap<RelationName, string>
  /** Judged beforehand, for people; decides nothing. */
  readonly feasibility: readonly Feasibility[]
}

/** Nothing shall be: what `destroy` wants. */
export const nothingDesired: Desired = {
  uncapturable: new Map(),
  migrations: [],
  sources: [],
  views: [],
  schedules: [],
  events: [],
  caches: [],
  cacheTables: [],
  settings: {},
  runtimeRole: null,
  readerRoles: [],
  feasibility: [],
}
