import { captureProgram } from '../capture/program.ts'
import { readSourceShapes } from '../capture/shape.ts'
import { bindEventCondition } from '../compile/event-condition.ts'
import { parseQuery } from '../compile/syntax/parse.ts'
import type { Actual, Measures } from '../define/actual.ts'
import { catalogDigest } from '../define/actual.ts'
import type { ApplyOptions } from '../define/apply.ts'
import { applyPlan } from '../define/apply.ts'
import type { WrittenQuery } from '../define/canonicalise.ts'
import { canonicalise, canonicaliseAll, canonicaliseExisting } from '../define/canonicalise.ts'
import type { Desired, DesiredEvent, DesiredSource, DesiredView } from '../define/desired.ts'
import { destroyPlan } from '../define/destroy.ts'
import { diff } from '../define/diff.ts'
import { placeViews } from '../define/groups.ts'
import { readAskedIndexes } from '../define/index-look.ts'
import type { Scope } from '../define/introspect.ts'
import { estimateMs, introspect, introspectAlso, measure } from '../define/introspect.ts'
import { isInstalled, pendingMigrations } from '../define/migrate.ts'
import type { Populated, PopulateOptions } from '../define/populate.ts'
import { populate } from '../define/populate.ts'
import { refuseMissingPrivileges } from '../define/privileges.ts'
import { byPresentNames, renamedViews } from '../define/renamed-views.ts'
import { settingsOf, sourcesOf } from '../define/view-catalogue.ts'
import type { BoundEvent, SourceShape } from '../model/capture.ts'
import type { Configuration, EventDeclaration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { Feasibility, Plan } from '../model/plan.ts'
import type { CanonicalQuery } from '../model/view.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import { checkCron } from '../schedule/cron-slots.ts'
import { feasibilityOf } from '../schedule/feasibility.ts'
import { scheduleDigest } from '../schedule/slot-ledger.ts'
import type { ViewInMaking } from './compile-views.ts'
import { compileViews } from './compile-views.ts'
import { cachedTables, journalsOf } from './journals.ts'
import { extendSlots } from './extend-slots.ts'
import { tableCachesOf } from './table-caches.ts'
import { placed } from './placed.ts'
import { throwNamed } from './renamed-hint.ts'

/**
 * Plans a configuration: config → what is there → canonical queries → compiled views → captured
 * sources → plan. Changes nothing; all of it is seen at one snapshot.
 * Throws the fault of whatever cannot be planned, each with its code and its mend.
 */
export async function planConfiguration(
  database: Database,
  configuration: Configuration,
  now: Date = new Date(),
): Promise<Plan> {
  checkSchedules(configuration, now)
  return database.transaction(
    async (transaction) => {
      const migrations = await pendingMigrations(transaction)
      const events = eventsOf(configuration)
      const { before, shapes, refused, views } = await compileConfiguration(
        transaction,
        configuration,
      )
      const bound = await boundEvents(events, shapes)
      const actual = await introspectAlso(transaction, before, [...shapes.keys()])
      const measures = await measuresOf(transaction, actual, views)
      const desired: Desired = {
        migrations,
        sources: desiredSources(configuration, { views, shapes, events: bound }),
        views,
        schedules: schedulesOf(configuration),
        events: bound,
        caches: await journalsOf(transaction, configuration, { shapes, views }),
        cacheTables: await tableCachesOf(transaction, configuration, shapes),
        settings: settingsOf(configuration),
        uncapturable: refused,
        runtimeRole: configuration.runtimeRole,
        readerRoles: configuration.readerRoles,
        feasibility: judge(configuration, views, measures),
      }
      const plan = diff(desired, actual, measures)
      if (plan.steps.length > 0) await refuseMissingPrivileges(transaction, desired, actual)
      return plan
    },
    { isolation: 'repeatable read', jit: false },
  )
}

/** Compiles every view of a configuration, as at this moment. Leaves nothing in the database. */
export async function compileConfiguration(
  transaction: Queryable,
  configuration: Configuration,
): Promise<{
  /** What there was of the declared names. */
  readonly before: Actual
  readonly views: readonly ViewInMaking[]
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
  readonly refused: ReadonlyMap<RelationName, string>
}> {
  const before = await introspect(transaction, declaredRelations(configuration))
  const declared = configuration.views.map(({ name }) => name)
  const named = byPresentNames(before, renamedViews(before, declared))
  const queries = await canonicalQueries(transaction, configuration, named).catch(
    (error: unknown) => throwNamed(error, before),
  )
  const { shapes, refused } = await shapesOf(transaction, configuration, queries)
  const views = await compileViews(transaction, configuration, { queries, before, shapes, refused })
  return { before, shapes, refused, views }
}

export { createIndexes } from '../define/create-indexes.ts'
export type { IndexOutcome, IndexProgress } from '../define/create-indexes.ts'

/** Plans the removal of everything, so that the database is as it was found. */
export async function planDestroy(database: Database): Promise<Plan> {
  return lookAt(database, [], async (transaction, actual) => {
    const views = actual.catalogue.view.map(({ name }) => String(name) as RelationName)
    const measures = await measure(transaction, actual)
    return destroyPlan(actual, measures, await readAskedIndexes(transaction, views))
  })
}

/** Choices of {@link apply}. */
export interface ApplyAndPopulateOptions extends Omit<ApplyOptions, 'catalogNow'> {
  /** Leave the first refreshes to the engine. */
  readonly populate?: boolean
  readonly onPopulate?: NonNullable<PopulateOptions['onProgress']>
}

/**
 * Applies a plan, and fills the views that it made or changed.
 *
 * Guarantees: a plan made against another catalog is refused and changes nothing; what was broken off
 * is finished by planning and applying again. A first refresh that fails is told in the result: the
 * view is there, and the engine tries again.
 */
export async function apply(
  database: Database,
  plan: Plan,
  options: ApplyAndPopulateOptions = {},
): Promise<readonly Populated[]> {
  const catalogNow = (): Promise<string> =>
    lookAt(database, plan.relations, (_, actual) => Promise.resolve(catalogDigest(actual)))
  await applyPlan(database, plan, { ...options, catalogNow })
  if (!(await isInstalled(database))) return []
  await extendSlots(database, new Date())
  if (options.populate === false) return []
  return populate(database, {
    ...(options.onPopulate === undefined ? {} : { onProgress: options.onPopulate }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
}

const plansMax = 3

/**
 * Plans a configuration and applies the plan; plans again when somebody else applied in between.
 * `onPlan` is shown each plan before it is applied.
 */
export async function applyConfiguration(
  database: Database,
  configuration: Configuration,
  options: ApplyAndPopulateOptions & { readonly onPlan?: (plan: Plan) => void } = {},
): Promise<readonly Populated[]> {
  for (let attempt = 1; ; attempt += 1) {
    const plan = await planConfiguration(database, configuration)
    options.onPlan?.(plan)
    try {
      return await apply(database, plan, options)
    } catch (error) {
      const stale = error instanceof TidemarkError && error.code === 'TIDEMARK_PLAN_STALE'
      if (!stale || attempt === plansMax) throw error
    }
  }
}

function lookAt<Result>(
  database: Database,
  scope: Scope,
  body: (transaction: Queryable, actual: Actual) => Promise<Result>,
): Promise<Result> {
  return database.transaction(
    async (transaction) => body(transaction, await introspect(transaction, scope)),
    { isolation: 'repeatable read', readOnly: true, jit: false },
  )
}

function checkSchedules(configuration: Configuration, now: Date): void {
  for (const { declaration } of schedulesOf(configuration)) checkCron(declaration, now)
}

const schedulesOf = (configuration: Configuration): Desired['schedules'] =>
  configuration.views.flatMap(({ name, schedules }) =>
    schedules.map((declaration) => ({
      view: name,
      declaration,
      digest: scheduleDigest(declaration),
    })),
  )

interface ViewEvent {
  readonly view: RelationName
  readonly declaration: EventDeclaration
}

const eventsOf = (configuration: Configuration): readonly ViewEvent[] =>
  configuration.views.flatMap(({ name, events }) =>
    events.map((declaration) => ({ view: name, declaration })),
  )

const declaredRelations = (configuration: Configuration): Scope => [
  ...configuration.views.map(({ name }) => name),
  ...configuration.sources.map(({ name }) => name),
]

/** The queries of all views as the server understands them, in one look. */
async function canonicalQueries(
  transaction: Queryable,
  configuration: Configuration,
  actual: Actual,
): Promise<ReadonlyMap<RelationName, CanonicalQuery>> {
  // Also those that are about to leave: their state tables are not what a query reads.
  const leaving = actual.catalogue.view.map(({ name }) => String(name) as RelationName)
  const declared = [...new Set([...configuration.views.map(({ name }) => name), ...leaving])]
  const written: WrittenQuery[] = []
  const existing: RelationName[] = []
  for (const { name, definition } of configuration.views) {
    const stored = storedQuery(name, actual)
    if (definition.kind !== 'adopt') {
      await placed(name, () => parseQuery(definition.sql))
      written.push({ name, sql: definition.sql })
    } else if (stored === null) existing.push(name)
    else written.push({ name, sql: stored })
  }
  const queries = new Map(
    await canonicaliseAll(transaction, written, declared).catch((error: unknown) =>
      blame(transaction, { written, declared, error }),
    ),
  )
  for (const name of existing) {
    queries.set(name, await placed(name, () => canonicaliseExisting(transaction, name, declared)))
  }
  return queries
}

/** The query of an adopted view whose materialized view is no more; with the names that what it reads has now. */
function storedQuery(name: RelationName, actual: Actual): string | null {
  const row = actual.catalogue.view.find((view) => view['name'] === name)
  const stands = actual.relations.get(name)?.relation.kind === 'matview'
  return row === undefined || stands ? null : (actual.liveQueries.get(name) ?? String(row['query']))
}

interface Failing {
  readonly written: readonly WrittenQuery[]
  readonly declared: readonly RelationName[]
  readonly error: unknown
}

/** Throws the fault of all queries as that of the view that has it. */
async function blame(
  transaction: Queryable,
  { written, declared, error }: Failing,
): Promise<never> {
  if (!(error instanceof TidemarkError)) throw error
  for (const query of written) {
    await placed(query.name, async () => {
      const found = await canonicalise(transaction, query, declared).catch((own: unknown) => own)
      if (found instanceof TidemarkError && found.message === error.message) throw found
    })
  }
  throw error
}

interface Shapes {
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
  /** Tables in queries whose changes triggers cannot see, with the reason and the mend. */
  readonly refused: ReadonlyMap<RelationName, string>
}

/** The tables to capture: those that were named, and those that queries read. */
async function shapesOf(
  transaction: Queryable,
  configuration: Configuration,
  queries: ReadonlyMap<RelationName, CanonicalQuery>,
): Promise<Shapes> {
  const named = new Set([
    ...configuration.sources.map(({ name }) => name),
    ...configuration.views.flatMap(({ reads }) => reads ?? []),
    ...eventsOf(configuration).map(({ declaration }) => declaration.source),
    ...cachedTables(configuration).keys(),
  ])
  const read = [...queries.values()].flatMap(({ sources }) => sources.map((use) => use.relation))
  const all = [...new Set([...named, ...read])].sort()
  const { shapes, refused } = await readSourceShapes(transaction, all)
  const [fault] = [...refused].flatMap(([name, found]) => (named.has(name) ? [found] : []))
  if (fault !== undefined) throw fault
  const reasons = [...refused].map(([name, { what, mend }]) => [name, `${what}. ${mend}`] as const)
  return { shapes, refused: new Map(reasons) }
}

interface BoundViewEvent extends DesiredEvent {
  readonly columns: readonly string[]
}

async function boundEvents(
  events: readonly ViewEvent[],
  shapes: ReadonlyMap<RelationName, SourceShape>,
): Promise<readonly BoundViewEvent[]> {
  const bound: BoundViewEvent[] = []
  for (const { view, declaration } of events) {
    const { condition, columns } = await bindEventCondition({
      when: declaration.when,
      source: declaration.source,
      columns: shapes.get(declaration.source)?.columns ?? [],
      rule: `event '${declaration.name}' of ${view}`,
    })
    bound.push({ view, declaration, condition, columns })
  }
  return bound
}

interface Consumers {
  readonly views: readonly DesiredView[]
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
  readonly events: readonly BoundViewEvent[]
}

/** Each table with the columns that some view or rule needs; all of them where nobody says which. */
function desiredSources(
  configuration: Configuration,
  { views, shapes, events }: Consumers,
): readonly DesiredSource[] {
  const caches = cachedTables(configuration)
  return [...shapes.values()].map((shape) => {
    const keys = caches.get(shape.name)
    const uses = views.flatMap((view) => {
      const columns = sourcesOf(view).get(shape.name)
      const whole = view.declaration.reads?.includes(shape.name) === true
      return columns === undefined ? [] : [whole ? null : columns]
    })
    const rules = events.filter(({ declaration }) => declaration.source === shape.name)
    const whole =
      uses.includes(null) || (uses.length === 0 && rules.length === 0 && keys === undefined)
    const needed = new Set([
      ...uses.flatMap((use) => use ?? []),
      ...rules.flatMap((rule) => rule.columns),
      ...(keys ?? []),
    ])
    const columns = shape.columns.map(({ name }) => name)
    const capture = configuration.sources.find(({ name }) => name === shape.name)?.capture
    const wish = {
      shape,
      mode:
        capture === 'rows' ||
        (keys?.size ?? 0) > 0 ||
        views.some((view) => readsRows(view, shape.name))
          ? 'rows'
          : 'marks',
      columns: whole ? columns : columns.filter((name) => needed.has(name)),
      events: rules.map(({ declaration, condition }): BoundEvent => ({
        rule: declaration.name,
        on: declaration.on,
        condition,
      })),
      wakes: configuration.engine.idleAfterMs !== null,
      cached: keys !== undefined,
    } as const
    return { wish, program: captureProgram(wish) }
  })
}

/** Whether a view needs to know which rows of a table changed. */
const readsRows = ({ compiled }: DesiredView, source: RelationName): boolean =>
  compiled.incremental !== null &&
  compiled.query.sources.some(({ relation }) => relation === source)

/** What refreshes take: from the log, else by the planner's cost where the query may be planned by us. */
async function measuresOf(
  transaction: Queryable,
  actual: Actual,
  views: readonly DesiredView[],
): Promise<Measures> {
  const measures = await measure(transaction, actual)
  const unknown = views.filter(({ compiled }) => !measures.refreshMs.has(compiled.name))
  // Planning runs immutable functions, and those of another owner are not to run with our rights.
  const own = unknown.filter(({ compiled }) => {
    const owner = actual.relations.get(compiled.name)?.relation.owner
    return owner === undefined || owner === actual.role
  })
  const estimates = await estimateMs(
    transaction,
    own.map(({ compiled }) => compiled.query.sql),
  )
  const refreshMs = new Map<RelationName, number | null>([
    ...measures.refreshMs,
    ...unknown.map(({ compiled }) => [compiled.name, null] as const),
    ...own.map(({ compiled }, at) => [compiled.name, estimates[at] ?? null] as const),
  ])
  return { ...measures, refreshMs }
}

function judge(
  { engine }: Configuration,
  views: readonly DesiredView[],
  { refreshMs }: Measures,
): readonly Feasibility[] {
  const places = placeViews(
    views.map(({ declaration, compiled }) => ({
      name: compiled.name,
      group: declaration.group,
      inputs: compiled.query.inputs,
    })),
  )
  const costs = views.flatMap(({ declaration, compiled }) => {
    const place = places.get(compiled.name)
    if (place === undefined) return []
    return [
      {
        view: compiled.name,
        group: place.group,
        targetMs: Math.min(declaration.targetMs, declaration.businessTarget?.targetMs ?? Infinity),
        expectedMs: refreshMs.get(compiled.name) ?? null,
        policy: declaration.policy,
        budgetSecondsPerHour: declaration.budgetSecondsPerHour,
      },
    ]
  })
  return feasibilityOf(costs, engine.workers).views
}
