import { formatDuration } from '../base/duration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { PlanStep } from '../model/plan.ts'
import { literal, qualifiedName } from '../postgres/identifier.ts'
import type { Actual, Measures, RelationFacts, RelationTree } from './actual.ts'
import { upsert } from './catalogue-rows.ts'
import type { DesiredView } from './desired.ts'
import type { Placement } from './groups.ts'
import { kindWords, recreate } from './recreate.ts'
import {
  groupTimeout,
  settleParts,
  unknownReason,
  viewRow,
  writeInputs,
  writeSources,
} from './view-catalogue.ts'
import { createLiveView, exactName, viewObjects } from './view-objects.ts'

/** What was renamed: what each is called now, to what it was called. */
export type FormerNames = ReadonlyMap<RelationName, RelationName>

/** What the steps of views share while a plan is made; it moves with every step. */
export interface Progress {
  readonly actual: Actual
  readonly measures: Measures
  readonly views: ReadonlyMap<RelationName, DesiredView>
  readonly places: ReadonlyMap<RelationName, Placement>
  /** Relations that a step before has dropped for good, or made independent of what they read. */
  readonly gone: Set<RelationName>
  /** Views that the catalogue has by now. */
  readonly declared: Set<RelationName>
  /** Adopted views and those inputs of theirs that the catalogue does not have yet. */
  readonly waiting: Map<RelationName, Set<RelationName>>
  /** Views whose live view was dropped with what it reads; their step makes it again. */
  readonly lostFallbacks: Set<RelationName>
  /** Views whose steps come after those of views that leave. */
  readonly following: ReadonlySet<RelationName>
  /** Sources that a step before has given the names that their tables have now. */
  readonly renamedSources: FormerNames
  /** Views that the catalogue calls otherwise than they are called now. */
  readonly renamedViews: FormerNames
}

/** A step with what most steps leave as it is. */
export function stepOf(
  step: Pick<PlanStep, 'kind' | 'noun' | 'name' | 'detail' | 'sql'> & Partial<PlanStep>,
): PlanStep {
  return { lock: null, expectedMs: null, destructive: false, ownTransaction: false, ...step }
}

/** The readers of a relation that depend on it now, each after those that it reads. */
export function readersOf(tree: RelationTree, progress: Progress): readonly RelationFacts[] {
  const reached = new Set<RelationName>([tree.relation.name])
  const readers: RelationFacts[] = []
  for (const reader of tree.readers) {
    if (progress.gone.has(reader.name)) continue
    if (!reader.reads.some((read) => reached.has(read))) continue
    reached.add(reader.name)
    readers.push(reader)
  }
  return readers
}

/**
 * Drops the readers of a relation and makes them again, with everything on them. The live views of
 * declared views are left to the steps of these, which follow; `leaving` says that none follows but those of `progress.following`.
 * Throws `TIDEMARK_RELATION_UNSUPPORTED` when something hangs on one of them that cannot be carried over.
 */
export function moveReaders(
  tree: RelationTree,
  progress: Progress,
  leaving = false,
): { readonly drop: readonly string[]; readonly again: readonly string[]; readonly told: string } {
  const readers = readersOf(tree, progress)
  refuseUnsupported(tree.relation, readers)
  const live = new Map(
    [...progress.views.keys()].flatMap((view) =>
      [viewObjects(view).fallback, exactName(view)].map((name) => [name, view]),
    ),
  )
  // Views that are about to leave need theirs no more.
  const left = [...progress.declared].filter((view) => !progress.views.has(view))
  const surplus = new Set(left.flatMap((view) => [viewObjects(view).fallback, exactName(view)]))
  const again: string[] = []
  for (const reader of readers) {
    if (surplus.has(reader.name)) continue
    const view = live.get(reader.name)
    const desired = view === undefined ? undefined : progress.views.get(view)
    const { role } = progress.actual
    if (view === undefined || desired === undefined) again.push(...recreate(reader, role))
    else if (!leaving || progress.following.has(view)) progress.lostFallbacks.add(view)
    // An exact view comes with the live view, which reads the same.
    else if (reader.name !== exactName(view))
      again.push(...createLiveView(desired, ownerOf(view, progress), role))
  }
  const moved = readers
    .map(({ name }) => name)
    .filter((name) => !live.has(name) && !surplus.has(name))
  return {
    drop: readers
      .toReversed()
      // Of an exact view the step before may have been the end.
      .map(
        ({ kind, name }) =>
          `drop ${kindWords[kind]} ${live.has(name) || surplus.has(name) ? 'if exists ' : ''}${qualifiedName(name)}`,
      ),
    again,
    told: moved.length === 0 ? '' : `; ${moved.join(', ')} dropped and made again`,
  }
}

function refuseUnsupported(relation: RelationFacts, readers: readonly RelationFacts[]): void {
  const hanging = [relation, ...readers].flatMap(({ name, unsupported }) =>
    unsupported.map((what) => `${what} (on ${name})`),
  )
  if (hanging.length === 0) return
  throw new TidemarkError({
    code: 'TIDEMARK_RELATION_UNSUPPORTED',
    what: `${relation.name} would have to be made anew, and what hangs on it cannot be carried over: ${hanging.join('; ')}`,
    mend:
      relation.kind === 'table'
        ? 'Drop these, and make them again afterwards where that is still of use.'
        : `Drop these and make them again afterwards, or declare the view with as: 'matview'.`,
  })
}

/**
 * Writes the declaration of a view. Inputs that are declared by a later step are written by that step;
 * until then the state of the view is unknown, so that nothing wrong is taken for fresh meanwhile.
 */
export function declare(
  desired: DesiredView,
  place: Placement,
  adopted: boolean,
  progress: Progress,
): readonly string[] {
  const view = desired.compiled.name
  const members = [...progress.views.values()].filter(
    ({ compiled }) => progress.places.get(compiled.name)?.group === place.group,
  )
  const inputs = desired.compiled.query.inputs
  const late = new Set(inputs.filter((input) => !progress.declared.has(input)))
  const row = viewRow(desired, place, adopted)
  const reason = `not_captured: ${[...late].join(', ')} is about to be adopted; run tidemark apply`
  progress.declared.add(view)
  if (late.size > 0) progress.waiting.set(view, late)
  return [
    upsert('refresh_group', { name: place.group, timeout_ms: groupTimeout(members) }, ['name']),
    upsert('view', late.size === 0 ? row : { ...row, unknown_reason: reason }, ['name']),
    ...writeSources(desired),
    ...writeInputs(
      view,
      inputs.filter((input) => !late.has(input)),
    ),
    `insert into tidemark.view_state (view) values (${literal(view)}) on conflict do nothing`,
    ...settleWaiting(view, progress),
    ...settleParts(view),
  ]
}

/** Views that waited for this one to be declared. */
function settleWaiting(input: RelationName, progress: Progress): readonly string[] {
  const { role } = progress.actual
  const sql: string[] = []
  for (const [view, late] of progress.waiting) {
    if (!late.delete(input)) continue
    sql.push(upsert('view_input', { view, input }, ['view', 'input']))
    const desired = progress.views.get(view)
    if (late.size > 0 || desired === undefined) continue
    progress.waiting.delete(view)
    const reason = unknownReason(desired)
    sql.push(
      `update tidemark.view set unknown_reason = ${reason === null ? 'null' : literal(reason)} where name = ${literal(view)}`,
    )
    sql.push(...createLiveView(desired, ownerOf(view, progress), role))
  }
  return sql
}

/** Who owns the view: whoever owns what has its name, else the role that applies. */
export const ownerOf = (view: RelationName, { actual }: Progress): string =>
  actual.relations.get(view)?.relation.owner ?? actual.role

/** `public.sales within 5 min, full refresh by diff`: a view in a few words. */
export function told({ declaration, compiled }: DesiredView, place: Placement): string {
  const { targetMs, businessTarget } = declaration
  const inside =
    businessTarget === null ? '' : ` (${formatDuration(businessTarget.targetMs)} in business hours)`
  const group = String(place.group) === compiled.name ? '' : `, group ${place.group}`
  const method =
    compiled.incremental === null
      ? `full refresh ${compiled.method === 'diff' ? 'by diff' : 'by REFRESH'}`
      : compiled.incremental.strategy === 'partition'
        ? 'refresh of the partitions that changed'
        : 'incremental refresh'
  // Of what is as good as it gets nothing more need be said.
  const why = compiled.reasons
    .filter((reason) => /^(full:|incremental,|partition:|not incremental:)/.test(reason))
    .map((reason) => reason.replace(/^full: |^partition: |^incremental, as declared; /, ''))
  const because = why.length === 0 ? '' : ` (${why.join('; ')})`
  return `kept within ${formatDuration(targetMs)}${inside} by ${method}${because}${group}`
}

/** What copying a relation takes, at some 100 MB/s and as much again for its indexes. */
export const copyMs = (pages: number): number => Math.max(10, Math.round(pages * 0.16))
