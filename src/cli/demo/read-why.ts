import type { Queryable } from '../../engine/demo-support.ts'
import type { Freshness } from '../../model/freshness.ts'
import { grouped, span, tookText } from '../render/figures.ts'
import { stateWords } from './state-words.ts'
import { bareName } from './twins.ts'

/** The last run of a view that ended. */
export interface LastRun {
  readonly run_id: number
  readonly status: string
  readonly trigger_type: string
  readonly triggered_by: string
  readonly requested_at: Date
  readonly started_at: Date
  readonly duration_ms: number | null
  readonly rows_inserted: number | null
  readonly rows_updated: number | null
  readonly rows_deleted: number | null
  readonly differing: number | null
}

/** The request of a view's group that waits or runs. */
export interface OpenRequest {
  readonly status: 'pending' | 'running'
  readonly requested_at: Date
  readonly triggered_by: string
}

/** A table and how many of its commits a view does not reflect. */
export interface Behind {
  readonly source: string
  readonly commits: number
}

/** All that {@link renderWhy} tells. */
export interface WhyFacts {
  readonly freshness: Freshness
  readonly behind: readonly Behind[]
  readonly request: OpenRequest | null
  readonly last: LastRun | null
}

/** Asks the database why a view is as stale as it is: commit, captured, queued, waited, ran. */
export async function readWhy(database: Queryable, freshness: Freshness): Promise<WhyFacts> {
  const behind = await database.query<Behind>(
    `select source, cardinality(tidemark.unreflected(source, snapshot)) as commits
       from tidemark.tidemark where view = $1 order by commits desc, source`,
    [freshness.view],
  )
  const [request] = await database.query<OpenRequest>(
    `select status, requested_at, triggered_by from tidemark.request
      where group_name = $1 order by status desc limit 1`,
    [freshness.group],
  )
  const [last] = await database.query<LastRun>(
    `select run_id, status, trigger_type, triggered_by, requested_at, started_at, duration_ms,
            rows_inserted, rows_updated, rows_deleted, differing
       from tidemark.run where view = $1 and status not in ('running', 'queued')
      order by run_id desc limit 1`,
    [freshness.view],
  )
  return { freshness, behind, request: request ?? null, last: last ?? null }
}

/** The chain from the commit to the last run, one link a line. Times are counted back from `now`. */
export function renderWhy(facts: WhyFacts, now: Date): readonly string[] {
  const { freshness } = facts
  const stale =
    freshness.stalenessMs === null
      ? (freshness.reason ?? 'unknown')
      : `${span(freshness.stalenessMs)} behind, target ${span(freshness.targetMs)}`
  const { sign, word } = stateWords[freshness.state]
  const link = (name: string, text: string): string => `  ${name.padEnd(10)}${text}`
  const lines = [
    `Why is ${bareName(freshness.view)} ${sign} ${word}, ${stale}?`,
    link('commit', commitText(freshness, now)),
    link('captured', behindText(facts.behind)),
    link('queued', requestText(facts, now)),
    ...(freshness.waitingFor === null ? [] : [link('waits', `for ${freshness.waitingFor}`)]),
    link('ran', runText(facts.last, now)),
  ]
  return lines
}

const ago = (at: Date, now: Date): string => `${span(now.getTime() - at.getTime())} ago`

function commitText(freshness: Freshness, now: Date): string {
  const oldest = freshness.oldestUnreflectedAt
  return oldest === null
    ? 'every commit is reflected'
    : `the oldest that is not reflected came ${ago(oldest, now)}`
}

function behindText(behind: readonly Behind[]): string {
  const open = behind.filter(({ commits }) => commits > 0)
  if (open.length === 0) return 'nothing in the change logs that is not reflected'
  const counts = open.map(
    ({ source, commits }) => `${grouped(commits)} to ${source.replace(/^public\./, '')}`,
  )
  return `commits that are not reflected: ${counts.join(', ')}`
}

function requestText(facts: WhyFacts, now: Date): string {
  const { request, freshness } = facts
  if (request?.status === 'running') {
    return `asked ${ago(request.requested_at, now)} (${request.triggered_by}), running now`
  }
  if (request !== null) {
    return `asked ${ago(request.requested_at, now)} (${request.triggered_by}), waits for a worker`
  }
  return freshness.policy === 'eager'
    ? 'not yet: the next look asks, within a quarter of a second'
    : 'not yet: policy deadline refreshes as late as the target allows'
}

function runText(last: LastRun | null, now: Date): string {
  if (last === null) return 'never'
  const waited = last.started_at.getTime() - last.requested_at.getTime()
  const took = last.duration_ms === null ? '' : `, took ${tookText(last.duration_ms)}`
  const rows =
    last.rows_inserted === null
      ? ''
      : `: +${grouped(last.rows_inserted)} ~${grouped(last.rows_updated ?? 0)} −${grouped(last.rows_deleted ?? 0)} rows`
  const compared =
    last.differing === null
      ? ''
      : last.differing === 0
        ? ', compared: equal'
        : `, compared: ${grouped(last.differing)} rows DIFFER`
  return `run ${last.run_id} (${last.triggered_by}) ${last.status} ${ago(last.started_at, now)}, waited ${tookText(waited)}${took}${rows}${compared}`
}
