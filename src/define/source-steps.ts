import type { PlanStep } from '../model/plan.ts'
import { literal, qualifiedName } from '../postgres/identifier.ts'
import type { Actual, CatalogueRow } from './actual.ts'
import { forgetArtifact, noteArtifact, upsert } from './catalogue-rows.ts'
import type { DesiredSource } from './desired.ts'
import { stepOf } from './view-steps.ts'

/**
 * Captures a source, or renews its capture; nothing when it is captured as wanted.
 * A transaction of its own: the lock waits out open writers and is held for moments, and views are
 * populated after it has committed, so that no commit falls between.
 */
export function captureSteps(
  { wish, program }: DesiredSource,
  actual: Actual,
): readonly PlanStep[] {
  const { source } = program
  const row = actual.catalogue.source.find(({ name }) => name === source)
  const problem = actual.captureProblems.get(source)
  if (row?.['digest'] === program.digest && problem === undefined) return []
  const events = wish.events.length === 0 ? '' : `, ${wish.events.length} event rules`
  const what =
    wish.mode === 'marks'
      ? `that a transaction changed ${listed(wish.columns)}`
      : `changed rows of ${listed(wish.columns)}`
  return [
    stepOf({
      kind: row === undefined ? 'create' : 'change',
      noun: 'source',
      name: source,
      detail: `${row === undefined ? 'captured' : (problem ?? 'captured otherwise')}: ${what}${events}`,
      lock: `SHARE ROW EXCLUSIVE on ${source}`,
      expectedMs: 20,
      ownTransaction: true,
      sql: [
        ...program.install,
        upsert(
          'source',
          {
            name: source,
            relation: qualifiedName(source),
            mode: wish.mode,
            columns: wish.columns,
            digest: program.digest,
          },
          ['name'],
        ),
        `select tidemark.trust(${literal(source)}, ${gapOf(row, problem)})`,
        noteArtifact({
          kind: 'source',
          name: source,
          ownerNoun: 'source',
          ownerName: source,
          restore: program.uninstall,
          digest: program.digest,
        }),
      ],
    }),
  ]
}

/** What was done while capture did not hold is not in the log. */
const gapOf = (row: CatalogueRow | undefined, problem: string | undefined): string =>
  row === undefined || problem === undefined ? 'null' : literal(`captured again: ${problem}`)

const listed = (columns: readonly string[]): string => {
  if (columns.length === 0) return 'any column'
  return columns.length > 6 ? `${columns.length} columns` : columns.join(', ')
}

/** Sources that nobody needs any more: triggers, functions and logs go, the table is as it was. */
export function releaseSteps(
  sources: readonly DesiredSource[],
  actual: Actual,
): readonly PlanStep[] {
  const wanted = new Set<unknown>(sources.map(({ program }) => program.source))
  return actual.catalogue.source
    .filter(({ name }) => !wanted.has(name))
    .map((row) => {
      const name = String(row['name'])
      const made = actual.artifacts.find(
        (artifact) => artifact.kind === 'source' && artifact.name === name,
      )
      return stepOf({
        kind: 'drop',
        noun: 'source',
        name,
        detail: 'no longer read by a view or rule; triggers and change log go, the table stays',
        lock: `SHARE ROW EXCLUSIVE on ${name}`,
        expectedMs: 20,
        ownTransaction: true,
        sql: [
          ...(made?.restore ?? []),
          `delete from tidemark.source where name = ${literal(name)}`,
          forgetArtifact('source', name),
        ],
      })
    })
}
