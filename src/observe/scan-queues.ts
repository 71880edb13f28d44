import { relationName } from '../model/ids.ts'
import type { RelationName } from '../model/ids.ts'
import { functionName, jobName } from './scan-actors.ts'
import type { Actors } from './scan-actors.ts'
import type { FunctionFact, JobFact, Oid, ScanFacts, TableFact, TriggerFact } from './scan-facts.ts'
import type { Gaps } from './scan-intervals.ts'
import type { ScannedQueue, ScannedRequest } from './scan-report.ts'
import { conditionOf, mentions, priorityIn } from './scan-sql-text.ts'

/** A queue with what the judgement of views needs of it. */
export interface FoundQueue {
  readonly table: TableFact
  readonly views: ReadonlySet<Oid>
  readonly scanned: ScannedQueue
}

/**
 * Tables through which triggers ask for refreshes: a trigger on another table inserts into it, and a
 * function that speaks of it refreshes a view.
 */
export function queuesOf(
  facts: ScanFacts,
  actors: Actors,
  gapsOfJobs: (jobs: readonly JobFact[]) => Gaps | null,
): readonly FoundQueue[] {
  const askers = facts.triggers.flatMap((trigger) => {
    const body = actors.functionOf(trigger)
    if (body === null || !trigger.enabled) return []
    const asked = actors.ofTrigger(trigger).inserts.map(({ relation }) => relation)
    return asked
      .filter((table) => table !== trigger.table)
      .map((table) => ({ trigger, body, table }))
  })
  const nameOfView = new Map(
    facts.views.map((view) => [view.oid, relationName(view.schema, view.name)]),
  )
  return facts.tables.flatMap((table): FoundQueue[] => {
    const own = askers.filter((asker) => asker.table === table.oid)
    if (own.length === 0) return []
    const workers = facts.functions.filter(
      (one) => !own.some(({ body }) => body === one) && mentions(one.body, table.name),
    )
    const views = new Set(
      workers.flatMap((one) => actors.ofFunction(one).refreshes.map(({ relation }) => relation)),
    )
    if (views.size === 0) return []
    const scanned = scannedQueue({ table, askers: own, workers, facts, actors, gapsOfJobs })
    const names = [...views].flatMap((oid) => nameOfView.get(oid) ?? [])
    return [{ table, views, scanned: { ...scanned, views: names } }]
  })
}

interface Parts {
  readonly table: TableFact
  readonly askers: readonly { readonly trigger: TriggerFact; readonly body: FunctionFact }[]
  readonly workers: readonly FunctionFact[]
  readonly facts: ScanFacts
  readonly actors: Actors
  readonly gapsOfJobs: (jobs: readonly JobFact[]) => Gaps | null
}

function scannedQueue(parts: Parts): Omit<ScannedQueue, 'views'> {
  const { table, askers, workers, facts, actors, gapsOfJobs } = parts
  const jobs = facts.jobs.filter((job) => worksOff(job, table, actors))
  return {
    name: relationName(table.schema, table.name),
    requests: askers.map(requestOf),
    workedOffBy: [...workers.map(functionName), ...jobs.map((job) => `pg_cron ${jobName(job)}`)],
    everyMs: gapsOfJobs(jobs.filter(({ active }) => active))?.longestMs ?? null,
  }
}

/** A job that comes by the table before it refreshes: in its own words or in those of a function between. */
export function worksOff(job: JobFact, table: TableFact, actors: Actors): boolean {
  const { refreshes } = actors.ofJob(job)
  return refreshes.some(
    ({ through }) =>
      mentions(job.command, table.name) || through.some(({ body }) => mentions(body, table.name)),
  )
}

const requestOf = (asker: {
  readonly trigger: TriggerFact
  readonly body: FunctionFact
}): ScannedRequest => ({
  trigger: asker.trigger.name,
  on: nameOfTable(asker.trigger),
  events: asker.trigger.events,
  when: conditionOf(asker.trigger.definition, asker.body.body),
  priority: priorityIn(asker.body.body),
})

/** The table of a trigger. */
export const nameOfTable = (trigger: TriggerFact): RelationName =>
  relationName(trigger.tableSchema, trigger.tableName)
