import { must } from '../base/assert.ts'
import { formatSize } from '../base/size.ts'
import type { RelationName } from '../model/ids.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import { indexedRowsMin } from '../model/index-proposal.ts'
import type { Plan, PlanStep } from '../model/plan.ts'
import { literal } from '../postgres/identifier.ts'
import type { Actual, CatalogueRow, Measures } from './actual.ts'
import { catalogDigest } from './actual.ts'
import type { Row } from './catalogue-rows.ts'
import { differing, upsert } from './catalogue-rows.ts'
import { cacheSteps, forgetCaches } from './cache-steps.ts'
import { forgetTableCaches, tableCacheSteps } from './table-cache-steps.ts'
import type { Desired, DesiredEvent, DesiredSchedule, DesiredView } from './desired.ts'
import { inOrder, placeViews } from './groups.ts'
import { grantSteps } from './privileges.ts'
import { byPresentNames, renamedViews, renameStep } from './renamed-views.ts'
import { captureSteps, releaseSteps, renameSources } from './source-steps.ts'
import { laneNumbers } from './view-catalogue.ts'
import { changeSteps } from './view-change.ts'
import {
  adoptionWarnings,
  adoptStep,
  createStep,
  refuseTaken,
  restoreOf,
  takeOverStep,
} from './view-create.ts'
import { dropSteps } from './view-drop.ts'
import type { Progress } from './view-steps.ts'
import { stepOf } from './view-steps.ts'

/**
 * What has to be done so that what is there becomes what shall be.
 *
 * Pure. Guarantees: nothing to do gives no steps but warnings; steps come in an order in which each
 * finds what it needs, and the catalogue is true after every one of them, so that a plan that was
 * broken off is finished by the next. Formatting of SQL is no change.
 * Throws what makes a plan impossible: circles, names that are taken, dependents that cannot move.
 */
export function diff(desired: Desired, found: Actual, measures: Measures): Plan {
  const renamedSources = renameSources(desired.sources, found)
  const names = renamedViews(
    found,
    desired.views.map(({ compiled }) => compiled.name),
  )
  const actual = byPresentNames(renamedSources.actual, names)
  const places = placeViews(
    desired.views.map(({ declaration, compiled }) => ({
      name: compiled.name,
      group: declaration.group,
      inputs: compiled.query.inputs,
    })),
  )
  const surplus = surplusRows(desired, actual)
  const progress: Progress = {
    actual,
    measures,
    views: new Map(desired.views.map((view) => [view.compiled.name, view])),
    places,
    gone: new Set(),
    declared: new Set(actual.catalogue.view.map(({ name }) => String(name) as RelationName)),
    waiting: new Map(),
    lostFallbacks: new Set(),
    following: readersOfGivenBack(desired, surplus.views),
    renamedSources: renamedSources.names,
    renamedViews: names,
  }
  const viewsOf = (following: boolean): readonly PlanStep[] => {
    const isWanted = (name: RelationName): boolean => progress.following.has(name) === following
    return [
      ...viewSteps(desired, progress, isWanted),
      ...desired.schedules
        .filter(({ view }) => isWanted(view))
        .flatMap((schedule) => scheduleSteps(schedule, actual)),
      ...desired.events
        .filter(({ view }) => isWanted(view))
        .flatMap((event) => eventSteps(event, actual)),
    ]
  }
  return {
    version: 1,
    catalog: catalogDigest(found),
    relations: found.scope,
    steps: [
      ...schemaSteps(desired, actual),
      ...settingSteps(desired, actual),
      ...renamedSources.steps,
      ...captureSteps(desired.sources, actual),
      ...viewsOf(false),
      ...desired.caches.flatMap((cache) => cacheSteps(cache, actual)),
      ...grantSteps(desired, actual),
      ...desired.cacheTables.flatMap((cache) => tableCacheSteps(cache, actual)),
      ...forgetCaches(desired.caches, actual),
      ...forgetTableCaches(desired.cacheTables, actual),
      ...surplus.schedules.map((row) => forgetStep('schedule', row)),
      ...surplus.events.map((row) => forgetStep('event', row)),
      ...leavingRenamed(surplus.views, progress),
      ...dropSteps(surplus.views, progress),
      ...viewsOf(true),
      ...releaseSteps(desired.sources, actual),
      ...warnings(desired, measures),
    ],
    feasibility: desired.feasibility,
    indexes: missingIndexes(desired).map(({ index }) => index),
  }
}

/**
 * Views over one that is given back, and their readers: what they are kept by is bound to the materialized view that it becomes.
 */
function readersOfGivenBack(
  { views }: Desired,
  leaving: readonly CatalogueRow[],
): ReadonlySet<RelationName> {
  const names = new Set(leaving.map(({ name }) => String(name)))
  const found = new Set<RelationName>()
  for (const { name, inputs, view } of inOrder(views.map(readingView))) {
    const read = [...inputs, ...view.compiled.query.copied.map((each) => each.name)]
    if (!read.some((each) => names.has(each))) continue
    found.add(name)
    names.add(name)
  }
  return found
}

const readingView = (view: DesiredView) => ({
  name: view.compiled.name,
  inputs: view.compiled.query.inputs,
  view,
})

/** Views that leave under another name than the catalogue has. */
const leavingRenamed = (
  leaving: readonly CatalogueRow[],
  { renamedViews: names, actual }: Progress,
): readonly PlanStep[] =>
  [...names].flatMap(([now, former]) =>
    leaving
      .filter(({ name }) => name === now)
      .map((row) => renameStep(now, former, row['presentation'], actual)),
  )

/** Exit status of `plan`: 0 when there is nothing to do, 2 when there is; warnings are nothing to do. */
export const planExitCode = (plan: Plan): 0 | 2 =>
  plan.steps.every(({ kind }) => kind === 'warn') ? 0 : 2

function schemaSteps(desired: Desired, actual: Actual): readonly PlanStep[] {
  const { migrations } = desired
  const newest = migrations.at(-1)
  const migrating =
    newest === undefined
      ? []
      : [
          stepOf({
            kind: actual.version === null ? 'create' : 'change',
            noun: 'schema',
            name: 'tidemark',
            detail:
              actual.version === null
                ? `schemas tidemark and tidemark_state, version ${newest.number}`
                : `version ${actual.version} → ${newest.number}`,
            expectedMs: 200,
            sql: [
              ...migrations.map(({ sql }) => sql.trimEnd().replace(/;$/, '')),
              ...(actual.version === null ? ['select tidemark.renew_installation()'] : []),
            ],
          }),
        ]
  if (actual.installationProblem === null || actual.version === null) return migrating
  return [
    ...migrating,
    stepOf({
      kind: 'change',
      noun: 'schema',
      name: 'tidemark',
      detail: `${actual.installationProblem.replace(/; run tidemark apply$/, '')}; everything is computed anew`,
      sql: [
        'select tidemark.renew_installation()',
        `select tidemark.enqueue(g.name, 'manual', 'apply', 1::smallint, now(), true) from tidemark.refresh_group g`,
      ],
    }),
  ]
}

const settingText = (name: string, value: string): string =>
  name.endsWith('_bytes') ? formatSize(Number(value)) : value

function settingSteps(desired: Desired, actual: Actual): readonly PlanStep[] {
  return Object.entries(desired.settings).flatMap(([name, value]) => {
    const row = actual.catalogue.setting.find((setting) => setting['name'] === name)
    if (row?.['value'] === value) return []
    return [
      stepOf({
        kind: row === undefined ? 'create' : 'change',
        noun: 'setting',
        name,
        detail:
          row === undefined
            ? settingText(name, value)
            : `${settingText(name, String(row['value']))} → ${settingText(name, value)}`,
        sql: [upsert('setting', { name, value }, ['name'])],
      }),
    ]
  })
}

/**
 * Adoptions come first, readers before what they read: a materialized view that reads another is a
 * view on its own table by then, and need not be dropped and filled again with the other. Then
 * everything else, inputs first.
 */
function viewSteps(
  desired: Desired,
  progress: Progress,
  isWanted: (name: RelationName) => boolean,
): readonly PlanStep[] {
  const { actual } = progress
  const order = inOrder(desired.views.map(readingView)).filter(({ name }) => isWanted(name))
  const rows = new Map<string, CatalogueRow>(
    actual.catalogue.view.map((row) => [String(row['name']), row]),
  )
  const adopted: PlanStep[] = []
  const rest: DesiredView[] = []
  for (const { name, view } of order.toReversed()) {
    const tree = actual.relations.get(name)
    if (rows.has(name)) {
      rest.unshift(view)
      continue
    }
    refuseTaken(view, tree)
    if (tree === undefined) rest.unshift(view)
    else if (view.declaration.as === 'matview') rest.unshift(view)
    else {
      adopted.push(adoptStep(view, tree, progress, restoreOf(tree.relation)))
      adopted.push(...adoptionWarnings(view))
    }
  }
  const others = rest.flatMap((view) => {
    const row = rows.get(view.compiled.name)
    if (row !== undefined) return changeSteps(view, row, progress)
    const tree = actual.relations.get(view.compiled.name)
    return [tree === undefined ? createStep(view, progress) : takeOverStep(view, tree, progress)]
  })
  return [...adopted, ...others]
}

function scheduleSteps(
  { view, declaration, digest }: DesiredSchedule,
  actual: Actual,
): readonly PlanStep[] {
  const { name, cron, zone, businessHours, catchUpWithinMs, lane, force } = declaration
  const row: Row = {
    name,
    view,
    cron,
    zone,
    business_hours: businessHours === null ? null : { json: businessHours },
    catch_up: intervalText(catchUpWithinMs),
    lane: laneNumbers[lane],
    force,
    digest,
  }
  const found = actual.catalogue.schedule.find((schedule) => schedule['name'] === name)
  if (differing(row, found).length === 0) return []
  return [
    stepOf({
      kind: found === undefined ? 'create' : 'change',
      noun: 'schedule',
      name,
      detail: `${cron} ${zone}${businessHours === null ? '' : ' within business hours'}, refreshes ${view}`,
      sql: [upsert('schedule', row, ['name'])],
    }),
  ]
}

/** A span as PostgreSQL prints it in JSON. */
function intervalText(ms: number): string {
  const two = (number: number): string => String(number).padStart(2, '0')
  const seconds = Math.floor(ms / 1000)
  const rest = ms % 1000 === 0 ? '' : `.${String(ms % 1000).padStart(3, '0')}`.replace(/0+$/, '')
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${rest}`
}

function eventSteps(
  { view, declaration, condition }: DesiredEvent,
  actual: Actual,
): readonly PlanStep[] {
  const { name, source, when, on, lane, batchMs } = declaration
  const row: Row = {
    name,
    view,
    source,
    condition,
    changes: on,
    lane: laneNumbers[lane],
    batch_ms: batchMs,
  }
  const found = actual.catalogue.event_rule.find((rule) => rule['name'] === name)
  if (differing(row, found).length === 0) return []
  return [
    stepOf({
      kind: found === undefined ? 'create' : 'change',
      noun: 'event',
      name,
      detail: `${on.join(' or ')} on ${source}${when === 'true' ? '' : ` when ${when}`} refreshes ${view} (${lane})`,
      sql: [upsert('event_rule', row, ['name'])],
    }),
  ]
}

interface Surplus {
  readonly schedules: readonly CatalogueRow[]
  readonly events: readonly CatalogueRow[]
  readonly views: readonly CatalogueRow[]
}

/** What the catalogue has and nobody declares any more; what goes with its view is not told apart. */
function surplusRows(desired: Desired, { catalogue }: Actual): Surplus {
  const views = new Set<unknown>(desired.views.map(({ compiled }) => compiled.name))
  const schedules = new Set<unknown>(desired.schedules.map(({ declaration }) => declaration.name))
  const events = new Set<unknown>(desired.events.map(({ declaration }) => declaration.name))
  return {
    schedules: catalogue.schedule.filter(
      (row) => views.has(row['view']) && !schedules.has(row['name']),
    ),
    events: catalogue.event_rule.filter(
      (row) => views.has(row['view']) && !events.has(row['name']),
    ),
    views: catalogue.view.filter(({ name }) => !views.has(name)),
  }
}

function forgetStep(noun: 'schedule' | 'event', row: CatalogueRow): PlanStep {
  const name = String(row['name'])
  const table = noun === 'schedule' ? 'schedule' : 'event_rule'
  return stepOf({
    kind: 'drop',
    noun,
    name,
    detail: `no longer declared; ${String(row['view'])} stays`,
    sql: [`delete from tidemark.${table} where name = ${literal(name)}`],
  })
}

function warnings(desired: Desired, measures: Measures): readonly PlanStep[] {
  return [
    ...uncapturedWarnings(desired),
    ...indexWarnings(desired),
    ...jobWarnings(desired, measures),
  ]
}

/** Tables whose changes cannot be known, and what becomes of the views over them. */
const uncapturedWarnings = ({ uncapturable, views }: Desired): readonly PlanStep[] =>
  [...uncapturable].map(([name, why]) => {
    const readers = views
      .filter(({ compiled }) => compiled.query.uncaptured.includes(name))
      .map(({ compiled }) => compiled.name)
    return stepOf({
      kind: 'warn',
      noun: 'source',
      name,
      detail: `the state of ${readers.join(', ')} is unknown: ${why}`,
      sql: [],
    })
  })

/** An index that is missing, and the views whose refreshes would use it. */
interface MissingIndex {
  readonly index: IndexProposal
  readonly views: readonly RelationName[]
}

/** Indexes that refreshes would look rows up by, of tables in which that matters. */
function missingIndexes({ views }: Desired): readonly MissingIndex[] {
  const proposals = new Map<string, MissingIndex>()
  for (const { compiled, indexes } of views) {
    for (const index of indexes) {
      const found = proposals.get(index.sql) ?? { index, views: [] }
      proposals.set(index.sql, { ...found, views: [...found.views, compiled.name] })
    }
  }
  return [...proposals.values()].filter(({ index }) => (index.rows ?? 0) > indexedRowsMin)
}

/** Nobody's tables are indexed unasked; how to ask is said. */
const indexWarnings = (desired: Desired): readonly PlanStep[] =>
  missingIndexes(desired).map(({ index, views }) =>
    stepOf({
      kind: 'warn',
      noun: 'index',
      name: `${index.table} (${index.columns.join(', ')})`,
      detail: `would be looked up by refreshes of ${views.join(', ')} (${index.uses.join('; ')}), and no index serves it; 'tidemark apply --create-indexes' makes it, as would: ${index.sql}`,
      sql: [],
    }),
  )

/** Other people's jobs that refresh what is a view or a table now. */
function jobWarnings(desired: Desired, measures: Measures): readonly PlanStep[] {
  return measures.cronJobs.flatMap(({ id, command }) => {
    const bare = (name: RelationName): string => must(name.split('.')[1], 'a name has two parts')
    const view = desired.views.find(
      ({ declaration, compiled }) =>
        declaration.as !== 'matview' &&
        new RegExp(`\\b${escaped(bare(compiled.name))}\\b`).test(command),
    )
    if (view === undefined) return []
    return [
      stepOf({
        kind: 'warn',
        noun: 'view',
        name: view.compiled.name,
        detail: `pg_cron job ${id} refreshes it (${command.trim()}) and will fail; unschedule it: select cron.unschedule(${id});`,
        sql: [],
      }),
    ]
  })
}

const escaped = (text: string): string => text.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&')
