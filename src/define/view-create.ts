import { must } from '../base/assert.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { PlanStep } from '../model/plan.ts'
import { qualifiedName } from '../postgres/identifier.ts'
import type { RelationFacts, RelationTree } from './actual.ts'
import type { DesiredView } from './desired.ts'
import type { Placement } from './groups.ts'
import { forgetArtifact } from './catalogue-rows.ts'
import type { Target } from './recreate.ts'
import { statisticsOn, targetName } from './recreate.ts'
import { askForRefresh } from './view-catalogue.ts'
import {
  amongState,
  carriedOver,
  columnNames,
  copyState,
  createLiveView,
  createIndexes,
  createMaintain,
  createMatview,
  createPresentation,
  createState,
  guardTrigger,
  notePresentation,
  targetNamed,
  viewObjects,
  wayBack,
} from './view-objects.ts'
import type { Progress } from './view-steps.ts'
import {
  createTable,
  draftOf,
  draftTable,
  dressTable,
  nameDraft,
  ownIndexes,
} from './view-table.ts'
import { copyMs, declare, moveReaders, stepOf, told } from './view-steps.ts'

/** A view that is not there yet. Nothing is computed here: its first refresh fills it. */
export function createStep(desired: DesiredView, progress: Progress): PlanStep {
  const view = desired.compiled.name
  const place = placeOf(desired, progress)
  const { role } = progress.actual
  const columns = desired.compiled.query.columns.length
  return stepOf({
    kind: 'create',
    noun: 'view',
    name: view,
    detail: `${told(desired, place)}; ${columns} ${columns === 1 ? 'column' : 'columns'}`,
    expectedMs: progress.measures.refreshMs.get(view) ?? null,
    sql: amongState(role, progress.actual, [
      ...createObjects(desired, role, progress),
      ...declare(desired, place, false, progress),
      ...askForRefresh(place.group),
    ]),
  })
}

/** What is kept of a view that is made anew. */
interface Kept {
  /** The way back of an adopted view. */
  readonly restore: readonly string[]
  /** The user's table stays, with all that is on it. */
  readonly standing: boolean
}

/** Everything that a view is made of, but its declaration. */
export function createObjects(
  desired: DesiredView,
  owner: string,
  progress: Progress,
  { restore, standing }: Kept = { restore: [], standing: false },
): readonly string[] {
  const view = desired.compiled.name
  const { role, installer } = progress.actual
  const indexes = createIndexes(desired)
  const rows = {
    matview: () => createMatview(desired, owner, role),
    view: () => [
      ...createState(desired, owner, role),
      ...indexes,
      guardTrigger(view),
      ...createPresentation(desired, owner, role),
      ...notePresentation(desired, restore),
    ],
    table: () => [
      ...createState(desired, owner, role),
      guardTrigger(view),
      ...(standing ? [] : createTable(desired, owner, role)),
      ...indexes,
      ...dressTable(desired, owner, progress.actual, restore),
    ],
  }[desired.declaration.as]()
  return [
    ...rows,
    ...createMaintain(desired, owner, { role, installer }),
    ...createLiveView(desired, owner, role),
  ]
}

const indexesText = (count: number): string =>
  count === 0 ? '' : count === 1 ? '1 index, ' : `${String(count)} indexes, `

/**
 * A materialized view becomes a state table and a view of its name, or a table beside it.
 *
 * Rows are copied, so that readers find them at all times, older or not, until the first refresh has
 * written the difference. Readers of the materialized view are not blocked while it is copied; the
 * exclusive lock is held from the drop to the end of the transaction. The step is a transaction of its
 * own, so that no other step prolongs that.
 */
export function adoptStep(
  desired: DesiredView,
  tree: RelationTree,
  progress: Progress,
  restore: readonly string[],
): PlanStep {
  const matview = tree.relation
  const place = placeOf(desired, progress)
  const { role, installer } = progress.actual
  const readers = moveReaders(tree, progress)
  const pages = progress.measures.pages.get(matview.name) ?? 0
  const { build, present, kind } = adopted(desired, matview, progress, restore)
  // Its inputs may be adopted after it; the live view is then made with the last of them.
  const early = desired.compiled.query.inputs.every((input) => progress.declared.has(input))
  progress.gone.add(matview.name)
  return stepOf({
    kind: 'replace',
    noun: 'view',
    name: matview.name,
    detail: `materialized view becomes ${asWords[kind]}, ${told(desired, place)}; rows, columns, ${indexesText(matview.indexes.length)}comments and SELECT grants are carried over${readers.told}`,
    lock: `ACCESS EXCLUSIVE on ${matview.name}`,
    expectedMs: copyMs(kind === 'table' ? 2 * pages : pages),
    ownTransaction: true,
    sql: amongState(matview.owner, progress.actual, [
      ...copyState(matview, role, kind === 'view'),
      ...build,
      guardTrigger(matview.name),
      ...createMaintain(desired, matview.owner, { role, installer }),
      ...readers.drop,
      `drop materialized view ${qualifiedName(matview.name)}`,
      ...present,
      ...carriedOver(matview, columnNames(desired), kind),
      // They go with the materialized view.
      ...statisticsOn(matview, presentedAt(matview.name, kind), role),
      ...readers.again,
      ...(early ? createLiveView(desired, matview.owner, role) : []),
      ...declare(desired, place, restore.length > 0, progress),
      ...askForRefresh(place.group),
    ]),
  })
}

/** What the name of a maintained view is, in words of a plan. */
export const asWords = {
  view: 'a view on a state table',
  table: 'a table',
  matview: 'a materialized view',
} as const

/** Where indexes and statistics go, of what is read under the name of a view. */
const presentedAt = (view: RelationName, kind: 'view' | 'table'): Target =>
  kind === 'view' ? viewObjects(view).state : targetNamed(view, 'table')

/** What is made of an adopted materialized view, before its name is free and after. */
function adopted(
  desired: DesiredView,
  matview: RelationFacts,
  { actual }: Progress,
  restore: readonly string[],
): {
  readonly build: readonly string[]
  readonly present: readonly string[]
  readonly kind: 'view' | 'table'
} {
  const { owner, name: view } = matview
  if (desired.declaration.as !== 'table') {
    return {
      kind: 'view',
      build: createIndexes(desired),
      present: [
        ...createPresentation(desired, owner, actual.role),
        ...notePresentation(desired, restore),
      ],
    }
  }
  // Of a materialized view that was declared before, the indexes have the names.
  const declared = actual.artifacts.filter(
    ({ kind, ownerName }) => kind === 'index' && ownerName === view,
  )
  const before = ownIndexes(matview, declared)
  const taken = declared.length > 0
  return {
    kind: 'table',
    build: [
      ...draftTable(before, actual.role),
      ...(taken ? [] : createIndexes(desired, targetName(draftOf(view)))),
    ],
    present: [
      ...nameDraft(before),
      ...declared.map(({ kind, name }) => forgetArtifact(kind, name)),
      ...(taken ? createIndexes(desired) : []),
      ...dressTable(desired, owner, actual, restore),
    ],
  }
}

/** What `adopt` keeps to give the materialized view back. */
export const restoreOf = (matview: RelationFacts): readonly string[] => wayBack(matview)

/** A materialized view is refreshed by Tidemark and otherwise left as it is. */
export function takeOverStep(
  desired: DesiredView,
  tree: RelationTree,
  progress: Progress,
): PlanStep {
  const place = placeOf(desired, progress)
  const { role, installer } = progress.actual
  const { relation } = tree
  return stepOf({
    kind: 'create',
    noun: 'view',
    name: relation.name,
    detail: `materialized view stays as it is, ${told(desired, place)}`,
    expectedMs: progress.measures.refreshMs.get(relation.name) ?? null,
    sql: amongState(relation.owner, progress.actual, [
      ...createIndexes(desired),
      ...createMaintain(desired, relation.owner, { role, installer }),
      ...createLiveView(desired, relation.owner, role),
      ...declare(desired, place, true, progress),
      ...askForRefresh(place.group),
    ]),
  })
}

/** What the plan says of an adoption, because nobody else will. */
export function adoptionWarnings(desired: DesiredView): readonly PlanStep[] {
  const name = desired.compiled.name
  return [
    stepOf({
      kind: 'warn',
      noun: 'view',
      name,
      detail: `will be an ordinary ${desired.declaration.as}: pg_matviews no longer lists it, REFRESH MATERIALIZED VIEW on it fails, and tools that introspect the schema (ORMs, migration tools) see a ${desired.declaration.as}; tidemark destroy gives the materialized view back`,
      sql: [],
    }),
  ]
}

/** What holds the name of a view that is to be created, or to be adopted. */
export function refuseTaken(desired: DesiredView, tree: RelationTree | undefined): void {
  const { declaration, compiled } = desired
  const adopt = declaration.definition.kind === 'adopt'
  if (tree === undefined) {
    if (!adopt) return
    throw new TidemarkError({
      code: 'TIDEMARK_RELATION_UNKNOWN',
      what: `There is no materialized view ${compiled.name} to adopt`,
      mend: "Correct the name, or give the view its query: sql: 'select …'.",
      place: `views.${compiled.name}`,
    })
  }
  const { kind } = tree.relation
  if (kind === 'matview' && adopt) return
  throw new TidemarkError(
    adopt
      ? {
          code: 'TIDEMARK_RELATION_UNSUPPORTED',
          what: `${compiled.name} is a ${kindWord(kind)}; only a materialized view can be adopted`,
          mend: "Give the view another name and its query: sql: 'select …'.",
          place: `views.${compiled.name}`,
        }
      : {
          code: 'TIDEMARK_NAME_TAKEN',
          what: `${compiled.name} is the name of a ${kindWord(kind)} that Tidemark does not manage`,
          mend:
            kind === 'matview'
              ? `Take it over: adopt: '${compiled.name}', or give the view another name.`
              : 'Give the view another name, or rename what has it.',
          place: `views.${compiled.name}`,
        },
  )
}

const kindWord = (kind: RelationFacts['kind']): string =>
  ({
    table: 'table',
    partitioned: 'partitioned table',
    view: 'view',
    matview: 'materialized view',
    foreign: 'foreign table',
    other: 'relation',
  })[kind]

const placeOf = ({ compiled }: DesiredView, { places }: Progress): Placement =>
  must(places.get(compiled.name), 'every desired view has a place')
