import type { RelationName } from '../model/ids.ts'
import { relationOf } from '../model/ids.ts'
import type { PlanStep } from '../model/plan.ts'
import { literal, qualifiedName } from '../postgres/identifier.ts'
import type { Actual, CatalogueRow } from './actual.ts'
import { forgetArtifact, noteArtifact, upsert } from './catalogue-rows.ts'
import type { DesiredSource } from './desired.ts'
import { shareWithOwners } from './view-catalogue.ts'
import type { FormerNames } from './view-steps.ts'
import { stepOf } from './view-steps.ts'

/** Sources that are captured under a former name of their table, and what the catalogue would be without that name. */
export interface RenamedSources {
  /** What there was, as if the sources had been called what they are called now. */
  readonly actual: Actual
  readonly steps: readonly PlanStep[]
  readonly names: FormerNames
}

/**
 * Gives captured tables that were renamed, or moved to another schema, the names that they have now. Their logs stay, and what
 * views reflect of them: nothing is computed anew for that. A table whose capture cannot be believed is captured anew instead, and so
 * is one that takes the name of another that is captured as well.
 */
export function renameSources(sources: readonly DesiredSource[], actual: Actual): RenamedSources {
  const wanted = new Set<unknown>(sources.map(({ program }) => program.source))
  const taken = new Set<unknown>(actual.catalogue.source.map(({ name }) => name))
  const renamed = sources.flatMap((source) => {
    const former = actual.catalogue.source.find(
      (row) => row['relation_oid'] === source.wish.shape.oid,
    )
    const name = former === undefined ? source.program.source : nameOf(former)
    const follows =
      former !== undefined &&
      former['status'] === 'captured' &&
      !taken.has(source.program.source) &&
      !wanted.has(name) &&
      !actual.captureProblems.has(name) &&
      actual.installationProblem === null
    return follows ? [{ source, former: name }] : []
  })
  return {
    actual: renamed.length === 0 ? actual : calledNow(actual, renamed),
    steps: renamed.map(({ source, former }) => renameStep(source, former, actual)),
    names: new Map(renamed.map(({ source, former }) => [source.program.source, former])),
  }
}

interface RenamedSource {
  readonly source: DesiredSource
  readonly former: RelationName
}

const nameOf = (row: CatalogueRow): RelationName => relationOf(String(row['name']))

/** What there was, with other names of sources. */
function calledNow(actual: Actual, sources: readonly RenamedSource[]): Actual {
  const { catalogue, artifacts } = actual
  const names = new Map<unknown, string>(
    sources.map(({ source, former }) => [former, source.program.source]),
  )
  const digests = new Map<unknown, string>(
    sources.map(({ source, former }) => [former, source.program.digest]),
  )
  const renamed = (column: string) => (row: CatalogueRow) => ({
    ...row,
    [column]: names.get(row[column]) ?? row[column],
  })
  return {
    ...actual,
    catalogue: {
      ...catalogue,
      source: catalogue.source.map((row) => ({
        ...row,
        name: names.get(row['name']) ?? row['name'],
        // The step that renames it has installed what is wanted.
        ...(names.has(row['name']) ? { digest: digests.get(row['name']) } : {}),
      })),
      view_source: catalogue.view_source.map(renamed('source')),
      event_rule: catalogue.event_rule.map(renamed('source')),
    },
    artifacts: artifacts.map((artifact) =>
      artifact.kind === 'source'
        ? { ...artifact, name: names.get(artifact.name) ?? artifact.name }
        : artifact,
    ),
  }
}

/**
 * Another name for a source: its logs are called otherwise, what captures it is made anew over them. No writer comes between, so that
 * what making it anew takes for a gap is none; that the log has other columns now is one.
 */
function renameStep({ wish, program }: DesiredSource, former: string, actual: Actual): PlanStep {
  const { source } = program
  const [from, to] = [literal(former), literal(source)]
  return stepOf({
    kind: 'change',
    noun: 'source',
    name: source,
    detail: `${former} is called ${source} now; its change log stays`,
    lock: `ACCESS EXCLUSIVE on ${source}`,
    expectedMs: 20,
    ownTransaction: true,
    sql: [
      // First of all: a refresh locks a table before its log.
      `lock table ${qualifiedName(source)} in access exclusive mode`,
      `select tidemark.rename_logs(${from}, ${to})`,
      ...uninstallOf(former, actual),
      forgetArtifact('source', former),
      `select tidemark.rename_source(${from}, ${to})`,
      ...program.install,
      `delete from tidemark.gap where source = ${to} and xid = pg_current_xact_id() and reason ~ '^(column_dropped|trigger_missing):'`,
      ...noteCapture({ wish, program }, 'null'),
      shareWithOwners,
    ],
  })
}

/**
 * Captures each source, or renews its capture; nothing for one that is captured as wanted.
 * A transaction of its own for each: the lock waits out open writers and is held for moments, and views are
 * populated after it has committed, so that no commit falls between.
 */
export function captureSteps(
  sources: readonly DesiredSource[],
  actual: Actual,
): readonly PlanStep[] {
  const changing = sources.filter((source) => !isCaptured(source, actual))
  const formerOf = new Map(
    changing.map(({ wish: { shape } }) => [shape.name, formerNames(shape.oid, shape.name, actual)]),
  )
  const exchanged = exchangedNames(formerOf)
  const taken = new Set(exchanged.flatMap((name) => [name, ...(formerOf.get(name) ?? [])]))
  return [
    ...[...taken].flatMap((name) => takeAwayStep(name, actual)),
    ...changing.map((source) => {
      const former = formerOf.get(source.wish.shape.name) ?? []
      return captureStep(
        source,
        former.filter((name) => !taken.has(name)),
        actual,
      )
    }),
  ]
}

/** Why a source has to be captured anew although it is. */
function problemOf(source: DesiredSource, actual: Actual): string | undefined {
  const row = rowOf(source, actual)
  return row !== undefined && row['relation_oid'] !== source.wish.shape.oid
    ? 'another table has its name now'
    : actual.captureProblems.get(source.program.source)
}

/** What the catalogue has of a source; undefined: it is not captured yet. */
const rowOf = ({ program }: DesiredSource, { catalogue }: Actual): CatalogueRow | undefined =>
  catalogue.source.find(({ name }) => name === program.source)

const isCaptured = (source: DesiredSource, actual: Actual): boolean =>
  problemOf(source, actual) === undefined &&
  rowOf(source, actual)?.['digest'] === source.program.digest

/**
 * Takes away what a table was captured as before tables exchanged names; a later step captures each under its own. Before all of these,
 * and one by one: none takes away what another has made, nor waits for one table while it has locked another. Until its turn comes a
 * table is not captured, and its views are unknown.
 */
function takeAwayStep(name: string, actual: Actual): readonly PlanStep[] {
  const sql = uninstallOf(name, actual)
  if (sql.length === 0) return []
  const detail =
    'its capture is taken away: tables have exchanged names, and each is captured under its own'
  return [
    stepOf({
      kind: 'change',
      noun: 'source',
      name,
      detail,
      lock: `ACCESS EXCLUSIVE on the table that was called ${name}`,
      expectedMs: 20,
      ownTransaction: true,
      sql,
    }),
  ]
}

/** `former`: sources whose capture is taken away in the same transaction. */
function captureStep(source: DesiredSource, former: readonly string[], actual: Actual): PlanStep {
  const { wish, program } = source
  const row = rowOf(source, actual)
  const problem = problemOf(source, actual)
  const events = wish.events.length === 0 ? '' : `, ${wish.events.length} event rules`
  const what =
    wish.mode === 'marks'
      ? `that a transaction changed ${listed(wish.columns)}`
      : `changed rows of ${listed(wish.columns)}`
  return stepOf({
    kind: row === undefined ? 'create' : 'change',
    noun: 'source',
    name: program.source,
    detail: `${row === undefined ? 'captured' : (problem ?? 'captured otherwise')}: ${what}${events}`,
    lock: `${former.length === 0 ? 'SHARE ROW' : 'ACCESS'} EXCLUSIVE on ${program.source}`,
    expectedMs: 20,
    ownTransaction: true,
    sql: [
      ...former.flatMap((name) => uninstallOf(name, actual)),
      ...program.install,
      ...noteCapture(source, gapOf(row, problem)),
      ...(row === undefined || problem === undefined ? [] : [refreshReaders(program.source)]),
      // A log that was replaced has lost its grants.
      ...(row === undefined ? [] : [shareWithOwners]),
    ],
  })
}

/** Writes how a source is captured, and takes that for right; `gap` is a reason as SQL. */
const noteCapture = ({ wish, program }: DesiredSource, gap: string): readonly string[] => [
  upsert(
    'source',
    {
      name: program.source,
      relation: qualifiedName(program.source),
      mode: wish.mode,
      columns: wish.columns,
      digest: program.digest,
    },
    ['name'],
  ),
  `select tidemark.trust(${literal(program.source)}, ${gap})`,
  noteArtifact({
    kind: 'source',
    name: program.source,
    ownerNoun: 'source',
    ownerName: program.source,
    restore: program.uninstall,
    digest: program.digest,
  }),
]

/**
 * Names under which a table was captured before. Its capture is taken away by the transaction that captures it under the
 * new one, or before: both share functions over the row of the table, and no writer may meet one without the other.
 */
const formerNames = (oid: number, source: string, actual: Actual): readonly string[] =>
  actual.catalogue.source
    .filter((row) => row['relation_oid'] === oid && row['name'] !== source)
    .map(({ name }) => String(name))

/** Sources that have exchanged names: what one table was captured as is wanted for another. */
function exchangedNames(
  formerOf: ReadonlyMap<RelationName, readonly string[]>,
): readonly RelationName[] {
  const wanted = new Set<string>(formerOf.keys())
  const reused = new Set([...formerOf.values()].flat().filter((name) => wanted.has(name)))
  return [...formerOf]
    .filter(([name, former]) => [name, ...former].some((each) => reused.has(each)))
    .map(([name]) => name)
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
        // Of DROP TRIGGER.
        lock: `ACCESS EXCLUSIVE on ${name}`,
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
