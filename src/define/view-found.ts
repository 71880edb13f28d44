import type { RelationName } from '../model/ids.ts'
import type { Artifact, CatalogueRow, RelationTree } from './actual.ts'
import { restoreOf } from './view-create.ts'
import type { Progress } from './view-steps.ts'
import { ownIndexes } from './view-table.ts'

/** A declared view as found: its row and the objects made for it. */
export interface Found {
  readonly row: CatalogueRow
  readonly artifacts: readonly Artifact[]
  readonly tree: RelationTree | undefined
}

/** A piece of a change: what to say of it and what to run. */
export interface Change {
  readonly told: string
  readonly sql: readonly string[]
  /** The rows are those of another query. */
  readonly repopulates?: boolean
}

/** An object that was made for a view. */
export const artifactOf = (
  found: Found,
  kind: Artifact['kind'],
  name: string,
): Artifact | undefined =>
  found.artifacts.find((artifact) => artifact.kind === kind && artifact.name === name)

/** What the refreshes of a view rely on and somebody has altered or dropped. */
export const alteredParts = (view: RelationName, { actual }: Progress): readonly string[] =>
  actual.alteredParts.get(view) ?? []

/** The way back of an adopted view: as kept, or from the materialized view that still stands. */
export function restoreFor({ row, artifacts, tree }: Found): readonly string[] {
  const kept = artifacts.find(({ restore }) => restore.length > 0)
  if (kept !== undefined) return kept.restore
  return row['adopted'] === true && tree?.relation.kind === 'matview'
    ? // Declared indexes are not its own.
      restoreOf(ownIndexes(tree.relation, artifacts))
    : []
}
