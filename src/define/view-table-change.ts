import type { DesiredView } from './desired.ts'
import { targetName } from './recreate.ts'
import { refuseTaken } from './view-create.ts'
import type { Change, Found } from './view-found.ts'
import { alteredParts, artifactOf, restoreFor } from './view-found.ts'
import { dropGuard, guardOn, guardTrigger, viewObjects } from './view-objects.ts'
import type { Progress } from './view-steps.ts'
import { ownerOf } from './view-steps.ts'
import {
  columnsApart,
  createKey,
  dropKey,
  followState,
  keyIsCurrent,
  noteTable,
  presentDigest,
  tableObjects,
  tableParts,
  unfollowState,
} from './view-table.ts'

/** Why a view whose name is a table cannot be changed in place, its state being as it should. */
export function whyTableAnew(
  desired: DesiredView,
  { artifacts, tree }: Found,
  altered: readonly string[],
): string | null {
  if (tree === undefined) return 'its table was dropped by somebody'
  const { relation } = viewObjects(desired.compiled.name)
  const guarded = artifacts.some(
    ({ kind, name, exists }) => kind === 'guard' && name === relation && exists,
  )
  // Another table may have taken its name; what is in that one is not ours to write over.
  if (altered.includes(`table ${relation}`) && !guarded) refuseTaken(desired, tree)
  const { surplus, missing } = columnsApart(tree.relation, desired.compiled.query.columns)
  return surplus.length + missing.length === 0
    ? null
    : 'columns of its table were altered by somebody'
}

/** What a table has that follows its state: all of it is made anew when a part of it is not as it was made. */
export function tableChange(
  desired: DesiredView,
  found: Found,
  progress: Progress,
): readonly Change[] {
  const view = desired.compiled.name
  const { relation, state } = viewObjects(view)
  const own = [...tableParts(view), `guard ${targetName(state)}`]
  const altered = alteredParts(view, progress).some((part) => own.includes(part))
  const gone = found.artifacts.some(
    ({ kind, name, exists }) => !exists && own.includes(`${kind} ${name}`),
  )
  const program = artifactOf(found, 'function', tableObjects(view).signature)
  const follow = [
    ...unfollowState(view),
    ...followState(desired, ownerOf(view, progress), progress.actual),
    ...noteTable(desired, restoreFor(found)),
  ]
  const key = keyIsCurrent(desired, found.artifacts)
    ? []
    : [{ told: 'its primary key is made', sql: [...dropKey(view), ...createKey(desired)] }]
  if (altered || gone) {
    const guards = [dropGuard(targetName(state)), guardTrigger(view), dropGuard(relation)]
    return [
      {
        told: 'what keeps its table as its state is was altered by somebody',
        sql: [...guards, guardOn(relation, view), ...follow],
        // Who knows what was written meanwhile.
        repopulates: true,
      },
      ...key,
    ]
  }
  const renewed = program?.digest === presentDigest(desired)
  return [
    ...(renewed ? [] : [{ told: 'the program that writes its table is renewed', sql: follow }]),
    ...key,
  ]
}
