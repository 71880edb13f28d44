import { formatDuration } from '../base/duration.ts'
import { functionName } from './scan-actors.ts'
import type { JobRunsFact, Oid, ScanFacts, ViewFact } from './scan-facts.ts'
import type { Refreshing } from './scan-refreshers.ts'
import type { ScannedView } from './scan-report.ts'

type Judged = Omit<ScannedView, 'warnings'>

interface Judging {
  readonly facts: ScanFacts
  readonly refreshing: ReadonlyMap<Oid, Refreshing>
}

/** What somebody should look at, worst first: what gives wrong data or none, then what hurts, then what to know. */
export function warningsOf(judged: Judged, view: ViewFact, judging: Judging): readonly string[] {
  return [
    ...neverFilled(judged),
    ...failing(judged, view, judging),
    ...overdue(judged, judging.facts.head.now),
    ...nobodyRefreshes(judged),
    ...tooLong(judged),
    ...insideWriters(judged),
    ...readersWait(judged),
    ...notCaptured(judged, view, judging),
    ...ownership(judged, view),
  ]
}

const neverFilled = ({ populated }: Judged): readonly string[] =>
  populated ? [] : ['It was never filled: reading it is an error until a plain REFRESH has run.']

function failing(
  judged: Judged,
  view: ViewFact,
  { facts, refreshing }: Judging,
): readonly string[] {
  const told: string[] = []
  if (judged.uniqueIndex === null && judged.mode !== 'plain' && judged.mode !== null) {
    told.push(
      'CONCURRENTLY needs a unique index on columns, without a condition; there is none, so it fails.',
    )
  }
  const found = refreshing.get(view.oid)
  for (const job of [...(found?.jobs ?? []), ...(found?.jobsOnRequest ?? [])]) {
    const runs = facts.jobRuns.get(job.id)
    if (runs !== undefined && runs.failedInARow > 0) told.push(failedText(job.id, runs))
  }
  return told
}

function failedText(job: number, { failedInARow, failure }: JobRunsFact): string {
  const message = failure?.split('\n')[0]?.replace(/^ERROR:\s*/, '') ?? ''
  const times = failedInARow === 1 ? 'failed last time' : `failed the last ${failedInARow} times`
  return `pg_cron job ${job} ${times}${message === '' ? '' : `: ${message}`}.`
}

/** Beyond twice the promise something is wrong, whatever the reason. */
function overdue({ last, interval, cost }: Judged, now: Date): readonly string[] {
  if (last === null || interval === null) return []
  const ageMs = now.getTime() - last.at.getTime()
  const promisedMs = interval.longestMs + (cost?.mostMs ?? 0)
  if (ageMs <= 2 * promisedMs) return []
  return [
    `The last success that is known was ${formatDuration(ageMs)} ago; it should come every ${formatDuration(interval.longestMs)}.`,
  ]
}

function nobodyRefreshes({ refreshers, last, managed }: Judged): readonly string[] {
  if (managed) return []
  const jobs = refreshers.filter(({ kind }) => kind === 'pg_cron')
  if (jobs.length > 0 && jobs.every(({ job }) => job?.active === false)) {
    return ['Every job that refreshes it is paused.']
  }
  if (refreshers.length > 0) return []
  return last === null
    ? [
        'Nothing in the database refreshes it. Look for an OS cron, an application or a scheduled route that does.',
      ]
    : []
}

function tooLong({ cost, interval }: Judged): readonly string[] {
  if (cost === null || interval === null || interval.from !== 'schedule') return []
  if (cost.medianMs < interval.shortestMs) return []
  return [
    `A refresh takes ${formatDuration(cost.medianMs)} and another is due after ${formatDuration(interval.shortestMs)}: pg_cron queues what it missed.`,
  ]
}

function insideWriters({ refreshers }: Judged): readonly string[] {
  return refreshers
    .filter(({ kind }) => kind === 'trigger')
    .map(
      ({ name }) =>
        `${name} refreshes it inside of the writer's transaction: every write waits for it.`,
    )
}

/** Below this nobody notices that readers waited. */
const noticeableMs = 100

function readersWait({ mode, cost, uniqueIndex }: Judged): readonly string[] {
  if (mode !== 'plain' || cost === null || cost.medianMs < noticeableMs) return []
  const mend =
    uniqueIndex === null
      ? 'a unique index would allow CONCURRENTLY'
      : `index ${uniqueIndex.name} allows CONCURRENTLY`
  return [`Readers wait ${formatDuration(cost.medianMs)} at every refresh; ${mend}.`]
}

function notCaptured(judged: Judged, view: ViewFact, { facts }: Judging): readonly string[] {
  const told: string[] = []
  if (judged.readsTheClock) {
    told.push(
      'Its query asks for the time: the result changes without a write, so only a schedule keeps it right.',
    )
  }
  const called = facts.functions.filter(
    ({ oid, body }) => view.functions.includes(oid) && /\b(from|join)\b/i.test(body),
  )
  if (called.length > 0) {
    const names = [...new Set(called.map(functionName))].join(', ')
    told.push(
      `It calls ${names}: PostgreSQL does not record which tables that reads; name them under 'reads'.`,
    )
  }
  return told
}

function ownership(judged: Judged, view: ViewFact): readonly string[] {
  if (view.ownedByRole || judged.managed) return []
  return [
    `This role may look and not adopt: 'apply' needs a role that is a member of ${view.owner}.`,
  ]
}
