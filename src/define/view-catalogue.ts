import type { Configuration } from '../model/declaration.ts'
import type { RelationName } from '../model/ids.ts'
import { literal, qualifiedName } from '../postgres/identifier.ts'
import type { CatalogueRow } from './actual.ts'
import type { Row } from './catalogue-rows.ts'
import { differing, textArray, upsert } from './catalogue-rows.ts'
import type { DesiredView } from './desired.ts'
import type { Placement } from './groups.ts'
import { targetName } from './recreate.ts'
import { viewObjects } from './view-objects.ts'

/** Lanes as the catalogue has them. */
export const laneNumbers = { critical: 0, normal: 1, background: 2 } as const

/** Tables that a view reads directly, and the columns of them that it reads. */
export function sourcesOf({
  declaration,
  compiled,
}: DesiredView): ReadonlyMap<RelationName, readonly string[]> {
  const columns = new Map<RelationName, readonly string[]>()
  for (const name of declaration.reads ?? []) columns.set(name, [])
  for (const source of compiled.query.sources) columns.set(source.relation, source.columns)
  return columns
}

/** How the reason begins why a view that is kept up from what its refreshes find changed is `unknown` all the same. */
const looksOnly = 'seen_by_refreshes'

/** Why the state of a view cannot be known; null when every commit that it reads is captured. */
export function unknownReason({ declaration, compiled }: DesiredView): string | null {
  const { opaqueFunctions, uncaptured } = compiled.query
  if (uncaptured.length > 0) {
    return compiled.incremental === null
      ? `not_captured: ${uncaptured.join(', ')}`
      : `${looksOnly}: what changes in ${uncaptured.join(', ')} is seen by refreshes alone`
  }
  if (opaqueFunctions.length === 0 || declaration.reads !== null) return null
  return `function_reads_unknown: ${opaqueFunctions.join(', ')}; name the tables that it reads under reads`
}

/** The declaration of a view as the catalogue holds it. */
export function viewRow(desired: DesiredView, place: Placement, adopted: boolean): Row {
  const { declaration, compiled } = desired
  const { query } = compiled
  const { relation, state, maintain, fallback } = viewObjects(compiled.name)
  const { businessTarget } = declaration
  return {
    name: compiled.name,
    group_name: place.group,
    position: place.position,
    presentation: declaration.as,
    adopted,
    strategy: compiled.incremental?.strategy ?? 'full',
    needs_snapshot: compiled.incremental !== null,
    method: compiled.method,
    query: query.sql,
    digest: compiled.digest,
    key_columns: compiled.key,
    time_dependent: query.timeDependent || query.volatile,
    unknown_reason: unknownReason(desired),
    relation,
    state: declaration.as === 'view' ? targetName(state) : relation,
    maintain,
    target_ms: declaration.targetMs,
    very_stale_ms: declaration.veryStaleMs,
    policy: declaration.policy,
    budget_seconds_per_hour: declaration.budgetSecondsPerHour,
    verify: declaration.verify,
    refresh_roles: declaration.refreshBy.roles,
    refreshes_per_hour: declaration.refreshBy.perHour,
    fallback: declaration.fallback === 'source' ? qualifiedName(fallback) : null,
    business_target:
      businessTarget === null
        ? null
        : { json: { hours: businessTarget.hours, target_ms: businessTarget.targetMs } },
  }
}

/** Columns of a declaration in which the catalogue differs; equal digests make equal queries. */
export function differingColumns(row: Row, found: CatalogueRow | undefined): readonly string[] {
  const columns = differing(row, found)
  const sameQuery = found !== undefined && found['digest'] === row['digest']
  return sameQuery ? columns.filter((column) => column !== 'query') : columns
}

/** Longest timeout of the views of a group; null, the default, as soon as one of them has none. */
export function groupTimeout(views: readonly DesiredView[]): number | null {
  const timeouts = views.map(({ declaration }) => declaration.timeoutMs)
  return timeouts.reduce<number | null>(
    (longest, timeout) =>
      longest === null || timeout === null ? null : Math.max(longest, timeout),
    timeouts[0] ?? null,
  )
}

/** Writes the sources of a view, and only these. */
export function writeSources(desired: DesiredView): readonly string[] {
  const view = desired.compiled.name
  const sources = sourcesOf(desired)
  return [
    `delete from tidemark.view_source where view = ${literal(view)} and source <> all (${textArray([...sources.keys()])})`,
    ...[...sources].map(([source, columns]) =>
      upsert('view_source', { view, source, columns }, ['view', 'source']),
    ),
  ]
}

/** Writes those inputs of a view that are declared by now, and only these. */
export function writeInputs(
  view: RelationName,
  inputs: readonly RelationName[],
): readonly string[] {
  return [
    `delete from tidemark.view_input where view = ${literal(view)} and input <> all (${textArray(inputs)})`,
    ...inputs.map((input) => upsert('view_input', { view, input }, ['view', 'input'])),
  ]
}

/** What the view holds is of another query: it counts as never populated until it is refreshed. */
export function forgetContent(view: RelationName): readonly string[] {
  return [
    `delete from tidemark.tidemark where view = ${literal(view)}`,
    `insert into tidemark.view_state (view) values (${literal(view)})
on conflict (view) do update set populated = false, snapshot = null, as_of = null`,
  ]
}

/**
 * Ends a step that made or changed a view: what its refreshes rely on is as it should be, and its owner may read what they read.
 */
export const settleParts = (view: RelationName): readonly string[] => [
  `select tidemark.note_parts(${literal(view)})`,
  shareWithOwners,
]

/** Owners of incremental views are granted what their programs read, and what they no longer read is revoked. */
export const shareWithOwners = 'select tidemark.share_with_owners()'

/** Asks for a refresh by force, also of a group that was quarantined: its cause may be mended now. */
export function askForRefresh(group: string): readonly string[] {
  return [
    `update tidemark.refresh_group set failures = 0, not_before = null, quarantined_at = null, quarantine_reason = null
where name = ${literal(group)}`,
    `select tidemark.enqueue(${literal(group)}, 'manual', 'apply', 1::smallint, now(), true)`,
  ]
}

/** Forgets a view and, when it was the last one, its group. */
export const forgetView = (view: RelationName): readonly string[] => [
  `delete from tidemark.artifact where owner_noun = 'view' and owner_name = ${literal(view)}`,
  `delete from tidemark.view where name = ${literal(view)}`,
  forgetEmptyGroups,
]

/** Groups without views go. */
export const forgetEmptyGroups: string = `delete from tidemark.refresh_group g
where not exists (select from tidemark.view v where v.group_name = g.name)`

/** Settings of the configuration that functions in the database read. */
export const settingsOf = (configuration: Configuration): Readonly<Record<string, string>> => ({
  max_log_bytes: String(configuration.maxLogBytes),
  time_zone: configuration.timeZone,
})

/** Names and columns that a view reads, sorted by name, as pairs. */
export function rowsOf(
  rows: readonly CatalogueRow[],
  view: string,
  column: 'source' | 'input',
): readonly (readonly [unknown, unknown])[] {
  return rows
    .filter((row) => row['view'] === view)
    .map((row) => [row[column], row['columns'] ?? []] as const)
    .sort(([one], [other]) => (String(one) < String(other) ? -1 : 1))
}
