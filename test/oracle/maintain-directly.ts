import { captureProgram } from '../../src/capture/program.ts'
import { readSourceShape } from '../../src/capture/shape.ts'
import type { ReadView } from '../../src/compile/emit/inputs.ts'
import type { IncrementalProgram } from '../../src/compile/emit/incremental.ts'
import { draftIncremental, finishIncremental } from '../../src/compile/incremental.ts'
import { canonicalise } from '../../src/define/canonicalise.ts'
import { probeTypes } from '../../src/define/probe-types.ts'
import type { CaptureProgram, SourceShape } from '../../src/model/capture.ts'
import type { RelationName } from '../../src/model/ids.ts'
import { partsOf, relationName } from '../../src/model/ids.ts'
import { viewNames } from '../../src/model/names.ts'
import type { CanonicalQuery } from '../../src/model/view.ts'
import type { Database, Queryable } from '../../src/postgres/connection.ts'
import { identifier, literal, qualified } from '../../src/postgres/identifier.ts'
import type { CaseView } from './case.ts'
import type { InstalledView, Maintainer, Refreshed } from './maintainer.ts'
import { inputRefused, reads } from './maintainer.ts'

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
  /** Others read it. */
  readonly publishes: boolean
}

/**
 * How the statements of programs are planned. The product plans each anew, for the numbers of rows at hand; to plan
 * them once takes half the time, and other plans must give the same rows.
 */
type Plans = 'custom' | 'generic'

/** What makes stages of a query. */
type Drafting = typeof draftIncremental

/**
 * Views that are kept up from what changes, by the compiler's own programs, without plan, requests and runs around them: a tenth of the
 * time, and what one of them raises harms no other.
 */
export function maintainDirectly(
  draft: Drafting = draftIncremental,
  plans: Plans = 'custom',
): Maintainer {
  let captured: CaptureProgram[] = []
  const kept = new Map<string, Reflected | null>()
  return {
    async install(database, views) {
      const refused = new Map<string, string>()
      const shapes = new Map<RelationName, SourceShape>()
      const compiled: Compiled[] = []
      kept.clear()
      for (const view of views) {
        const made = await installOne(database, { view, views, compiled, shapes, draft, plans })
        if (typeof made === 'string') refused.set(view.name, made)
        else {
          compiled.push(made)
          kept.set(view.name, null)
        }
      }
      captured = await captureAll(database, compiled, shapes)
      return { installed: compiled.map(installedOf), refused }
    },
    refresh: (database, look) => refreshAll(database, kept, look),
    leave(_, view) {
      kept.delete(view)
      return Promise.resolve()
    },
    async remove(database) {
      await database.query(
        `drop schema if exists o cascade; drop schema tidemark_state cascade; create schema tidemark_state;
         delete from tidemark.view_input; delete from tidemark.view where group_name = 'oracle'`,
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

/** How the detail of a refusal begins that nobody has meant. */
export const brokenCompiler = 'the compiler broke: '

interface Installing {
  readonly view: CaseView
  readonly views: readonly CaseView[]
  /** Those before it. */
  readonly compiled: readonly Compiled[]
  readonly shapes: Map<RelationName, SourceShape>
  readonly draft: Drafting
  readonly plans: Plans
}

/** A view compiled and made, or why it is not. */
async function installOne(database: Database, installing: Installing): Promise<Compiled | string> {
  const { view, views, compiled, plans } = installing
  const inputs = views.filter((each) => each.name !== view.name && reads(view, each))
  if (inputs.some(({ name }) => !compiled.some((each) => each.view.name === name)))
    return inputRefused
  // A transaction for each: what one leaves behind in the catalog does not slow down the next.
  try {
    const made = await database.transaction((transaction) => compile(transaction, installing))
    if (typeof made === 'string') return made
    await database.query(installation(made, plans).join(';\n'))
    return made
  } catch (error) {
    // The compiler broke, or PostgreSQL refuses what it wrote: no fallback but a fault.
    return `${brokenCompiler}${String(error)}`
  }
}

async function compile(
  transaction: Queryable,
  { view, views, compiled, shapes, draft: drafting }: Installing,
): Promise<Compiled | string> {
  const [schema = '', relation = ''] = view.name.split('.')
  const name = relationName(schema, relation)
  const readable = compiled.filter((each) => reads(view, each.view))
  const query = await canonicalise(
    transaction,
    { name, sql: view.sql },
    readable.map((each) => each.name),
  )
  for (const source of query.sources) {
    if (shapes.has(source.relation)) continue
    shapes.set(source.relation, await readSourceShape(transaction, source.relation))
  }
  const publishes = views.some((reader) => reads(reader, view))
  const draft = await drafting({
    view: name,
    query,
    shapes,
    timeZone: 'UTC',
    uniqueIndexes: false,
    key: null,
    inputs: readable.map((each): ReadView => ({ name: each.name, columns: each.query.columns })),
    publishes,
  })
  if (!('stages' in draft)) return draft.map(({ reason }) => reason).join('; ')
  const types = await probeTypes(
    transaction,
    draft.probes.map(({ sql }) => sql),
  )
  const program = finishIncremental(draft, types)
  if (!('maintainSql' in program)) return program.map(({ reason }) => reason).join('; ')
  const wholes = draft.obstacles.map(({ reason }) => reason)
  return { view, name, query, program, wholes, publishes }
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

function installation(
  { name, query, program, publishes }: Compiled,
  plans: Plans,
): readonly string[] {
  const state = qualified('tidemark_state', viewNames.state(name))
  const { schema, name: relation } = partsOf(name)
  const columns = query.columns.map((column) => identifier(column.name)).join(', ')
  const maintain = program.maintainSql.trimEnd().replace(/;$/, '')
  return [
    `create table ${state} as ${query.sql} with no data`,
    ...program.install,
    plans === 'custom' ? maintain : maintain.replace('force_custom_plan', 'force_generic_plan'),
    `create view ${qualified(schema, relation)} as select ${columns} from ${state}`,
    ...(publishes || query.inputs.length > 0 ? catalogued(name, query.inputs) : []),
  ]
}

/** What the catalogue has to say of a view so that it may read others, or be read. */
const catalogued = (view: RelationName, inputs: readonly RelationName[]): readonly string[] => [
  `insert into tidemark.refresh_group (name) values ('oracle') on conflict do nothing`,
  `insert into tidemark.view (name, group_name, presentation, strategy, method, query, digest, relation, state, maintain, target_ms, very_stale_ms)
   values (${literal(view)}, 'oracle', 'view', 'incremental', 'diff', '', '', '', '', '', 1, 1)`,
  `insert into tidemark.view_state (view) values (${literal(view)})`,
  ...inputs.map(
    (input) =>
      `insert into tidemark.view_input (view, input) values (${literal(view)}, ${literal(input)})`,
  ),
]

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
  look: (queryable: Queryable) => Promise<void>,
): Promise<Refreshed> {
  const failures = new Map<string, string>()
  const methods = new Map<string, string>()
  if (kept.size === 0) return { failures, methods }
  const { rows, reflected } = await database.transaction(
    async (transaction) => {
      const calls = [...kept].map(([name, since]) => {
        const maintain = qualified('tidemark_state', viewNames.maintain(name as RelationName))
        const reflects = since === null ? 'null, null' : `'${since.snapshot}', '${since.asOf}'`
        return `(${literal(name)}, ${literal(maintain)}, ${reflects})`
      })
      const done = await transaction.query<RefreshRow>(
        `select v.name, r.* from (values ${calls.join(', ')}) as v (name, maintain, since, as_of),
           oracle.refresh(v.name, v.maintain, v.since::pg_snapshot, v.as_of::timestamptz) r`,
      )
      const [row] = await transaction.query<Reflected>(
        'select tidemark.snapshot_now()::text as snapshot, now()::text as "asOf"',
      )
      await look(transaction)
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
