import type { BusinessHours } from '../model/declaration.ts'
import type { RelationName } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'
import { nextRuns } from '../schedule/next-runs.ts'
import type { NextRun } from '../schedule/next-runs.ts'

export type { NextRun } from '../schedule/next-runs.ts'

/** A schedule and its slots to come. */
export interface ScheduleAhead {
  readonly id: number
  readonly name: string
  readonly view: RelationName
  readonly cron: string
  readonly zone: string
  readonly businessHours: BusinessHours | null
  readonly active: boolean
  readonly pauseReason: string | null
  readonly lastFiredAt: Date | null
  /** How far slots are computed. */
  readonly slotsUntil: Date | null
  readonly runs: readonly NextRun[]
}

interface ScheduleRow {
  readonly id: number
  readonly name: string
  readonly view: RelationName
  readonly cron: string
  readonly zone: string
  readonly hours: BusinessHours | null
  readonly active: boolean
  readonly reason: string | null
  readonly fired: Date | null
  readonly until: Date | null
  readonly now: Date
}

/** Every schedule, or those of one view, with its next `count` slots. */
export async function readNext(
  database: Queryable,
  view: RelationName | null,
  count: number,
): Promise<readonly ScheduleAhead[]> {
  const rows = await database.query<ScheduleRow>(
    `select id, name, view_name as view, schedule as cron, zone, business_hours as hours, active,
            pause_reason as reason, last_fired_at as fired, slots_until as until, now() as now
       from tidemark.schedules where $1::text is null or view_name = $1
      order by next_at nulls last, name`,
    [view],
  )
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    view: row.view,
    cron: row.cron,
    zone: row.zone,
    businessHours: row.hours,
    active: row.active,
    pauseReason: row.reason,
    lastFiredAt: row.fired,
    slotsUntil: row.until,
    runs: nextRuns({ cron: row.cron, zone: row.zone, businessHours: row.hours }, row.now, count),
  }))
}
