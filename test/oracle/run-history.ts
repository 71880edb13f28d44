import type { Session } from '../../src/postgres/connection.ts'
import { sqlstateOf } from '../../src/postgres/sqlstate.ts'
import type { HistoryFacts } from './case.ts'
import type { Step } from './generate-history.ts'
import { isRefresh, isTransactional } from './generate-history.ts'

interface Stage {
  readonly sessions: readonly Session[]
  readonly refresh: (number: number) => Promise<void>
}

interface Open {
  /** Within a transaction. */
  within: boolean
  /** That transaction has written. */
  wrote: boolean
}

/**
 * Plays a history, one statement at a time: every interleaving is the same each time. What fails takes its session
 * back to the innermost savepoint that there is, else out of its transaction.
 */
export async function runHistory(
  { sessions, refresh }: Stage,
  history: readonly Step[],
): Promise<HistoryFacts> {
  const open = sessions.map((): Open => ({ within: false, wrote: false }))
  const told = { ...nothing, failed: {} as Record<string, number>, histories: 1 }
  for (const step of history) {
    if (isRefresh(step)) {
      told.refreshes += 1
      if (open.some(({ wrote }) => wrote)) told.refreshesBesideOpen += 1
      await refresh(told.refreshes)
      continue
    }
    const session = sessions[step.session]
    const own = open[step.session]
    if (session === undefined || own === undefined) continue
    const { sql } = step
    if (sql.startsWith('begin')) own.within = true
    const state = await session.query(sql).then(() => null, stateOf)
    if (sql === 'commit' || sql === 'rollback') Object.assign(own, { within: false, wrote: false })
    if (state === null) note(told, { sql, own, open })
    else {
      told.failed[state] = (told.failed[state] ?? 0) + 1
      await takeBack(session, own)
    }
  }
  return { ...told, writtenMin: told.written }
}

const stateOf = (error: unknown): string => sqlstateOf(error) ?? 'unknown'

const nothing: HistoryFacts = {
  histories: 0,
  written: 0,
  writtenMin: 0,
  overlapping: 0,
  failed: {},
  refreshes: 0,
  refreshesBesideOpen: 0,
  openMax: 0,
  committed: 0,
  rolledBack: 0,
  rolledBackTo: 0,
  serializable: 0,
  repeatableRead: 0,
}

type Telling = { -readonly [Name in keyof HistoryFacts]: HistoryFacts[Name] }

function note(
  told: Telling,
  { sql, own, open }: { readonly sql: string; readonly own: Open; readonly open: readonly Open[] },
): void {
  told.openMax = Math.max(told.openMax, open.filter(({ within }) => within).length)
  if (!isTransactional(sql)) {
    told.written += 1
    if (own.within) own.wrote = true
    if (open.some((other) => other !== own && other.within)) told.overlapping += 1
    return
  }
  if (sql === 'commit') told.committed += 1
  if (sql === 'rollback') told.rolledBack += 1
  if (sql.startsWith('rollback to')) told.rolledBackTo += 1
  if (sql.endsWith('serializable')) told.serializable += 1
  if (sql.endsWith('repeatable read')) told.repeatableRead += 1
}

async function takeBack(session: Session, own: Open): Promise<void> {
  if (!own.within) return
  for (const name of ['s3', 's2', 's1']) {
    const back = await session.query(`rollback to ${name}`).then(
      () => true,
      () => false,
    )
    if (back) return
  }
  await session.query('rollback')
  Object.assign(own, { within: false, wrote: false })
}

/** What was done in several histories. */
export function togetherOf(parts: readonly HistoryFacts[]): HistoryFacts {
  const sum = (name: keyof Omit<HistoryFacts, 'failed'>): number =>
    parts.reduce((total, part) => total + part[name], 0)
  const failed: Record<string, number> = {}
  for (const part of parts) {
    for (const [state, count] of Object.entries(part.failed)) {
      failed[state] = (failed[state] ?? 0) + count
    }
  }
  return {
    histories: sum('histories'),
    written: sum('written'),
    writtenMin: parts.length === 0 ? 0 : Math.min(...parts.map(({ writtenMin }) => writtenMin)),
    overlapping: sum('overlapping'),
    failed,
    refreshes: sum('refreshes'),
    refreshesBesideOpen: sum('refreshesBesideOpen'),
    openMax: Math.max(0, ...parts.map(({ openMax }) => openMax)),
    committed: sum('committed'),
    rolledBack: sum('rolledBack'),
    rolledBackTo: sum('rolledBackTo'),
    serializable: sum('serializable'),
    repeatableRead: sum('repeatableRead'),
  }
}
