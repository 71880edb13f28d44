import { formatDuration } from '../base/duration.ts'
import { must } from '../base/assert.ts'
import type { PlanStep } from '../model/plan.ts'
import { literal, qualifiedName } from '../postgres/identifier.ts'
import type { CatalogueRow, RelationTree } from './actual.ts'
import { canonicalJson } from './actual.ts'
import { forgetArtifact, upsert } from './catalogue-rows.ts'
import type { DesiredView } from './desired.ts'
import { kindWords, targetName } from './recreate.ts'
import {
  askForRefresh,
  differingColumns,
  forgetContent,
  forgetEmptyGroups,
  groupTimeout,
  rowsOf,
  settleParts,
  sourcesOf,
  viewRow,
  writeInputs,
  writeSources,
} from './view-catalogue.ts'
import { adoptStep, asWords, createObjects, refuseTaken } from './view-create.ts'
import {
  amongState,
  carriedOver,
  columnNames,
  columnsDigest,
  createExact,
  createLiveView,
  createIndex,
  createIndexes,
  createMaintain,
  createPresentation,
  declaredIndexes,
  dropLiveView,
  dropGuard,
  exactDigest,
  exactName,
  forgetPresentation,
  guardTrigger,
  noteLiveView,
  programDigest,
  renewMaintain,
  swapMark,
  viewObjects,
} from './view-objects.ts'
import type { Change, Found } from './view-found.ts'
import { alteredParts, artifactOf, restoreFor } from './view-found.ts'
import { keepsState, readsOtherwise } from './renamed-program.ts'
import { renameIndexes, renameView } from './renamed-views.ts'
import type { Progress } from './view-steps.ts'
import { isSwap, swapStep } from './view-swap.ts'
import { tableChange, whyTableAnew } from './view-table-change.ts'
import { alterTable, dropFollowing, makeRoom, tableParts, undressTable } from './view-table.ts'
import { declare, moveReaders, ownerOf, stepOf, told } from './view-steps.ts'

/** What is to be done to a view that the catalogue has: nothing, a change in place, or a new making; under its present name. */
export function changeSteps(
  desired: DesiredView,
  row: CatalogueRow,
  progress: Progress,
): readonly PlanStep[] {
  const former = progress.renamedViews.get(desired.compiled.name)
  if (former === undefined) return changedView(desired, row, progress)
  const { sql, actual } = renameIndexes(desired, former, progress.actual)
  const named = renameView(desired.compiled.name, former, row['presentation'], actual)
  // What it does to `progress` is for the steps after it.
  const steps = changedView(desired, row, { ...progress, actual })
  return steps.map((step) => ({
    ...step,
    detail: `${former} is called ${desired.compiled.name} now${
      step.kind === 'change'
        ? ': its rows stay, and what keeps them is made anew'
        : `; ${step.detail}`
    }`,
    sql: [...sql, ...named, ...step.sql],
  }))
}

function changedView(
  desired: DesiredView,
  row: CatalogueRow,
  progress: Progress,
): readonly PlanStep[] {
  const view = desired.compiled.name
  const found: Found = {
    row,
    artifacts: progress.actual.artifacts.filter(({ ownerName }) => ownerName === view),
    tree: progress.actual.relations.get(view),
  }
  const why = whyAnew(desired, found, alteredParts(view, progress))
  if (why !== null) {
    const kept = keepingRows(desired, found, why, progress)
    return [kept ?? remakeStep(desired, found, why, progress)]
  }
  const place = must(progress.places.get(view), 'every desired view has a place')
  const changes = [
    ...presentationChange(desired, found, progress),
    ...maintainChange(desired, found, progress),
    ...indexChanges(desired, found),
    ...liveViewChange(desired, found, progress),
    ...declarationChange(desired, found, progress),
  ]
  if (changes.length === 0) return []
  const repopulates = changes.some((change) => change.repopulates === true)
  return [
    stepOf({
      kind: 'change',
      noun: 'view',
      name: view,
      detail: changes.map((change) => change.told).join('; '),
      expectedMs: repopulates ? (progress.measures.refreshMs.get(view) ?? null) : null,
      sql: amongState(ownerOf(view, progress), progress.actual, [
        ...changes.flatMap(({ sql }) => sql),
        ...settleParts(view),
        ...(repopulates ? [...forgetContent(view), ...askForRefresh(place.group)] : []),
      ]),
    }),
  ]
}

/** Why a view cannot be changed in place; null when it can. */
function whyAnew(
  desired: DesiredView,
  { row, artifacts, tree }: Found,
  altered: readonly string[],
): string | null {
  const { declaration, compiled } = desired
  const { state, relation } = viewObjects(compiled.name)
  const before = row['presentation']
  if (before !== declaration.as) return `becomes ${asWords[declaration.as]}`
  if (declaration.as === 'matview') return whyMatviewAnew(desired, { row, artifacts, tree })
  if (tree !== undefined && tree.relation.kind !== declaration.as) refuseTaken(desired, tree)
  const table = artifacts.find(({ kind, name }) => kind === 'table' && name === targetName(state))
  if (table?.exists !== true) return 'its state table was dropped by somebody'
  if (altered.includes(`table ${targetName(state)}`))
    return 'its state table was altered by somebody'
  if (table.digest !== columnsDigest(compiled)) return 'query changed, with other columns'
  if (declaration.as === 'table') return whyTableAnew(desired, { row, artifacts, tree }, altered)
  const presented = artifacts.some(({ kind, name }) => kind === 'view' && name === relation)
  return presented ? null : 'its view was never made'
}

function whyMatviewAnew(
  { declaration, compiled }: DesiredView,
  { row, artifacts, tree }: Found,
): string | null {
  if (tree === undefined) return 'was dropped by somebody'
  // One that stays as it is has the query that it has.
  const ours = artifacts.some(({ kind }) => kind === 'matview')
  if (!ours && declaration.definition.kind === 'adopt') return null
  // Of one that follows a rename the text is another, and the query the same.
  const same = row['digest'] === compiled.digest || tree.relation.definition === compiled.query.sql
  return same ? null : 'query changed'
}

/** Makes another kind of relation of a view with the same query: its rows are copied. Null: they cannot be kept. */
function keepingRows(
  desired: DesiredView,
  found: Found,
  why: string,
  progress: Progress,
): PlanStep | null {
  const { row, tree, artifacts } = found
  if (tree === undefined || row['digest'] !== desired.compiled.digest) return null
  const restore = restoreFor(found)
  if (tree.relation.kind === 'matview' && desired.declaration.as !== 'matview') {
    const step = adoptStep(desired, tree, progress, restore)
    const forget = forgetArtifact('matview', qualifiedName(desired.compiled.name))
    return { ...step, sql: [...step.sql, forget] }
  }
  return isSwap(desired, { row, tree, artifacts })
    ? swapStep(desired, { ...found, tree, restore }, why, progress)
    : null
}

/**
 * Makes a view anew under its name, from its query.
 * Grants, comments and readers are carried over; the way back of an adopted view is kept.
 */
function remakeStep(desired: DesiredView, found: Found, why: string, progress: Progress): PlanStep {
  const { row, tree } = found
  const view = desired.compiled.name
  const restore = restoreFor(found)
  const lock = tree === undefined ? null : `ACCESS EXCLUSIVE on ${view}`
  const place = must(progress.places.get(view), 'every desired view has a place')
  const standing = tableStands(desired, found)
  const readers =
    tree === undefined
      ? { drop: [], again: [], told: '' }
      : moveReaders(standing ? withNothingOn(tree) : tree, progress)
  const owner = ownerOf(view, progress)
  const columns = columnNames(desired)
  const lost = (tree?.relation.columns ?? []).filter(({ name }) => !columns.includes(name))
  const parts = remadeObjects({ desired, found, progress, restore, owner, standing })
  progress.gone.add(viewObjects(view).fallback)
  progress.gone.add(exactName(view))
  return stepOf({
    kind: 'replace',
    noun: 'view',
    name: view,
    detail: `${why}; ${told(desired, place)}${lost.length === 0 ? '' : `; loses ${lost.map(({ name }) => name).join(', ')}`}${readers.told}`,
    lock,
    expectedMs: progress.measures.refreshMs.get(view) ?? null,
    destructive: lost.length > 0 || (row['adopted'] === true && row['presentation'] === 'matview'),
    ownTransaction: parts.build.length > 0,
    sql: amongState(owner, progress.actual, [
      ...parts.build,
      ...dropLiveView(view),
      ...readers.drop,
      ...dropRelation(found, view, standing),
      ...parts.make,
      ...readers.again,
      ...declare(desired, place, row['adopted'] === true, progress),
      ...forgetContent(view),
      ...askForRefresh(place.group),
    ]),
  })
}

/** Whether the user's table stays while what it follows is made anew: what is on it stays then too. */
const tableStands = ({ declaration }: DesiredView, { row, tree }: Found): boolean =>
  row['presentation'] === 'table' && declaration.as === 'table' && tree?.relation.kind === 'table'

const withNothingOn = (tree: RelationTree): RelationTree => ({
  ...tree,
  relation: { ...tree.relation, unsupported: [] },
})

interface Remaking {
  readonly desired: DesiredView
  readonly found: Found
  readonly progress: Progress
  readonly restore: readonly string[]
  readonly owner: string
  /** The user's table stays. */
  readonly standing: boolean
}

function remadeObjects({ desired, found, progress, restore, owner, standing }: Remaking): {
  readonly build: readonly string[]
  readonly make: readonly string[]
} {
  const { role, installer } = progress.actual
  const { declaration, compiled } = desired
  const forget = forgetPresentation(compiled.name)
  if (
    declaration.as === 'matview' &&
    declaration.definition.kind === 'adopt' &&
    restore.length > 0
  ) {
    const { build, swap } = splitRestore(restore)
    const live = createLiveView(desired, owner, role)
    const made = createIndexes(desired)
    const maintain = createMaintain(desired, owner, { role, installer })
    const room = found.tree === undefined ? [] : makeRoom(found.tree.relation)
    return {
      build: [...room, ...build],
      make: [...swap, ...forget, ...made, ...maintain, ...live],
    }
  }
  const { columns } = compiled.query
  const before = found.tree?.relation
  const carried =
    before === undefined || standing
      ? []
      : carriedOver(before, columnNames(desired), declaration.as)
  const bare =
    before === undefined || !standing
      ? []
      : [...undressTable(before, found.artifacts), ...alterTable(before, columns)]
  const objects = createObjects(desired, owner, progress, { restore, standing })
  return { build: [], make: [...bare, ...forget, ...objects, ...carried] }
}

/** The two parts of a way back: before the name is given up, and after. */
export function splitRestore(restore: readonly string[]): {
  readonly build: readonly string[]
  readonly swap: readonly string[]
} {
  const mark = restore.indexOf(swapMark)
  return { build: restore.slice(0, mark), swap: restore.slice(mark + 1) }
}

/** Drops what has the name of a view, and what holds its rows. */
function dropRelation(
  { tree }: Found,
  view: DesiredView['compiled']['name'],
  standing: boolean,
): readonly string[] {
  const { relation, state } = viewObjects(view)
  return [
    ...(tree === undefined || standing
      ? []
      : [`drop ${kindWords[tree.relation.kind]} ${relation}`]),
    `drop table if exists ${targetName(state)}`,
    ...dropFollowing(view),
  ]
}

function presentationChange(
  desired: DesiredView,
  found: Found,
  progress: Progress,
): readonly Change[] {
  if (desired.declaration.as === 'matview') return []
  if (desired.declaration.as === 'table') return tableChange(desired, found, progress)
  const view = desired.compiled.name
  const owner = ownerOf(view, progress)
  const missing = {
    told: 'its view was dropped by somebody',
    sql: createPresentation(desired, owner, progress.actual.role),
  }
  return [...(found.tree === undefined ? [missing] : []), ...guardChange(desired, found, progress)]
}

/** The guard of the state, if somebody took it away. */
function guardChange(desired: DesiredView, found: Found, progress: Progress): readonly Change[] {
  const view = desired.compiled.name
  const state = targetName(viewObjects(view).state)
  const guard = artifactOf(found, 'guard', state)
  if (guard?.exists === true && !alteredParts(view, progress).includes(`guard ${state}`)) return []
  return [
    {
      told: 'the guard of its state was taken away by somebody',
      sql: [dropGuard(state), guardTrigger(view)],
      // Who knows what was written meanwhile.
      repopulates: true,
    },
  ]
}

function maintainChange(desired: DesiredView, found: Found, progress: Progress): readonly Change[] {
  const { compiled } = desired
  const { role, installer } = progress.actual
  const made = artifactOf(found, 'function', viewObjects(compiled.name).signature)
  const changed = found.row['digest'] !== compiled.digest
  const altered = partsAltered(desired, found, progress)
  const current = made?.exists === true && made.digest === programDigest(compiled)
  if (!changed && current && !altered) return []
  const owner = ownerOf(compiled.name, progress)
  if (!altered && keepsState(desired, found, progress)) {
    return [
      {
        told: 'the names in its program are renewed, what it holds stays',
        sql: [
          ...renewMaintain(desired, owner, { role, installer }),
          ...createExact(desired, owner, role),
        ],
      },
    ]
  }
  return [
    {
      told: changed
        ? 'query changed, computed anew'
        : made?.exists !== true
          ? 'its maintenance program is missing'
          : current
            ? 'what its refreshes rely on was altered or dropped by somebody'
            : 'its maintenance program is renewed',
      sql: [
        ...createMaintain(desired, owner, { role, installer }),
        ...createExact(desired, owner, role),
      ],
      // What another program has stored, this one may not be able to go on from.
      repopulates: changed || compiled.incremental !== null || found.row['strategy'] !== 'full',
    },
  ]
}

/** Whether the program, or what it has beside the state table, is not as it was made. */
function partsAltered(desired: DesiredView, found: Found, progress: Progress): boolean {
  const view = desired.compiled.name
  const state = targetName(viewObjects(view).state)
  const presenting = [`guard ${state}`, ...tableParts(view)]
  return (
    found.artifacts.some(({ kind, exists }) => kind === 'part' && !exists) ||
    alteredParts(view, progress).some((part) => !presenting.includes(part))
  )
}

function indexChanges(desired: DesiredView, found: Found): readonly Change[] {
  const view = desired.compiled.name
  const wanted = declaredIndexes(desired)
  const made = found.artifacts.filter(({ kind }) => kind === 'index')
  const added = wanted.filter(
    ({ name }) => !made.some((artifact) => artifact.name === name && artifact.exists),
  )
  const surplus = made.filter(({ name }) => !wanted.some((index) => index.name === name))
  return [
    ...added.map((index) => ({
      told: `index ${index.name} is made`,
      sql: createIndex(view, index),
    })),
    ...surplus.map(({ name }) => ({
      told: `index ${name} is dropped`,
      sql: [`drop index if exists ${name}`, forgetArtifact('index', name)],
    })),
  ]
}

/** Whether the exact view is there as it is wanted, where one is. */
function hasExact({ compiled }: DesiredView, found: Found): boolean {
  const exact = artifactOf(found, 'view', qualifiedName(exactName(compiled.name)))
  return (
    compiled.incremental === null ||
    (exact?.exists === true && exact.digest === exactDigest(compiled))
  )
}

function liveViewChange(desired: DesiredView, found: Found, progress: Progress): readonly Change[] {
  const view = desired.compiled.name
  const made = artifactOf(found, 'view', qualifiedName(viewObjects(view).fallback))
  const lost = progress.lostFallbacks.has(view)
  const same = made?.exists === true && made.digest === desired.compiled.digest && !lost
  const moved = progress.actual.movedDefinitions.has(view)
  const owner = ownerOf(view, progress)
  const { role } = progress.actual
  if (same && !moved) {
    return hasExact(desired, found)
      ? []
      : [{ told: 'its exact view is made', sql: createExact(desired, owner, role) }]
  }
  if (made?.exists === true && !lost && keepsState(desired, found, progress)) {
    return [
      {
        told: 'what it reads is called otherwise',
        sql: [...noteLiveView(desired), ...createExact(desired, owner, role)],
      },
    ]
  }
  // They are made anew, and need not read any more what they read.
  progress.gone.add(viewObjects(view).fallback)
  progress.gone.add(exactName(view))
  return [
    {
      told: moved
        ? 'what it reads was renamed or replaced'
        : 'its live view of the sources is made',
      sql: [
        ...dropLiveView(view),
        // The views on rows of an incremental program are bound to what was there.
        ...(moved && desired.compiled.incremental !== null
          ? createMaintain(desired, owner, progress.actual)
          : []),
        ...createLiveView(desired, owner, role),
      ],
      repopulates: moved,
    },
  ]
}

/** Differences between the rows of the catalogue and the declaration. */
function declarationChange(
  desired: DesiredView,
  found: Found,
  progress: Progress,
): readonly Change[] {
  const view = desired.compiled.name
  const place = must(progress.places.get(view), 'every desired view has a place')
  const { catalogue } = progress.actual
  const row = viewRow(desired, place, found.row['adopted'] === true)
  const columns = differingColumns(row, found.row)
  const members = [...progress.views.values()].filter(
    ({ compiled }) => progress.places.get(compiled.name)?.group === place.group,
  )
  const timeout = groupTimeout(members)
  const group = catalogue.refresh_group.find(({ name }) => name === place.group)
  const regrouped = group === undefined || (group['timeout_ms'] ?? null) !== timeout
  const sources = rowsOf(catalogue.view_source, view, 'source')
  const inputs = rowsOf(catalogue.view_input, view, 'input')
  const resourced = readsOtherwise(desired, progress)
  const wantedInputs = desired.compiled.query.inputs.toSorted().map((input) => [input, []])
  const reinput = canonicalJson(wantedInputs) !== canonicalJson(inputs)
  const more = [...sourcesOf(desired).keys()].some((name) => !sources.some(([had]) => had === name))
  if (columns.length === 0 && !regrouped && !resourced && !reinput) return []
  return [
    {
      told: tellColumns(columns, found.row, row, {
        'time allowed for a refresh': regrouped && !columns.includes('group_name'),
        'tables that it reads': resourced,
        'views that it reads': reinput,
      }),
      repopulates: more,
      sql: [
        upsert('refresh_group', { name: place.group, timeout_ms: timeout }, ['name']),
        upsert('view', row, ['name']),
        ...(resourced ? writeSources(desired) : []),
        ...(reinput ? writeInputs(view, desired.compiled.query.inputs) : []),
        ...(columns.includes('group_name') ? [forgetEmptyGroups] : []),
        ...(columns.some((column) => /target/.test(column))
          ? [`delete from tidemark.target_window where view = ${literal(view)}`]
          : []),
      ],
    },
  ]
}

/** What changes, for people; what follows from the query is said by its own change. */
function tellColumns(
  columns: readonly string[],
  before: CatalogueRow,
  after: Readonly<Record<string, unknown>>,
  flags: Readonly<Record<string, boolean>>,
): string {
  const plain = columns.filter(
    (column) => !['query', 'digest', 'state', 'maintain'].includes(column),
  )
  const words = plain.map((column) => {
    const [from, to] = [before[column] ?? null, after[column] ?? null]
    const name = column.replace(/_ms$|_name$|_columns$/, '').replaceAll('_', ' ')
    if (typeof from === 'number' && typeof to === 'number' && column.endsWith('_ms')) {
      return `${name} ${formatDuration(from)} → ${formatDuration(to)}`
    }
    const simple = (value: unknown): value is string | number | boolean =>
      ['string', 'number', 'boolean'].includes(typeof value)
    return simple(from) && simple(to) ? `${name} ${from} → ${to}` : `${name} changed`
  })
  const flagged = Object.entries(flags).flatMap(([name, is]) => (is ? [`${name} changed`] : []))
  return [...words, ...flagged].join('; ') || 'declaration renewed'
}
