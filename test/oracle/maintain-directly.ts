import { captureProgram } from '../../src/capture/program.ts'
import { readSourceShape } from '../../src/capture/shape.ts'
import type { IncrementalProgram } from '../../src/compile/emit-incremental.ts'
import { draftIncremental, finishIncremental } from '../../src/compile/incremental.ts'
import { canonicalise } from '../../src/define/canonicalise.ts'
import { probeTypes } from '../../src/define/probe-types.ts'
import type { CaptureProgram, SourceShape } from '../../src/model/capture.ts'
import type { RelationName } from '../../src/model/ids.ts'
import { partsOf, relationName } from '../../src/model/ids.ts'
import { viewNames } from '../../src/model/names.ts'
import type { CanonicalQuery } from '../../src/model/view.ts'
import type { Database, Queryable } from '../../src/postgres/connection.ts'
import { identifier, qualified } from '../../src/postgres/identifier.ts'
import type { CaseView } from './case.ts'
import type { InstalledView, Maintainer, Refreshed } from './maintainer.ts'

const catalogs = [
  'pg_attribute',
  'pg_class',
  'pg_depend',
  'pg_index',
  'pg_proc',
  'pg_rewrite',
  'pg_shdepend',
  'pg_trigger',
  'pg_type',
]

interface Compiled {
  readonly view: CaseView
  readonly name: RelationName
  readonly query: CanonicalQuery
  readonly program: IncrementalProgram
  /** Parts for which there is no rule. */
  readonly wholes: readonly string[]
}

/**
 * Incremental views by the compiler's own programs, without plan, catalogue, requests and runs around
 * them: a tenth of the time, and what one of them raises harms no other.
 */
export function maintainDirectly(): Maintainer {
  let captured: CaptureProgram[] = []
  const kept = new Map<string, Reflected | null>()
  return {
    async install(database, views) {
      const refused = new Map<string, string>()
      const { compiled, shapes } = await compileAll(database, views, refused)
      captured = await captureAll(database, compiled, shapes)
      const installed: InstalledView[] = []
      kept.clear()
      for (const each of compiled) {
        const fault = await createView(database, each)
        if (fault !== null) refused.set(each.view.name, `not installed: ${fault}`)
        else {
          kept.set(each.view.name, null)
          installed.push(installedOf(each))
        }
      }
      return { installed, refused }
    },
    refresh: (database) => refreshAll(database, kept),
    async remove(database) {
      await database.query(
        'drop schema if exists o cascade; drop schema tidemark_state cascade; create schema tidemark_state',
      )
      for (const { uninstall } of captured) await database.query(uninstall.join(';\n'))
      captured = []
      // Thousands of objects come and go, and nobody else cleans up in time.
      await database.query(`vacuum ${catalogs.map((name) => `pg_catalog.${name}`).join(', ')}`)
    },
  }
}

const installedOf = ({ view, program, wholes }: Compiled): InstalledView => ({
  name: view.name,
  sqlToCompare: program.exactSql,
  strategy: wholes.length === 0 ? 'incremental' : 'whole',
  refusedBecause: wholes.length === 0 ? null : wholes.join('; '),
})

async function compileAll(
  database: Database,
  views: readonly CaseView[],
  refused: Map<string, string>,
): Promise<{
  readonly compiled: readonly Compiled[]
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
}> {
  const shapes = new Map<RelationName, SourceShape>()
  const compiled: Compiled[] = []
  for (const view of views) {
    // A transaction for each: what one leaves behind in the catalog does not slow down the next.
    try {
      const result = await database.transaction((transaction) => compile(transaction, view, shapes))
      if (typeof result === 'string') refused.set(view.name, result)
      else compiled.push(result)
    } catch (error) {
      // The compiler broke, or PostgreSQL refuses what it wrote: no fallback but a fault.
      refused.set(view.name, `${brokenCompiler}${String(error)}`)
    }
  }
  return { compiled, shapes }
}

/** How the detail of a refusal begins that nobody has meant. */
export const brokenCompiler = 'the compiler broke: '

/** A view compiled, or why it is not. */
async function compile(
  transaction: Queryable,
  view: CaseView,
  shapes: Map<RelationName, SourceShape>,
): Promise<Compiled | string> {
  const [schema = '', relation = ''] = view.name.split('.')
  const name = relationName(schema, relation)
  const query = await canonicalise(transaction, { name, sql: view.sql }, [])
  for (const source of query.sources) {
    if (shapes.has(source.relation)) continue
    shapes.set(source.relation, await readSourceShape(transaction, source.relation))
  }
  const draft = await draftIncremental({
    view: name,
    query,
    shapes,
    timeZone: 'UTC',
    uniqueIndexes: false,
    key: null,
  })
  if (!('stages' in draft)) return draft.map(({ reason }) => reason).join('; ')
  const types = await probeTypes(
    transaction,
    draft.probes.map(({ sql }) => sql),
  )
  const program = finishIncremental(draft, types)
  if (!('maintainSql' in program)) return program.map(({ reason }) => reason).join('; ')
  return { view, name, query, program, wholes: draft.obstacles.map(({ reason }) => reason) }
}

/** Captures every source that is read, with every column that some view reads. */
async function captureAll(
  database: Database,
  compiled: readonly Compiled[],
  shapes: ReadonlyMap<RelationName, SourceShape>,
): Promise<CaptureProgram[]> {
  const programs: CaptureProgram[] = []
  for (const [source, shape] of shapes) {
    const read = compiled.flatMap(({ query }) =>
      query.sources.filter(({ relation }) => relation === source).flatMap(({ columns }) => columns),
    )
    const columns = shape.columns.map(({ name }) => name).filter((name) => read.includes(name))
    programs.push(
      captureProgram({ shape, mode: 'rows', columns, events: [], wakes: false, cached: false }),
    )
  }
  await database.transaction(async (transaction) => {
    for (const { install } of programs) await transaction.query(install.join(';\n'))
  })
  return programs
}

async function createView(
  database: Database,
  { name, query, program }: Compiled,
): Promise<string | null> {
  const state = qualified('tidemark_state', viewNames.state(name))
  const { schema, name: relation } = partsOf(name)
  const columns = query.columns.map((column) => identifier(column.name)).join(', ')
  const statements = [
    `create table ${state} as ${query.sql} with no data`,
    ...program.install,
    program.maintainSql.trimEnd().replace(/;$/, ''),
    `create view ${qualified(schema, relation)} as select ${columns} from ${state}`,
  ]
  return database.query(statements.join(';\n')).then(
    () => null,
    (error: unknown) => String(error),
  )
}

/** What a view reflects. */
interface Reflected {
  readonly snapshot: string
  /** The instant that it takes for now. */
  readonly asOf: string
}

interface RefreshRow {
  readonly name: string
  readonly fault: string | null
  readonly method: string | null
  readonly differing: number | null
}

/** All views in one transaction at one snapshot; what one raises is told of that one alone. */
async function refreshAll(
  database: Database,
  kept: Map<string, Reflected | null>,
): Promise<Refreshed> {
  const failures = new Map<string, string>()
  const methods = new Map<string, string>()
  if (kept.size === 0) return { failures, methods }
  const { rows, reflected } = await database.transaction(
    async (transaction) => {
      const calls = [...kept].map(([name, since]) => {
        const maintain = qualified('tidemark_state', viewNames.maintain(name as RelationName))
        return `('${name}', '${maintain.replaceAll("'", "''")}', ${since === null ? 'null, null' : `'${since.snapshot}', '${since.asOf}'`})`
      })
      await transaction.query(refreshFunction)
      const done = await transaction.query<RefreshRow>(
        `select v.name, r.* from (values ${calls.join(', ')}) as v (name, maintain, since, as_of),
           pg_temp.oracle_refresh(v.maintain, v.since::pg_snapshot, v.as_of::timestamptz) r`,
      )
      const [row] = await transaction.query<Reflected>(
        'select tidemark.snapshot_now()::text as snapshot, now()::text as "asOf"',
      )
      return { rows: done, reflected: row ?? null }
    },
    { isolation: 'repeatable read' },
  )
  for (const { name, fault, method, differing } of rows) {
    if (method !== null) methods.set(name, kept.get(name) === null ? 'first' : method)
    if (fault !== null) failures.set(name, fault)
    else if (differing !== null && differing > 0)
      failures.set(name, 'what is stored was found broken')
    if (failures.has(name)) kept.delete(name)
    else kept.set(name, reflected)
  }
  return { failures, methods }
}

const refreshFunction = `
create or replace function pg_temp.oracle_refresh(maintain text, since pg_snapshot, as_of timestamptz,
  out fault text, out method text, out differing int)
language plpgsql as $$
declare result record;
begin
  execute format('select * from %s(false, $1, $2)', maintain) into result using since, as_of;
  method := result.method;
  differing := result.differing;
exception when others then
  fault := sqlstate || ' ' || sqlerrm;
end $$`
