import { must } from '../base/assert.ts'
import type { RelationName } from '../model/ids.ts'
import { partsOf, relationName, relationOf } from '../model/ids.ts'
import type { Queryable } from '../postgres/connection.ts'
import type {
  Actual,
  Artifact,
  CatalogueRow,
  DeclaredTable,
  Measures,
  RelationFacts,
  RelationTree,
} from './actual.ts'
import { declaredTables } from './actual.ts'
import { factsQuery, outsidersQuery, treeQuery } from './introspect-queries.ts'

/** What a plan may touch: names of views and sources, declared or installed. */
export type Scope = readonly RelationName[]

/**
 * Reads what is declared in the catalogue and what exists under the names in scope.
 *
 * Guarantees: writes nothing; all names in what comes back are fully qualified.
 * The caller runs it in one REPEATABLE READ transaction, so that the parts belong together.
 */
export async function introspect(queryable: Queryable, scope: Scope): Promise<Actual> {
  return qualified(queryable, () => readActual(queryable, scope))
}

/** The same look with more names in scope; to be had in the transaction of the first. */
export async function introspectAlso(
  queryable: Queryable,
  actual: Actual,
  names: Scope,
): Promise<Actual> {
  const more = names.filter((name) => !actual.scope.includes(name))
  const relations = await qualified(queryable, () => readTrees(queryable, more))
  return {
    ...actual,
    scope: [...actual.scope, ...more].sort(),
    relations: new Map([...actual.relations, ...relations]),
  }
}

/** Names in definitions are qualified, whatever the role has set. */
async function qualified<Result>(
  queryable: Queryable,
  step: () => Promise<Result>,
): Promise<Result> {
  // Asked before it is set: a subquery that is not flattened runs first.
  const [before] = await queryable.query<{ path: string }>(
    `select b.path, set_config('search_path', '', true)
     from (select current_setting('search_path') as path offset 0) b`,
  )
  const result = await step()
  await queryable.query(`select set_config('search_path', $1, true)`, [before?.path ?? ''])
  return result
}

async function readActual(queryable: Queryable, scope: Scope): Promise<Actual> {
  const head = await readHead(queryable)
  const catalogue = await readCatalogue(queryable, head.objects)
  const has = (name: KnownObject): boolean => head.objects.has(name)
  const problem = has('tidemark.installation_problem()')
    ? await installationProblem(queryable)
    : null
  const names = new Set<RelationName>(scope)
  for (const row of [...catalogue.view, ...catalogue.source]) names.add(nameOf(row))
  for (const { called_now: now } of catalogue.view) {
    if (typeof now === 'string') names.add(relationOf(now))
  }
  // In a copy everything has another number.
  const knowsParts = problem === null && has('tidemark.altered_parts(text)')
  return {
    scope: [...names].sort(),
    version: head.version,
    installationProblem: problem,
    role: head.role,
    installer: head.installer,
    roles: new Set(head.roles),
    catalogue,
    artifacts: head.installed ? await readArtifacts(queryable) : [],
    relations: await readTrees(queryable, [...names].sort()),
    captureProblems: has('tidemark.source_problem(text)')
      ? await readCaptureProblems(queryable)
      : new Map(),
    ...(has('tidemark.definition_digest(text, oid[])')
      ? await readDefinitions(queryable)
      : noDefinitions),
    alteredParts: knowsParts ? await readAlteredParts(queryable) : new Map(),
    outsiders: head.installed ? await readOutsiders(queryable) : [],
  }
}

/** Reads sizes, durations and foreign jobs. Costs little; may be incomplete, never fails for lack of rights. */
export async function measure(queryable: Queryable, actual: Actual): Promise<Measures> {
  const refreshMs = new Map<RelationName, number | null>()
  const [found] = await queryable.query<{ readable: boolean }>(
    `select to_regclass('tidemark.run') is not null as readable`,
  )
  if (actual.version !== null && found?.readable === true) {
    const rows = await queryable.query<{ view: RelationName; ms: number }>(
      `select r.view, (percentile_cont(0.5) within group (order by r.duration_ms))::float8 as ms
       from (select view, duration_ms,
                    row_number() over (partition by view order by run_id desc) as recent
             from tidemark.run where status = 'completed' and duration_ms is not null) r
       where r.recent <= 20
       group by r.view`,
    )
    for (const { view, ms } of rows) refreshMs.set(view, Math.round(ms))
  }
  const pages = await queryable.query<{ name: RelationName; pages: number }>(
    `select w.name, c.relpages as pages
     from unnest($1::text[], $2::text[], $3::text[]) w (name, schema, relation)
     join pg_namespace n on n.nspname = w.schema
     join pg_class c on c.relnamespace = n.oid and c.relname = w.relation`,
    namesAsArrays([...actual.relations.keys()]),
  )
  return {
    refreshMs,
    pages: new Map(pages.map((row) => [row.name, row.pages])),
    cronJobs: await readCronJobs(queryable),
  }
}

/**
 * What refreshes by queries should take, by the planner's own cost; null for one that cannot be planned yet.
 * Takes back whatever planning them did.
 */
export async function estimateMs(
  queryable: Queryable,
  queries: readonly string[],
): Promise<readonly (number | null)[]> {
  if (queries.length === 0) return []
  const estimates: (number | null)[] = []
  await queryable.query('savepoint estimate')
  for (const query of queries) {
    try {
      const [row] = await queryable.query<{
        'QUERY PLAN': readonly { Plan: { 'Total Cost': number } }[]
      }>(`explain (format json) ${query}`)
      const cost = row?.['QUERY PLAN'][0]?.Plan['Total Cost']
      // A page read in order costs 1 and takes about 10 µs on the machines that this was compared on.
      estimates.push(cost === undefined ? null : Math.max(1, Math.round(cost / 100)))
    } catch {
      estimates.push(null)
      await queryable.query('rollback to savepoint estimate')
    }
  }
  await queryable.query('rollback to savepoint estimate; release savepoint estimate')
  return estimates
}

const nameOf = (row: CatalogueRow): RelationName => String(row['name']) as RelationName

interface Head {
  readonly installed: boolean
  readonly version: number | null
  readonly role: string
  readonly installer: string
  readonly roles: readonly string[]
  /** What there is of {@link knownObjects}: of an installation that is older than this program, less. */
  readonly objects: ReadonlySet<KnownObject>
}

const knownObjects = [
  ...declaredTables.map((table) => `tidemark.${table}` as const),
  'tidemark.installation_problem()',
  'tidemark.source_problem(text)',
  'tidemark.definition_digest(text, oid[])',
  'tidemark.altered_parts(text)',
] as const

type KnownObject = (typeof knownObjects)[number]

async function readHead(queryable: Queryable): Promise<Head> {
  const [row] = await queryable.query<
    Pick<Head, 'installed' | 'role' | 'installer' | 'roles'> & {
      readonly objects: readonly KnownObject[]
    }
  >(
    `select to_regclass('tidemark.migration') is not null as installed, current_user::text as role,
            coalesce((select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'tidemark'),
                     current_user)::text as installer,
            array(select rolname::text from pg_roles) as roles,
            array(select o.name from unnest($1::text[]) o (name)
                   -- Before PostgreSQL 16 a name without parentheses is an error there.
                   where case when o.name like '%(%' then to_regprocedure(o.name) is not null
                              else to_regclass(o.name) is not null end) as objects`,
    [knownObjects],
  )
  const installed = row?.installed === true
  const [migration] = installed
    ? await queryable.query<{ version: number | null }>(
        'select max(number) as version from tidemark.migration',
      )
    : []
  return {
    installed,
    version: migration?.version ?? null,
    role: row?.role ?? '',
    installer: row?.installer ?? '',
    roles: row?.roles ?? [],
    objects: new Set(row?.objects),
  }
}

type Definitions = Pick<Actual, 'movedDefinitions' | 'renamedDefinitions' | 'liveQueries'>

const noDefinitions: Definitions = {
  movedDefinitions: new Set(),
  renamedDefinitions: new Set(),
  liveQueries: new Map(),
}

async function readDefinitions(queryable: Queryable): Promise<Definitions> {
  // Moved: apply would bind the query anew, for its names moved, or something between it and the captured tables was replaced.
  const rows = await queryable.query<{
    view: string
    moved: boolean
    same: boolean
    sql: string | null
  }>(
    `select d.view, n.same, not n.same or d.printed is distinct from tidemark.definition_printed(d.view) as moved,
            (select regexp_replace(pg_get_viewdef(c.oid), ';\\s*$', '')
               from pg_class c
              where c.relnamespace = to_regnamespace('tidemark_state') and c.relkind = 'v'
                and c.relname = tidemark.object_name('source of ' || d.view)) as sql
     from tidemark.definition d
     cross join lateral (
       select d.digest is not distinct from tidemark.definition_digest(d.view) as same offset 0) n`,
  )
  const moved = rows.filter((row) => row.moved)
  return {
    movedDefinitions: new Set(moved.map(({ view }) => view)),
    renamedDefinitions: new Set(moved.filter(({ same }) => same).map(({ view }) => view)),
    liveQueries: new Map(rows.flatMap(({ view, sql }) => (sql === null ? [] : [[view, sql]]))),
  }
}

async function readAlteredParts(
  queryable: Queryable,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await queryable.query<{ view: string; parts: readonly string[] }>(
    `select a.view, a.parts
     from (select v.name as view, tidemark.altered_parts(v.name) as parts from tidemark.view v) a
     where cardinality(a.parts) > 0`,
  )
  return new Map(rows.map(({ view, parts }) => [view, parts]))
}

/** What a source or a view is called now, whatever it was called when it was made. */
const presentOf: Partial<Record<DeclaredTable, string>> = {
  source: ` || jsonb_build_object('relation_oid', t.relation::oid::int8)`,
  view: ` || jsonb_build_object('called_now', (
    select n.nspname || '.' || c.relname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = (to_jsonb(t) ->> 'relation_oid')::oid))`,
}

/** The rows of each table of declarations; of one that an older installation does not have, none. */
async function readCatalogue(
  queryable: Queryable,
  objects: ReadonlySet<KnownObject>,
): Promise<Readonly<Record<DeclaredTable, readonly CatalogueRow[]>>> {
  const columns = declaredTables.map((table) => {
    if (!objects.has(`tidemark.${table}`)) return `'[]'::jsonb as ${table}`
    // Which table a source is: its name may be that of another one by now.
    const more = presentOf[table] ?? ''
    return `coalesce((select jsonb_agg(to_jsonb(t)${more} order by to_jsonb(t)::text)
                      from tidemark.${table} t), '[]') as ${table}`
  })
  const [catalogue] = await queryable.query<Record<DeclaredTable, readonly CatalogueRow[]>>(
    `select ${columns.join(', ')}`,
  )
  return must(catalogue, 'a select without from gives a row')
}

async function installationProblem(queryable: Queryable): Promise<string | null> {
  const [row] = await queryable.query<{ problem: string | null }>(
    'select tidemark.installation_problem() as problem',
  )
  return row?.problem ?? null
}

async function readArtifacts(queryable: Queryable): Promise<readonly Artifact[]> {
  const [row] = await queryable.query<{ ready: boolean }>(
    `select exists (select from pg_attribute
                    where attrelid = to_regclass('tidemark.artifact') and attname = 'digest') as ready`,
  )
  if (row?.ready !== true) return []
  return queryable.query<Artifact>(
    `select kind, name, owner_noun as "ownerNoun", owner_name as "ownerName", restore, digest,
            case kind when 'function' then to_regprocedure(name) is not null
                      when 'source' then true
                      when 'grant' then true
                      when 'part' then name like 'column %'
                        or to_regclass(substr(name, 1 + strpos(name, ' '))) is not null
                      when 'guard' then exists (select from pg_trigger t
                        where t.tgrelid = to_regclass(name) and t.tgname = 'tidemark guard' and t.tgenabled <> 'D')
                      else to_regclass(name) is not null end as exists
     from tidemark.artifact
     order by kind, name`,
  )
}

async function readCaptureProblems(queryable: Queryable): Promise<ReadonlyMap<string, string>> {
  const rows = await queryable.query<{ name: string; problem: string | null }>(
    'select name, tidemark.source_problem(name) as problem from tidemark.source order by name',
  )
  return new Map(rows.flatMap(({ name, problem }) => (problem === null ? [] : [[name, problem]])))
}

async function readOutsiders(queryable: Queryable): Promise<readonly string[]> {
  const rows = await queryable.query<{ object: string }>(outsidersQuery)
  return rows.map(({ object }) => object)
}

interface TreeEdge {
  readonly root: RelationName
  readonly oid: number
  readonly reads: readonly { readonly schema: string; readonly name: string }[]
}

type Facts = Omit<RelationFacts, 'name' | 'reads'> & {
  readonly oid: number
  readonly schema: string
  readonly relation: string
}

async function readTrees(
  queryable: Queryable,
  names: Scope,
): Promise<ReadonlyMap<RelationName, RelationTree>> {
  if (names.length === 0) return new Map()
  const edges = await queryable.query<TreeEdge>(treeQuery, namesAsArrays(names))
  const oids = [...new Set(edges.map(({ oid }) => oid))]
  const facts = new Map<number, RelationFacts>()
  const readsOf = new Map(edges.map(({ oid, reads }) => [oid, reads]))
  for (const row of await queryable.query<Facts>(factsQuery, [oids])) {
    const { oid, schema, relation, ...rest } = row
    const reads = (readsOf.get(oid) ?? []).map((read) => relationName(read.schema, read.name))
    facts.set(oid, { ...rest, name: relationName(schema, relation), reads })
  }
  const trees = new Map<RelationName, RelationTree>()
  for (const { root, oid } of edges) {
    const found = facts.get(oid)
    if (found === undefined) continue
    const tree = trees.get(root)
    // The root of a tree is at depth 0 and comes first; readers follow by depth.
    if (tree === undefined) trees.set(root, { relation: found, readers: [] })
    else trees.set(root, { ...tree, readers: [...tree.readers, found] })
  }
  return trees
}

async function readCronJobs(queryable: Queryable): Promise<Measures['cronJobs']> {
  const [row] = await queryable.query<{ readable: boolean }>(
    `select to_regclass('cron.job') is not null
            and has_schema_privilege(to_regnamespace('cron'), 'usage')
            and has_table_privilege(to_regclass('cron.job'), 'select') as readable`,
  )
  if (row?.readable !== true) return []
  return queryable.query(
    `select jobid::text as id, command from cron.job
     where command ~* 'refresh\\s+materialized' order by jobid`,
  )
}

const namesAsArrays = (names: Scope): readonly unknown[] => [
  names,
  names.map((name) => partsOf(name).schema),
  names.map((name) => partsOf(name).name),
]
