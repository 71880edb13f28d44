import type { BusinessHours } from '../model/declaration.ts'
import type { RelationName } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'
import { readHistory } from './history.ts'
import type { HistoryRun } from './history.ts'
import { readNext } from './next.ts'
import type { ScheduleAhead } from './next.ts'
import { readStatus } from './status.ts'
import type { ViewStatus } from './status.ts'

/** The declaration of a view as the catalogue has it. */
export interface ViewDetails {
  readonly query: string
  readonly presentation: 'view' | 'table' | 'matview'
  readonly adopted: boolean
  readonly key: readonly string[] | null
  readonly relation: string
  /** Where the rows are. */
  readonly state: string
  readonly stateBytes: number | null
  readonly businessTarget: { readonly hours: BusinessHours; readonly target_ms: number } | null
  readonly veryStaleMs: number
  readonly budgetSecondsPerHour: number | null
  readonly verify: string
  readonly checks: number
  /** Groups that were compared each for itself. */
  readonly groupsChecked: number
  readonly mismatches: number
  readonly refreshRoles: readonly string[]
  readonly refreshesPerHour: number | null
  readonly fallback: string | null
  readonly timeDependent: boolean
  readonly declaredAt: Date
}

/** A source of a view and what of it the view reflects. */
export interface SourceTidemark {
  readonly source: RelationName
  /** The views that it is read through; empty when it is read directly. */
  readonly via: string
  readonly columns: readonly string[]
  /** Null: not refreshed since the source was captured. */
  readonly snapshot: string | null
  readonly asOf: Date | null
  readonly logBytes: number
  readonly problem: string | null
}

/** An event rule of a view. */
export interface RuleDetails {
  readonly name: string
  readonly source: RelationName
  readonly condition: string
  readonly changes: readonly string[]
  readonly lane: number
  readonly batchMs: number
}

/** Everything about one view. */
export interface ViewPage {
  readonly now: Date
  readonly status: ViewStatus
  readonly details: ViewDetails
  readonly sources: readonly SourceTidemark[]
  readonly inputs: readonly RelationName[]
  /** Views that read this one. */
  readonly readers: readonly RelationName[]
  readonly schedules: readonly ScheduleAhead[]
  readonly events: readonly RuleDetails[]
  readonly runs: readonly HistoryRun[]
}

const runsShown = 5
const slotsShown = 3
const monthMs = 35 * 86_400_000

/** Reads everything about one view; null when it has just gone. */
export async function readView(database: Queryable, view: RelationName): Promise<ViewPage | null> {
  const [details] = await database.query<ViewDetails>(
    `select v.query, v.presentation, v.adopted, v.key_columns as key, v.relation, v.state,
            (select pg_total_relation_size(c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(c.relname, '"', '""')) = v.state) as "stateBytes",
            v.business_target as "businessTarget", v.very_stale_ms as "veryStaleMs",
            v.budget_seconds_per_hour::float8 as "budgetSecondsPerHour", v.verify,
            coalesce(s.checks, 0) as checks, coalesce(s.groups_checked, 0) as "groupsChecked", coalesce(s.mismatches, 0) as mismatches,
            v.refresh_roles as "refreshRoles", v.refreshes_per_hour as "refreshesPerHour",
            v.fallback, v.time_dependent as "timeDependent", v.declared_at as "declaredAt"
       from tidemark.view v left join tidemark.view_state s on s.view = v.name where v.name = $1`,
    [view],
  )
  const status = await readStatus(database, view)
  const [own] = status.views
  if (details === undefined || own === undefined) return null
  const sources = await database.query<SourceTidemark>(sourcesQuery, [view])
  const related = await database.query<{ inputs: RelationName[]; readers: RelationName[] }>(
    `select array(select input from tidemark.view_input where view = $1 order by 1) as inputs,
            array(select view from tidemark.view_input where input = $1 order by 1) as readers`,
    [view],
  )
  const events = await database.query<RuleDetails>(
    `select name, source, condition, changes, lane, batch_ms as "batchMs"
       from tidemark.event_rule where view = $1 order by name`,
    [view],
  )
  const filter = { view, failedOnly: false, sinceMs: monthMs, limit: runsShown }
  const { runs } = await readHistory(database, filter)
  return {
    now: status.at,
    status: own,
    details,
    sources,
    inputs: related[0]?.inputs ?? [],
    readers: related[0]?.readers ?? [],
    schedules: await readNext(database, view, slotsShown),
    events,
    runs,
  }
}

const sourcesQuery = `
select coalesce(t.source, vs.source) as source, coalesce(t.via, '') as via,
       coalesce(vs.columns, s.columns, '{}') as columns, t.snapshot::text as snapshot, t.as_of as "asOf",
       tidemark.log_bytes(coalesce(t.source, vs.source)) as "logBytes",
       tidemark.source_problem(coalesce(t.source, vs.source)) as problem
  from (select source, columns from tidemark.view_source where view = $1) vs
  full join (select source, via, snapshot, as_of from tidemark.tidemark where view = $1) t
    on t.source = vs.source and t.via = ''
  left join tidemark.source s on s.name = t.source
 order by via, source`
