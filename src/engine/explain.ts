import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readSourceShapes } from '../capture/shape.ts'
import { textsOf } from '../compile/compile-view.ts'
import type { ReadView } from '../compile/emit/inputs.ts'
import type { StageSummary } from '../compile/explain.ts'
import {
  deltaLines,
  methodWords,
  relationLines,
  stageLines,
  stageSummary,
  syntaxLines,
} from '../compile/explain.ts'
import type { Obstacle } from '../compile/emit/draft.ts'
import { parseQuery, placeOfByte } from '../compile/syntax/parse.ts'
import type { FileFault, FileQuery } from '../compile/syntax/statements.ts'
import { queriesIn } from '../compile/syntax/statements.ts'
import type { QueryTexts } from '../compile/syntax/written-place.ts'
import { placeOfReason, placeText } from '../compile/syntax/written-place.ts'
import { canonicalise } from '../define/canonicalise.ts'
import type { Configuration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { relationName } from '../model/ids.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import type { CanonicalQuery } from '../model/view.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import { identifier, qualifiedName } from '../postgres/identifier.ts'
import { computedAltogether } from './altogether.ts'
import type { ViewInMaking } from './compile-views.ts'
import { compileConfiguration } from './define.ts'
import { viewMeant, viewUnknown } from './named-view.ts'
import type { MadeProgram } from './program.ts'
import { noProgram, programOf } from './program.ts'
import { hiddenReason, hiddenRows, rowSecurityFault } from './row-security.ts'

export { methodWords } from '../compile/explain.ts'
export type { StageMethod, StageSummary } from '../compile/explain.ts'

/** The steps from the text of a query to the program that refreshes it. */
export const stagesToShow = ['parsed', 'bound', 'relation', 'delta', 'sql'] as const

/** One of the steps. */
export type StageToShow = (typeof stagesToShow)[number]

/** Why a strategy was chosen, and what in the SQL is the reason. */
export interface ExplainedReason {
  readonly reason: string
  /** `line:column`, in what was written unless the words after it say otherwise; null where no place is to blame. */
  readonly place: string | null
}

/** How a query would be, or is, maintained. */
export interface Explanation {
  /** `statement`: it does not parse, so that nobody knows what it is. */
  readonly statement: 'select' | 'view' | 'materialized view' | 'statement'
  readonly name: string | null
  /** Where the statement begins in its file. */
  readonly place: string | null
  readonly strategy: 'incremental' | 'partition' | 'full' | null
  readonly reasons: readonly ExplainedReason[]
  readonly stages: readonly StageSummary[]
  readonly indexes: readonly IndexProposal[]
  /** Why nothing can be said. */
  readonly error: ExplainedError | null
}

/** What PostgreSQL, or Tidemark, does not accept in a statement. */
export interface ExplainedError {
  readonly code: string | null
  readonly what: string
  readonly place: string | null
}

const ruled = 'every part of the query has a rule'

/**
 * Explains how a view of the configuration is maintained; with `show` also one of the steps, as lines.
 * Leaves nothing in the database.
 */
export async function explainView(
  database: Database,
  configuration: Configuration,
  asked: { readonly view: string; readonly show: StageToShow | null },
): Promise<{ readonly explanation: Explanation; readonly lines: readonly string[] }> {
  const names = configuration.views.map(({ name }) => name)
  const name = viewMeant(asked.view, names)
  if (name === undefined) throw viewUnknown(asked.view, names)
  const { views } = await database.transaction(
    (transaction) => compileConfiguration(transaction, configuration),
    { isolation: 'repeatable read', jit: false },
  )
  const view = views.find(({ compiled }) => compiled.name === name)
  if (view === undefined) throw viewUnknown(asked.view, names)
  return {
    explanation: await explained(view),
    lines: asked.show === null ? [] : await shownStep(view, asked.show),
  }
}

async function explained({ declaration, compiled, made }: ViewInMaking): Promise<Explanation> {
  const texts = await textsOf(declaration.definition, compiled.query)
  const declared =
    declaration.as === 'matview'
      ? ['a materialized view can only be refreshed whole']
      : declaration.maintain === 'full'
        ? ['declared so']
        : []
  return {
    statement: declaration.as === 'matview' ? 'materialized view' : 'view',
    name: compiled.name,
    place: null,
    ...outcomeOf(made, texts, declared),
  }
}

function outcomeOf(
  { program, obstacles, stages, indexes }: MadeProgram,
  texts: QueryTexts,
  declared: readonly string[] = [],
): Pick<Explanation, 'strategy' | 'reasons' | 'stages' | 'indexes' | 'error'> {
  const before = program?.strategy === 'partition' ? 'not incremental: ' : ''
  const told = obstacles
    .map((obstacle) => reasonOf(obstacle, texts))
    .map(({ reason, place }) => ({ reason: `${before}${reason}`, place }))
  const afresh =
    program?.strategy === 'incremental'
      ? computedAltogether(stages, texts)
          .map((part) => reasonOf(part, texts))
          .map(({ reason, place }) => ({ reason: `${methodWords.all}: ${reason}`, place }))
      : []
  const plain =
    declared.length > 0
      ? declared
      : program?.strategy === 'partition'
        ? program.reasons
        : program !== null && told.length + afresh.length === 0
          ? [ruled]
          : []
  return {
    strategy: program?.strategy ?? 'full',
    reasons: [...plain.map((reason) => ({ reason, place: null })), ...told, ...afresh],
    stages: program === null ? [] : stages.map((stored) => stageSummary(stored)),
    indexes,
    error: null,
  }
}

function reasonOf(obstacle: Obstacle, texts: QueryTexts): ExplainedReason {
  const place = placeOfReason(obstacle, texts)
  return { reason: obstacle.reason, place: place === null ? null : placeText(place) }
}

async function shownStep(
  { compiled, made }: ViewInMaking,
  show: StageToShow,
): Promise<readonly string[]> {
  const { draft, program } = made
  const { query, name } = compiled
  if (show === 'parsed') {
    const { select } = await parseQuery(query.sql)
    return [...query.sql.split('\n'), '', ...syntaxLines(select)]
  }
  if (show === 'sql') {
    const install = program === null ? [] : program.install.map((statement) => `${statement};\n`)
    return [...install, compiled.maintainSql].flatMap((text) => text.split('\n'))
  }
  if (draft === null) return [`nothing: ${name} is computed in full, and its query is not bound`]
  if (show === 'bound') return relationLines(draft.relation)
  const last = draft.stages.at(-1)
  return draft.stages.flatMap((stage) => {
    const title = `stage ${String(stage.number)}, ${stage === last ? name : `a part of ${name}`}`
    const weights = made.stages.some((stored) => stored.stage === stage && stored.groups !== null)
    return show === 'relation' ? stageLines(stage, title) : deltaLines(stage, { title, weights })
  })
}

/** What the queries of a file are, and how many of its statements are none. */
export interface ExplainedFile {
  readonly queries: readonly Explanation[]
  readonly passedOver: number
}

/**
 * Explains each SELECT, CREATE VIEW and CREATE MATERIALIZED VIEW of a file as `maintain: 'auto'` would have it.
 *
 * Runs none of them and leaves nothing in the database: what is made of them is temporary, or a view for later
 * statements to read, below a savepoint that is rolled back. A statement that cannot be understood does not keep others
 * from being explained, nor does one that does not parse. Throws `TIDEMARK_USAGE` for a file that cannot be read.
 */
export async function explainFile(
  database: Database,
  file: { readonly folder: string; readonly path: string },
): Promise<ExplainedFile> {
  const text = textOf(file)
  const { queries, faults, others } = await queriesIn(text)
  const found = await database.transaction(
    async (transaction) => {
      await transaction.query('savepoint explain_file')
      try {
        return await explainAll(transaction, queries, text)
      } finally {
        await transaction.query('rollback to savepoint explain_file').catch(() => [])
      }
    },
    { isolation: 'repeatable read', jit: false },
  )
  const all = [
    ...found.map((explanation, at) => ({ explanation, byte: queries[at]?.byte ?? 0 })),
    ...faults.map((fault) => ({ explanation: unparsed(fault, text), byte: fault.byte })),
  ].sort((one, other) => one.byte - other.byte)
  return { queries: all.map(({ explanation }) => explanation), passedOver: others }
}

const unparsed = (fault: FileFault, text: string): Explanation => ({
  statement: 'statement',
  name: null,
  place: fault.place,
  strategy: null,
  reasons: [],
  stages: [],
  indexes: [],
  error: errorOf(fault.error, fault, text),
})

function textOf({ folder, path }: { readonly folder: string; readonly path: string }): string {
  try {
    return readFileSync(resolve(folder, path), 'utf8')
  } catch (cause) {
    throw new TidemarkError({
      code: 'TIDEMARK_USAGE',
      what: `The file ${path} cannot be read`,
      mend: 'Name a file of SQL that you may read after --file.',
      cause,
    })
  }
}

interface Known {
  /** Maintained views, and what would be: they are read as they stand. */
  readonly declared: RelationName[]
  /** Those of them that tell what changes in them. */
  readonly telling: Map<RelationName, ReadView>
}

async function explainAll(
  transaction: Queryable,
  queries: readonly FileQuery[],
  text: string,
): Promise<readonly Explanation[]> {
  const [row] = await transaction.query<{ schema: string | null; zone: string; role: string }>(
    `select current_schema() as schema, current_setting('timezone') as zone, current_user::text as role`,
  )
  const { zone: timeZone = 'UTC', role = '' } = row ?? {}
  const known = await maintainedViews(transaction)
  const explanations: Explanation[] = []
  for (const [at, query] of queries.entries()) {
    const schema = query.name?.schema ?? row?.schema ?? 'public'
    const name = relationName(schema, query.name?.name ?? `query ${String(at + 1)}`)
    if (query.kind === 'materialized view') known.declared.push(name)
    const owner = (await ownerOf(transaction, name)) ?? role
    explanations.push(await explainOne(transaction, { name, query, known, text, timeZone, owner }))
    await standIn(transaction, name, query)
  }
  return explanations
}

/** Who owns what has a name, and so what would be computed under it. */
async function ownerOf(transaction: Queryable, name: RelationName): Promise<string | undefined> {
  const [row] = await transaction.query<{ owner: string }>(
    'select pg_get_userbyid(relowner)::text as owner from pg_class where oid = to_regclass($1)',
    [qualifiedName(name)],
  )
  return row?.owner
}

async function maintainedViews(transaction: Queryable): Promise<Known> {
  const [installed] = await transaction.query<{ there: boolean }>(
    `select to_regclass('tidemark.view') is not null
            and has_table_privilege('tidemark.view', 'select') as there`,
  )
  if (installed?.there !== true) return { declared: [], telling: new Map() }
  const rows = await transaction.query<{
    name: RelationName
    strategy: string
    columns: ReadView['columns']
  }>(
    `select v.name, v.strategy,
            coalesce((select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum)
                        from pg_attribute a where a.attrelid = to_regclass(v.relation) and a.attnum > 0 and not a.attisdropped), '[]') as columns
       from tidemark.view v order by v.name`,
  )
  return {
    declared: rows.map(({ name }) => name),
    telling: new Map(
      rows
        .filter(({ strategy }) => strategy !== 'full')
        .map(({ name, columns }) => [name, { name, columns }]),
    ),
  }
}

interface OneQuery {
  readonly name: RelationName
  readonly query: FileQuery
  readonly known: Known
  /** The file. */
  readonly text: string
  readonly timeZone: string
  /** Who owns what has the name; else the role that asks, whose views they would be. */
  readonly owner: string
}

async function explainOne(transaction: Queryable, one: OneQuery): Promise<Explanation> {
  const { name, query, text } = one
  const head = {
    statement: query.kind,
    name: query.kind === 'select' ? null : name,
    place: query.place,
  }
  await transaction.query('savepoint explain_one')
  try {
    const outcome = await outcomeIn(transaction, one)
    await transaction.query('rollback to savepoint explain_one')
    const reasons = outcome.reasons.map(({ reason, place }) => ({
      reason,
      place: place === null ? null : inFile(place, query, text),
    }))
    return { ...head, ...outcome, reasons }
  } catch (error) {
    await transaction.query('rollback to savepoint explain_one')
    const nothing = { strategy: null, reasons: [], stages: [], indexes: [] }
    return { ...head, ...nothing, error: errorOf(error, query, text) }
  }
}

function errorOf(error: unknown, query: Pick<FileQuery, 'byte'>, text: string): ExplainedError {
  if (error instanceof TidemarkError) {
    const { code, what, place } = error
    return { code, what, place: place === undefined ? null : inFile(place, query, text) }
  }
  return { code: null, what: error instanceof Error ? error.message : String(error), place: null }
}

async function outcomeIn(
  transaction: Queryable,
  { name, query, known, timeZone, owner }: OneQuery,
): Promise<ReturnType<typeof outcomeOf>> {
  const { sql } = query
  await parseQuery(sql)
  const others = known.declared.filter((each) => each !== name)
  const found = await canonicalise(transaction, { name, sql }, others)
  const read = found.sources.map(({ relation }) => relation)
  const { shapes, refused } = await readSourceShapes(transaction, read)
  const canonical: CanonicalQuery = {
    ...found,
    sources: found.sources.filter(({ relation }) => !refused.has(relation)),
    uncaptured: [...found.uncaptured, ...refused.keys()].sort(),
  }
  const wish = {
    view: name,
    query: canonical,
    shapes,
    timeZone,
    uniqueIndexes: false,
    key: null,
    inputs: canonical.inputs.flatMap((input) => known.telling.get(input) ?? []),
  }
  const [hidden] = await hiddenRows(transaction, [{ role: owner, query: canonical }])
  const [first] = hidden?.query ?? []
  if (first !== undefined) throw rowSecurityFault(name, first)
  const changes = hidden?.changes ?? []
  const partition = { by: null, keys: new Map(), reads: null }
  const made =
    changes.length > 0
      ? noProgram([{ reason: hiddenReason(owner, changes) }])
      : await programOf(transaction, { wish, owner, maintain: 'auto', partition })
  if (made.program !== null && query.kind === 'materialized view') {
    const columns = canonical.columns.map((column, at) => ({
      ...column,
      name: query.columns[at] ?? column.name,
    }))
    known.telling.set(name, { name, columns })
  }
  return outcomeOf(made, await textsOf({ kind: 'sql', sql }, canonical))
}

/** Makes a view that does not exist, for later statements to read; they are told if it cannot be made. */
async function standIn(
  transaction: Queryable,
  name: RelationName,
  { kind, sql, columns }: FileQuery,
): Promise<void> {
  if (kind === 'select') return
  const list = columns.length === 0 ? '' : ` (${columns.map(identifier).join(', ')})`
  await transaction.query('savepoint stand_in')
  try {
    const [there] = await transaction.query<{ there: boolean }>(
      'select to_regclass($1) is not null as there',
      [qualifiedName(name)],
    )
    if (there?.there === true) return
    await transaction.query(`create view ${qualifiedName(name)}${list} as\n${sql}`)
  } catch {
    await transaction.query('rollback to savepoint stand_in')
  }
}

/** A place within a query, `line:column` and perhaps more words, as a place in the file that it stands in. */
function inFile(place: string, { byte }: Pick<FileQuery, 'byte'>, text: string): string {
  const [, line, column, rest = ''] = /^(\d+):(\d+)(.*)$/s.exec(place) ?? []
  // Of another text than that of the file.
  if (line === undefined || column === undefined || rest !== '') return place
  const [firstLine = 1, firstColumn = 1] = placeOfByte(text, byte).split(':').map(Number)
  const onFirst = line === '1'
  return `${String(firstLine + Number(line) - 1)}:${String(onFirst ? firstColumn + Number(column) - 1 : Number(column))}`
}
