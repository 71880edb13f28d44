import { functionName, jobName, modeOf, triggerName } from './scan-actors.ts'
import type { Actors, RefreshDeed } from './scan-actors.ts'
import type { JobFact, Oid, ScanFacts, StatementFact, ViewFact } from './scan-facts.ts'
import type { FoundQueue } from './scan-queues.ts'
import { worksOff } from './scan-queues.ts'
import type { ScannedRefresher } from './scan-report.ts'
import { refreshesIn } from './scan-sql-text.ts'

/** Who refreshes one view, with the facts behind it. */
export interface Refreshing {
  readonly refreshers: readonly ScannedRefresher[]
  /** Jobs that refresh it at every run. */
  readonly jobs: readonly JobFact[]
  /** Jobs that refresh it when something was asked for. */
  readonly jobsOnRequest: readonly JobFact[]
  readonly statements: readonly StatementFact[]
}

/** Finds who refreshes which view. */
export function refreshingOf(
  facts: ScanFacts,
  actors: Actors,
  queues: readonly FoundQueue[],
): ReadonlyMap<Oid, Refreshing> {
  const inside = actors.calledInside()
  const jobs = facts.jobs.map((job) => ({ job, deeds: actors.ofJob(job).refreshes }))
  const triggers = facts.triggers
    .filter(({ enabled }) => enabled)
    .map((trigger) => ({ trigger, deeds: actors.ofTrigger(trigger).refreshes }))
  const functions = facts.functions
    .filter(({ oid }) => !inside.has(oid))
    .map((one) => ({ one, deeds: actors.ofFunction(one).refreshes }))
  return new Map(
    facts.views.map((view) => {
      const own = <Deed extends { readonly relation: Oid }>(deeds: readonly Deed[]): Deed[] =>
        deeds.filter(({ relation }) => relation === view.oid)
      const ownJobs = jobs.flatMap(({ job, deeds }) => {
        const mine = own(deeds)
        const onRequest = queues.some(({ table }) => worksOff(job, table, actors))
        return mine.length === 0 ? [] : [{ job, deeds: mine, onRequest }]
      })
      const statements = facts.statements.filter((statement) => isOf(statement, view))
      const found: ScannedRefresher[] = [
        ...ownJobs.map(jobRefresher),
        ...triggers.flatMap(({ trigger, deeds }) =>
          refresher('trigger', triggerName(trigger), own(deeds)),
        ),
        ...functions.flatMap(({ one, deeds }) =>
          refresher('function', functionName(one), own(deeds)),
        ),
      ]
      const known = found.length > 0 ? [] : statements.flatMap(statementRefresher)
      return [
        view.oid,
        {
          refreshers: [...found, ...known],
          jobs: ownJobs.flatMap(({ job, onRequest }) => (onRequest ? [] : [job])),
          jobsOnRequest: ownJobs.flatMap(({ job, onRequest }) => (onRequest ? [job] : [])),
          statements,
        },
      ]
    }),
  )
}

function jobRefresher(found: {
  readonly job: JobFact
  readonly deeds: readonly RefreshDeed[]
  readonly onRequest: boolean
}): ScannedRefresher {
  const { job, deeds, onRequest } = found
  const [first] = deeds
  return {
    kind: 'pg_cron',
    name: jobName(job),
    mode: modeOf(deeds.map(({ mode }) => mode)),
    job: { id: job.id, schedule: job.schedule, active: job.active },
    through: (first?.through ?? []).map(functionName),
    onRequest,
  }
}

function refresher(
  kind: 'trigger' | 'function',
  name: string,
  deeds: readonly RefreshDeed[],
): readonly ScannedRefresher[] {
  if (deeds.length === 0) return []
  const through = (deeds[0]?.through ?? []).map(functionName).filter((one) => one !== name)
  return [
    {
      kind,
      name,
      mode: modeOf(deeds.map(({ mode }) => mode)),
      job: null,
      through,
      onRequest: false,
    },
  ]
}

function statementRefresher(statement: StatementFact): readonly ScannedRefresher[] {
  const mode = modeOf(refreshesIn(statement.query).map((one) => one.mode))
  const name = `${statement.calls} ${statement.calls === 1 ? 'statement' : 'statements'} from outside`
  return [{ kind: 'statement', name, mode, job: null, through: [], onRequest: false }]
}

function isOf(statement: StatementFact, view: ViewFact): boolean {
  return refreshesIn(statement.query).some(
    (written) =>
      written.view?.name === view.name &&
      (written.view.schema === null || written.view.schema === view.schema),
  )
}
