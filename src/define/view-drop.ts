import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { relationOf } from '../model/ids.ts'
import type { PlanStep } from '../model/plan.ts'
import { identifier, literal } from '../postgres/identifier.ts'
import type { CatalogueRow, RelationTree } from './actual.ts'
import { textArray } from './catalogue-rows.ts'
import { inOrder } from './groups.ts'
import { targetName } from './recreate.ts'
import { forgetView, shareWithOwners } from './view-catalogue.ts'
import { splitRestore } from './view-change.ts'
import { dropLiveView, dropParts, exactName, viewObjects, withQuery } from './view-objects.ts'
import type { Progress } from './view-steps.ts'
import { moveReaders, readersOf, stepOf } from './view-steps.ts'
import { dropFollowing, makeRoom } from './view-table.ts'

/** A declared view that shall be no more. */
interface Leaving {
  readonly name: RelationName
  readonly inputs: readonly RelationName[]
  readonly row: CatalogueRow
  readonly restore: readonly string[]
  readonly ours: boolean
}

/**
 * Takes views away that are no longer declared: those that Tidemark created are dropped, readers
 * first; adopted ones become the materialized views that they were, inputs first, since each is
 * filled from those before it.
 */
export function dropSteps(rows: readonly CatalogueRow[], progress: Progress): readonly PlanStep[] {
  const leaving = inOrder(rows.map((row) => leavingOf(row, progress)))
  const first = leaving.flatMap(({ name }) => {
    progress.gone.add(viewObjects(name).fallback)
    progress.gone.add(exactName(name))
    return dropLiveView(name)
  })
  const created = leaving.filter(({ ours, restore }) => ours && restore.length === 0).toReversed()
  const rest = leaving.filter((view) => !created.includes(view))
  const steps = [
    ...created.map((view) => dropStep(view, progress)),
    ...rest.map((view) =>
      view.restore.length > 0 ? restoreStep(view, progress) : releaseStep(view),
    ),
  ]
  const names = textArray(leaving.map(({ name }) => name))
  return steps.map((step, i) =>
    i > 0
      ? step
      : {
          ...step,
          sql: [
            ...first,
            `delete from tidemark.view_input where view = any (${names}) or input = any (${names})`,
            ...step.sql,
          ],
        },
  )
}

function leavingOf(row: CatalogueRow, { actual }: Progress): Leaving {
  const view = String(row['name'])
  const made = actual.artifacts.filter(({ ownerName }) => ownerName === view)
  const names = actual.catalogue.view_input
    .filter((input) => input['view'] === view)
    .map((input) => String(input['input']))
  return {
    name: relationOf(view),
    inputs: names.map(relationOf),
    row,
    restore: withQuery(
      made.find(({ restore }) => restore.length > 0)?.restore ?? [],
      actual.liveQueries.get(view),
    ),
    ours: row['presentation'] !== 'matview' || made.some(({ kind }) => kind === 'matview'),
  }
}

/** A view that Tidemark created. Never by cascade: who reads it is asked to decide. */
function dropStep(view: Leaving, progress: Progress): PlanStep {
  const tree = progress.actual.relations.get(view.name)
  const readers = tree === undefined ? [] : readersOf(tree, progress)
  if (readers.length > 0) {
    throw new TidemarkError({
      code: 'TIDEMARK_DESTRUCTIVE_REFUSED',
      what: `${view.name} is no longer declared, and ${readers.map(({ name }) => name).join(', ')} read it`,
      mend: 'Drop these first, or declare the view again.',
    })
  }
  progress.gone.add(view.name)
  return stepOf({
    kind: 'drop',
    noun: 'view',
    name: view.name,
    detail: 'no longer declared; its name and its rows are gone, its run log stays',
    lock: tree === undefined ? null : `ACCESS EXCLUSIVE on ${view.name}`,
    destructive: true,
    sql: [
      ...dropObjects(view, tree !== undefined),
      ...forgetView(view.name),
      ...leaveOwner(tree, progress),
    ],
  })
}

/** Takes back what the owner of a view was granted for it, as far as it has no other. */
function leaveOwner(tree: RelationTree | undefined, { actual }: Progress): readonly string[] {
  const owner = tree?.relation.owner ?? actual.installer
  if (owner === actual.installer) return [shareWithOwners]
  const role = `${literal(identifier(owner))}::regrole`
  return [
    shareWithOwners,
    `do $$
begin
  if not exists (select from pg_class where relnamespace = 'tidemark_state'::regnamespace and relowner = ${role}
                 union all
                 select from pg_proc where pronamespace = 'tidemark_state'::regnamespace and proowner = ${role}) then
    revoke usage on schema tidemark_state from ${identifier(owner)};
  end if;
end $$`,
  ]
}

function dropObjects(view: Leaving, there: boolean): readonly string[] {
  const { relation, state, signature } = viewObjects(view.name)
  const kind =
    { view: 'view', table: 'table', matview: 'materialized view' }[
      String(view.row['presentation'])
    ] ?? 'view'
  return [
    ...(there ? [`drop ${kind} ${relation}`] : []),
    dropParts(view.name),
    `drop table if exists ${targetName(state)}`,
    ...dropFollowing(view.name),
    `drop function if exists ${signature}`,
  ]
}

/** An adopted view becomes a materialized view again, filled from its query. */
function restoreStep(view: Leaving, progress: Progress): PlanStep {
  const tree = progress.actual.relations.get(view.name)
  const { build, swap } = splitRestore(view.restore)
  const readers =
    tree === undefined ? { drop: [], again: [], told: '' } : moveReaders(tree, progress, true)
  return stepOf({
    kind: 'replace',
    noun: 'view',
    name: view.name,
    detail: `no longer declared; becomes the materialized view again that it was, with rows, indexes, grants and comments${readers.told}`,
    lock: `ACCESS EXCLUSIVE on ${view.name}`,
    expectedMs: progress.measures.refreshMs.get(view.name) ?? null,
    ownTransaction: true,
    sql: [
      ...(tree === undefined ? [] : makeRoom(tree.relation)),
      ...build,
      ...readers.drop,
      ...dropObjects(view, tree !== undefined),
      ...swap,
      ...forgetView(view.name),
      ...leaveOwner(tree, progress),
      ...readers.again,
    ],
  })
}

/** A materialized view that was only refreshed; it stays. */
function releaseStep(view: Leaving): PlanStep {
  return stepOf({
    kind: 'drop',
    noun: 'view',
    name: view.name,
    detail: 'no longer declared; the materialized view stays, nobody refreshes it',
    sql: [
      ...releasedIndexes(view),
      `drop function if exists ${viewObjects(view.name).signature}`,
      ...forgetView(view.name),
    ],
  })
}

/** Indexes that were declared here go; those that the materialized view had stay. */
const releasedIndexes = (view: Leaving): readonly string[] => [
  `do $$
declare made text;
begin
  for made in select a.name from tidemark.artifact a
              where a.kind = 'index' and a.owner_noun = 'view' and a.owner_name = ${literal(view.name)}
  loop
    execute 'drop index if exists ' || made;
  end loop;
end $$`,
]
