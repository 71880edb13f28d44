import { formatDuration } from '../base/duration.ts'
import type { Policy } from '../model/declaration.ts'
import type { GroupName, RelationName } from '../model/ids.ts'
import type { Feasibility } from '../model/plan.ts'

/** What a view promises and what its refresh costs. */
export interface ViewCost {
  readonly view: RelationName
  /** Views of one group are refreshed one after another at one snapshot. */
  readonly group: GroupName
  /** The tightest target that is ever in force. */
  readonly targetMs: number
  /** Slow case of a refresh: the 95th percentile of the log, else an estimate; null when unknown. */
  readonly expectedMs: number | null
  readonly policy: Policy
  readonly budgetSecondsPerHour: number | null
}

/** Whether the workers can do all the refreshes that the targets ask for. */
export interface Load {
  /** Workers kept busy while every source is written to all the time. */
  readonly busy: number
  readonly workers: number
  /** Null when a duration is unknown and what is known fits. */
  readonly feasible: boolean | null
  readonly advice: string
}

/** A judgement of the targets: one of each view, one of all together. */
export interface Judgement {
  readonly views: readonly Feasibility[]
  readonly load: Load
}

/** A group as the scheduler sees it: one job with a cost and the tightest deadline of its views. */
interface Job {
  readonly group: GroupName
  readonly views: readonly ViewCost[]
  readonly costMs: number | null
  readonly targetMs: number
}

function jobsOf(views: readonly ViewCost[]): readonly Job[] {
  const byGroup = new Map<GroupName, ViewCost[]>()
  for (const view of views) {
    const members = byGroup.get(view.group)
    if (members === undefined) byGroup.set(view.group, [view])
    else members.push(view)
  }
  return [...byGroup].map(([group, members]) => ({
    group,
    views: members,
    costMs: members.reduce<number | null>(
      (sum, { expectedMs }) => (sum === null || expectedMs === null ? null : sum + expectedMs),
      0,
    ),
    targetMs: Math.min(...members.map((member) => member.targetMs)),
  }))
}

/**
 * Share of a worker that a job needs under steady writes. A commit just after a snapshot must be shown
 * within the target, so the next snapshot comes no later than target less duration: that is the period.
 * Above 1 no worker is fast enough.
 */
function shareOf(costMs: number, targetMs: number): number {
  return costMs < targetMs ? costMs / (targetMs - costMs) : Number.POSITIVE_INFINITY
}

const spell = (ms: number): string => formatDuration(Math.round(ms))

/** Jobs that cannot be interrupted and are so long that waiting for one breaks the target. */
function longJobs(job: Job, jobs: readonly Job[]): readonly Job[] {
  const slack = job.targetMs - 2 * (job.costMs ?? 0)
  return jobs.filter((other) => other !== job && (other.costMs ?? 0) > slack)
}

function budgetNeeded(view: ViewCost, costMs: number): number {
  return Math.ceil(shareOf(costMs, view.targetMs) * 3600)
}

/** Judges one view within its job. */
function judge(view: ViewCost, job: Job, waits: string | null): Feasibility {
  const { view: name, targetMs, expectedMs } = view
  const verdict = (feasible: boolean | null, advice: string): Feasibility => ({
    view: name,
    targetMs,
    expectedMs,
    feasible,
    advice,
  })
  if (job.costMs === null) {
    return verdict(null, 'No refresh has been measured yet; judged after the first.')
  }
  const cost = job.costMs
  const takes = `${job.views.length > 1 ? `Group ${job.group}` : 'A refresh'} takes ${spell(cost)}`
  const mend = `allow ${spell(2 * cost)} or more, or make the query faster`
  if (cost >= targetMs) {
    return verdict(false, `${takes}, longer than the target of ${spell(targetMs)}: ${mend}.`)
  }
  if (2 * cost > targetMs) {
    const why = `${takes}; a commit just after it began waits for the next one, ${spell(2 * cost)} in all`
    return verdict(false, `${why}: ${mend}.`)
  }
  if (view.policy === 'budget' && view.budgetSecondsPerHour !== null) {
    const needed = budgetNeeded(view, cost)
    if (needed > view.budgetSecondsPerHour) {
      const has = `the budget is ${view.budgetSecondsPerHour} s an hour`
      return verdict(false, `Steady writes need ${needed} s an hour and ${has}: raise one of both.`)
    }
  }
  if (waits !== null) return verdict(true, waits)
  const every = spell(targetMs - cost)
  return verdict(true, `${takes}; at most one every ${every} holds ${spell(targetMs)}.`)
}

/** What to say of a view that a full house of long refreshes could make late; null when none can. */
function waitingAdvice(job: Job, jobs: readonly Job[], workers: number): string | null {
  const long = longJobs(job, jobs)
  const longest = long.toSorted((a, b) => (b.costMs ?? 0) - (a.costMs ?? 0))[0]
  if (job.costMs === null || longest === undefined || long.length < workers) return null
  const who = `${longest.group} (${spell(longest.costMs ?? 0)})`
  return `Holds while a worker is free; can be late when all ${workers} are busy with refreshes as long as ${who}: add a worker.`
}

function loadOf(jobs: readonly Job[], workers: number): Load {
  const known = jobs.filter((job) => job.costMs !== null)
  // A job that cannot hold its own target is said by its view; here it keeps one worker busy.
  const shares = known.map((job) => Math.min(1, shareOf(job.costMs ?? 0, job.targetMs)))
  const sum = shares.reduce((total, share) => total + share, 0)
  // Nine shares of a ninth add up to a little more than one.
  const busy = Math.round(sum * 1e6) / 1e6
  const told = `Steady writes keep ${busy.toFixed(2)} of ${workers} workers busy`
  const one = workers === 1 ? told.replace('workers', 'worker') : told
  if (busy > workers) {
    const need = Math.ceil(busy)
    const advice = `${one}: set engine.workers to ${need} or more, or widen the targets of the slowest.`
    return { busy, workers, feasible: false, advice }
  }
  const unknown = jobs.length - known.length
  if (unknown > 0) {
    const rest = `${unknown} not measured yet`
    return { busy, workers, feasible: null, advice: `${one}, ${rest}.` }
  }
  return { busy, workers, feasible: true, advice: `${one}.` }
}

/**
 * Judges before anything is applied whether targets can be held.
 *
 * A view holds its target under steady writes when twice the duration of its refresh is no more than
 * the target: a commit that just missed a snapshot waits for that refresh and for its own. All
 * together fit when the busy shares of the groups are no more than the workers (the utilisation bound
 * of earliest deadline first). Does not know: how busy the server is with others, and locks.
 */
export function feasibilityOf(views: readonly ViewCost[], workers: number): Judgement {
  const jobs = jobsOf(views)
  const judged = new Map<RelationName, Feasibility>()
  for (const job of jobs) {
    const waits = waitingAdvice(job, jobs, workers)
    for (const view of job.views) judged.set(view.view, judge(view, job, waits))
  }
  return {
    views: views.flatMap(({ view }) => judged.get(view) ?? []),
    load: loadOf(jobs, workers),
  }
}
