import { must } from '../base/assert.ts'
import type { PlanStep } from '../model/plan.ts'
import { qualifiedName } from '../postgres/identifier.ts'
import type { RelationTree } from './actual.ts'
import type { DesiredView } from './desired.ts'
import { indexesOn, targetName } from './recreate.ts'
import { askForRefresh, forgetContent } from './view-catalogue.ts'
import type { Found } from './view-found.ts'
import {
  amongState,
  carriedOver,
  columnNames,
  columnsDigest,
  createIndexes,
  createMaintain,
  createPresentation,
  forgetPresentation,
  notePresentation,
  viewObjects,
} from './view-objects.ts'
import type { Progress } from './view-steps.ts'
import { copyMs, declare, moveReaders, ownerOf, stepOf, told } from './view-steps.ts'
import {
  draftOf,
  draftTable,
  dressTable,
  nameDraft,
  ownIndexes,
  unfollowState,
} from './view-table.ts'

/** A view that becomes a table, or the other way, with the tree of what has its name. */
interface Swapped extends Found {
  readonly tree: RelationTree
  readonly restore: readonly string[]
}

/** Whether a view only becomes a table, or a table a view: its state stays then, and readers find its rows at all times. */
export function isSwap(
  { declaration, compiled }: DesiredView,
  { row, artifacts, tree }: Found,
): boolean {
  const state = targetName(viewObjects(compiled.name).state)
  const kinds = ['view', 'table']
  return (
    row['presentation'] !== declaration.as &&
    kinds.includes(declaration.as) &&
    row['presentation'] === tree?.relation.kind &&
    artifacts.some(
      ({ kind, name, digest, exists }) =>
        kind === 'table' && name === state && exists && digest === columnsDigest(compiled),
    )
  )
}

/** Puts a table in the place of a view on the state, or a view in the place of the table. */
export function swapStep(
  desired: DesiredView,
  found: Swapped,
  why: string,
  progress: Progress,
): PlanStep {
  const view = desired.compiled.name
  const place = must(progress.places.get(view), 'every desired view has a place')
  const owner = ownerOf(view, progress)
  const readers = moveReaders(found.tree, progress)
  const { build, make } =
    desired.declaration.as === 'table'
      ? tableInPlace(desired, found, progress)
      : viewInPlace(desired, found, progress)
  return stepOf({
    kind: 'replace',
    noun: 'view',
    name: view,
    detail: `${why}; ${told(desired, place)}; rows, comments and SELECT grants are carried over${readers.told}`,
    lock: `ACCESS EXCLUSIVE on ${view}`,
    expectedMs: copyMs(progress.measures.pages.get(view) ?? 0),
    ownTransaction: true,
    sql: amongState(owner, progress.actual, [
      ...build,
      ...readers.drop,
      ...make,
      ...createMaintain(desired, owner, progress.actual),
      ...readers.again,
      ...declare(desired, place, found.row['adopted'] === true, progress),
      // Its first refresh compares everything.
      ...forgetContent(view),
      ...askForRefresh(place.group),
    ]),
  })
}

interface Making {
  readonly build: readonly string[]
  readonly make: readonly string[]
}

function tableInPlace(desired: DesiredView, found: Swapped, { actual }: Progress): Making {
  const view = desired.compiled.name
  const { relation } = found.tree
  return {
    build: [
      ...dropDeclared(found),
      ...forgetPresentation(view),
      ...draftTable(relation, actual.role),
      ...createIndexes(desired, targetName(draftOf(view))),
    ],
    make: [
      `drop view ${qualifiedName(view)}`,
      ...nameDraft(relation),
      ...carriedOver(relation, columnNames(desired), 'table'),
      ...dressTable(desired, relation.owner, actual, found.restore),
    ],
  }
}

function viewInPlace(desired: DesiredView, found: Swapped, { actual }: Progress): Making {
  const view = desired.compiled.name
  const { relation } = found.tree
  const { state } = viewObjects(view)
  return {
    build: [],
    make: [
      ...unfollowState(view),
      `drop table ${qualifiedName(view)}`,
      ...forgetPresentation(view),
      ...indexesOn(ownIndexes(relation, found.artifacts), state),
      ...createIndexes(desired),
      ...createPresentation(desired, relation.owner, actual.role),
      ...carriedOver(relation, columnNames(desired)),
      ...notePresentation(desired, found.restore),
    ],
  }
}

const dropDeclared = ({ artifacts }: Found): readonly string[] =>
  artifacts.filter(({ kind }) => kind === 'index').map(({ name }) => `drop index if exists ${name}`)
