import type { BusinessHours } from '../model/declaration.ts'
import type { RelationName } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'
import { targetWindows } from '../schedule/business-hours.ts'
import { horizonMsMax, scheduleDigest, slotChange } from '../schedule/slot-ledger.ts'

interface ScheduleRecord {
  readonly name: string
  readonly cron: string
  readonly zone: string
  readonly business_hours: BusinessHours | null
  readonly slots_digest: string | null
  readonly latest: Date | null
  readonly ahead: number
}

interface TargetRecord {
  readonly name: string
  readonly target_ms: number
  readonly business_target: { readonly hours: BusinessHours; readonly target_ms: number }
}

/**
 * Completes the ledger of slots and the windows of targets for the next 35 days, and returns how
 * many slots were added. Costs nothing when all is there; may run in several places at once.
 */
export async function extendSlots(database: Queryable, now: Date): Promise<number> {
  const schedules = await database.query<ScheduleRecord>(
    `select s.name, s.cron, s.zone, s.business_hours, s.slots_digest,
            (select max(x.slot_at) from tidemark.slot x where x.schedule_id = s.schedule_id) as latest,
            (select count(*)::int from tidemark.slot x
              where x.schedule_id = s.schedule_id and x.slot_at > $1) as ahead
       from tidemark.schedule s`,
    [now],
  )
  let added = 0
  for (const schedule of schedules) {
    const rule = {
      cron: schedule.cron,
      zone: schedule.zone,
      businessHours: schedule.business_hours,
    }
    const stored = { digest: schedule.slots_digest, latest: schedule.latest, ahead: schedule.ahead }
    const change = slotChange(rule, stored, now)
    if (!change.replace && change.insert.length === 0 && stored.digest !== null) continue
    const [row] = await database.query<{ added: number }>(
      `select tidemark.write_slots($1, $2, $3::timestamptz[], $4, $5 * interval '1 millisecond') as added`,
      [schedule.name, change.replace, change.insert, scheduleDigest(rule), change.horizonMs],
    )
    added += row?.added ?? 0
  }
  await extendTargets(database, now)
  return added
}

async function extendTargets(database: Queryable, now: Date): Promise<void> {
  const views = await database.query<TargetRecord>(
    `select name, target_ms, business_target from tidemark.view where business_target is not null`,
  )
  for (const view of views) {
    const windows = targetWindows(
      {
        name: view.name as RelationName,
        targetMs: view.target_ms,
        businessTarget: {
          hours: view.business_target.hours,
          targetMs: view.business_target.target_ms,
        },
      },
      now,
      new Date(now.getTime() + horizonMsMax),
    )
    await database.query(
      'select tidemark.write_target_windows($1, $2::timestamptz[], $3::timestamptz[], $4::bigint[])',
      [
        view.name,
        windows.map((window) => window.startsAt),
        windows.map((window) => window.endsAt),
        windows.map((window) => window.targetMs),
      ],
    )
  }
}
