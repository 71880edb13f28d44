import type { RelationName } from '../model/ids.ts'
import { partsOf, relationOf } from '../model/ids.ts'
import { objectName } from '../model/names.ts'
import type { PlanStep } from '../model/plan.ts'
import { identifier, literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import type { Actual, Artifact, CatalogueRow } from './actual.ts'
import { noteArtifact } from './catalogue-rows.ts'
import type { DesiredView } from './desired.ts'
import { targetName } from './recreate.ts'
import { declaredIndexes, dropGuard, dropLiveView, dropParts, viewObjects } from './view-objects.ts'
import { stepOf } from './view-steps.ts'
import { keyName, unfollowState } from './view-table.ts'

/** Maintained views that somebody gave another name: what each is called now, to what the catalogue calls it. */
export type RenamedViews = ReadonlyMap<RelationName, RelationName>

/**
 * Views that are called otherwise than the catalogue says, and are not declared by the name that it says. In a copied database
 * nobody knows.
 */
export function renamedViews(actual: Actual, declared: readonly RelationName[]): RenamedViews {
  if (actual.installationProblem !== null) return new Map()
  const known = new Set(actual.catalogue.view.map(({ name }) => String(name)))
  const kept = new Set<string>(declared)
  return new Map(
    actual.catalogue.view.flatMap((row) => {
      const [former, now] = [nameIn(row, 'name'), nameIn(row, 'called_now')]
      const renamed =
        former !== null && now !== null && !kept.has(former) && !known.has(now) && now !== former
      return renamed ? [[now, former]] : []
    }),
  )
}

function nameIn(row: CatalogueRow, column: string): RelationName | null {
  const text = row[column]
  return typeof text === 'string' ? relationOf(text) : null
}

/** What there would be if views had the names in the catalogue that they have now: see {@link renameView}. */
export function byPresentNames(actual: Actual, names: RenamedViews): Actual {
  if (names.size === 0) return actual
  const { catalogue } = actual
  const now = new Map<unknown, RelationName>([...names].map(([name, former]) => [former, name]))
  const renamed =
    (...columns: readonly string[]) =>
    (row: CatalogueRow): CatalogueRow => ({
      ...row,
      ...Object.fromEntries(columns.map((column) => [column, now.get(row[column]) ?? row[column]])),
    })
  return {
    ...actual,
    catalogue: {
      ...catalogue,
      view: catalogue.view.map(renamed('name')),
      view_source: catalogue.view_source.map(renamed('view')),
      view_input: catalogue.view_input.map(renamed('view', 'input')),
      schedule: catalogue.schedule.map(renamed('view')),
      event_rule: catalogue.event_rule.map(renamed('view')),
    },
    artifacts: actual.artifacts.flatMap((artifact) => {
      const name = artifact.ownerNoun === 'view' ? now.get(artifact.ownerName) : undefined
      return name === undefined ? [artifact] : keptOf(artifact, name)
    }),
    liveQueries: new Map(
      [...actual.liveQueries].map(([view, sql]) => [now.get(view) ?? view, sql]),
    ),
  }
}

/** What stays of a renamed view: the rows, what shows them, and indexes. Everything else is made anew. */
function keptOf(artifact: Artifact, now: RelationName): readonly Artifact[] {
  const former = relationOf(artifact.ownerName)
  const places = new Map([
    [targetName(viewObjects(former).state), targetName(viewObjects(now).state)],
    [qualifiedName(former), qualifiedName(now)],
    [keyName(former), keyName(now)],
  ])
  const name = places.get(artifact.name)
  const kept = { ...artifact, ownerName: now }
  if (artifact.kind === 'index') return [kept]
  if (name === undefined || artifact.kind === 'function') return []
  return [
    {
      ...kept,
      name,
      restore: artifact.restore.length === 0 ? [] : [...artifact.restore, ...moved(former, now)],
      exists: artifact.kind !== 'guard',
    },
  ]
}

/** The way back makes a materialized view by the name that it had when it was adopted. */
function moved(former: RelationName, now: RelationName): readonly string[] {
  const [from, to] = [partsOf(former), partsOf(now)]
  const alter = 'alter materialized view'
  return [
    ...(from.schema === to.schema
      ? []
      : [`${alter} ${qualifiedName(former)} set schema ${identifier(to.schema)}`]),
    ...(from.name === to.name
      ? []
      : [`${alter} ${qualified(to.schema, from.name)} rename to ${identifier(to.name)}`]),
  ]
}

/**
 * Gives what Tidemark has of a view the name that the view has now. The rows stay under it, for who reads; the program and its
 * stages go, and the step that makes them anew has to follow. `actual` is as {@link byPresentNames} gives it.
 */
export function renameView(
  now: RelationName,
  former: RelationName,
  presentation: unknown,
  actual: Actual,
): readonly string[] {
  const { state, signature } = viewObjects(former)
  const kept = actual.artifacts.filter(({ ownerName }) => ownerName === now)
  const key = kept.some(({ kind }) => kind === 'key')
  const [from, to] = [literal(former), literal(now)]
  return [
    ...dropLiveView(former),
    dropParts(former),
    `drop function if exists ${signature}`,
    ...(presentation === 'table' ? [...unfollowState(former), dropGuard(qualifiedName(now))] : []),
    ...(presentation === 'matview'
      ? []
      : [
          `alter table ${targetName(state)} rename to ${identifier(viewObjects(now).state.relation)}`,
          dropGuard(targetName(viewObjects(now).state)),
        ]),
    ...(key && keyOf(former) !== keyOf(now)
      ? [`alter table ${qualifiedName(now)} rename constraint ${keyOf(former)} to ${keyOf(now)}`]
      : []),
    `update tidemark.view set name = ${to} where name = ${from}`,
    `update tidemark.run set view = ${to} where view = ${from}`,
    `delete from tidemark.definition where view = ${from}`,
    `delete from tidemark.artifact where owner_noun = 'view' and owner_name = ${from}`,
    ...kept.map((artifact) => noteArtifact(artifact)),
  ]
}

const keyOf = (view: RelationName): string => identifier(objectName(`${partsOf(view).name}_pkey`))

/** Declared indexes by the names that the present name of their view gives them. */
export function renameIndexes(
  desired: DesiredView,
  former: RelationName,
  actual: Actual,
): { readonly sql: readonly string[]; readonly actual: Actual } {
  const now = desired.compiled.name
  const before = declaredIndexes({ ...desired, compiled: { ...desired.compiled, name: former } })
  const pairs = declaredIndexes(desired).flatMap((index, at) => {
    const old = before[at]
    const made = actual.artifacts.find(
      ({ kind, name, ownerName }) => kind === 'index' && ownerName === now && name === old?.name,
    )
    return made === undefined || old === undefined ? [] : [{ made, old, index }]
  })
  const names = new Map(pairs.map(({ made, index }) => [made, index.name]))
  return {
    sql: pairs
      .filter(({ old, index }) => old.bare !== index.bare)
      .map(
        ({ old, index }) =>
          `alter index ${qualified(index.schema, old.bare)} rename to ${identifier(index.bare)}`,
      ),
    actual: {
      ...actual,
      artifacts: actual.artifacts.map((artifact) => {
        const name = names.get(artifact)
        return name === undefined ? artifact : { ...artifact, name, exists: true }
      }),
    },
  }
}

/** A view that is no longer declared has the name first that it is called by, and goes then. */
export const renameStep = (
  now: RelationName,
  former: RelationName,
  presentation: unknown,
  actual: Actual,
): PlanStep =>
  stepOf({
    kind: 'change',
    noun: 'view',
    name: now,
    detail: `${former} is called ${now} now`,
    sql: renameView(now, former, presentation, actual),
  })
