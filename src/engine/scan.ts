import { TidemarkError } from '../model/errors.ts'
import { scanDatabase } from '../observe/scan.ts'
import type { ScanReport } from '../observe/scan-report.ts'
import type { Database } from '../postgres/connection.ts'
import { slotsBetween } from '../schedule/cron-slots.ts'

export type * from '../observe/scan-report.ts'

const dayMs = 86_400_000

/** Slots looked at: a week in which every minute is one; a longer span where a schedule is rarer. */
const looks = [
  { days: 8, limit: 12_000 },
  { days: 70, limit: 100 },
  { days: 800, limit: 50 },
]

/** Slots to come of a cron expression, enough to see its rhythm; null for one that cannot be read. */
export function upcomingSlots(cron: string, zone: string, from: Date): readonly Date[] | null {
  try {
    let slots: readonly Date[] = []
    for (const { days, limit } of looks) {
      const until = new Date(from.getTime() + days * dayMs)
      slots = slotsBetween({ cron, zone, businessHours: null }, from, until, limit)
      if (slots.length >= 4) break
    }
    return slots
  } catch (error) {
    if (error instanceof TidemarkError) return null
    throw error
  }
}

/**
 * The first look at a database, for `tidemark scan`: changes nothing and needs no Tidemark there.
 * Throws `TIDEMARK_DATABASE_TOO_OLD` below PostgreSQL 14, and what makes a connection fail.
 */
export const scan = (
  database: Database,
  schemas: readonly string[] | null = null,
): Promise<ScanReport> => scanDatabase(database, { schemas, slotsOf: upcomingSlots })
