import type { PlanStep } from '../model/plan.ts'
import { literal, qualifiedName } from '../postgres/identifier.ts'
import type { Actual, CatalogueRow } from './actual.ts'
import { forgetArtifact, noteArtifact, upsert } from './catalogue-rows.ts'
import type { DesiredSource } from './desired.ts'
import { shareWithOwners } from './view-catalogue.ts'
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
  const another = row !== undefined && row['relation_oid'] !== wish.shape.oid
  const problem = another ? 'another table has its name now' : actual.captureProblems.get(source)
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
        ...formerCapture(wish.shape.oid, source, actual),
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
        ...(row === undefined || problem === undefined ? [] : [refreshReaders(source)]),
        // A log that was replaced has lost its grants.
        ...(row === undefined ? [] : [shareWithOwners]),
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

/**
 * Takes the capture away that the table has under a former name, in the transaction that captures it
 * under its new one: both share functions over the row of the table, and no writer may meet one without
 * the other.
 */
function formerCapture(oid: number, source: string, actual: Actual): readonly string[] {
  const former = actual.catalogue.source.filter(
    (row) => row['relation_oid'] === oid && row['name'] !== source,
  )
  return former.flatMap(({ name }) => uninstallOf(String(name), actual))
}

const uninstallOf = (source: string, { artifacts }: Actual): readonly string[] =>
  artifacts.find(({ kind, name }) => kind === 'source' && name === source)?.restore ?? []

/** What was done while capture did not hold is not in the log. */
const gapOf = (row: CatalogueRow | undefined, problem: string | undefined): string =>
  row === undefined || problem === undefined ? 'null' : literal(`captured again: ${problem}`)

/** Served after this transaction has committed, so with a snapshot that sees the gap. */
const refreshReaders = (
  source: string,
): string => `select tidemark.enqueue(r.group_name, 'manual', 'apply', 1::smallint, now(), true)
from (select distinct v.group_name from tidemark.view_source s join tidemark.view v on v.name = s.view
      where s.source = ${literal(source)}) r`

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
      return stepOf({
        kind: 'drop',
        noun: 'source',
        name,
        detail: 'no longer read by a view or rule; triggers and change log go, the table stays',
        lock: `SHARE ROW EXCLUSIVE on ${name}`,
        expectedMs: 20,
        ownTransaction: true,
        sql: [
          ...uninstallOf(name, actual),
          `delete from tidemark.source where name = ${literal(name)}`,
          forgetArtifact('source', name),
        ],
      })
    })
}
