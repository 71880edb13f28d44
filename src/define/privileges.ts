import { TidemarkError } from '../model/errors.ts'
import { partsOf } from '../model/ids.ts'
import type { RelationName } from '../model/ids.ts'
import type { PlanStep } from '../model/plan.ts'
import type { SourceUse } from '../model/view.ts'
import type { Queryable } from '../postgres/connection.ts'
import { identifier, qualifiedName } from '../postgres/identifier.ts'
import type { Actual, Artifact } from './actual.ts'
import { digestOf } from './actual.ts'
import { forgetArtifact, noteArtifact } from './catalogue-rows.ts'
import type { Desired } from './desired.ts'
import { roleName } from './recreate.ts'
import { shareWithOwners } from './view-catalogue.ts'
import { stepOf } from './view-steps.ts'

/** What roles may do with Tidemark's own schema. Whoever applies may do all of it. */
const rights = {
  /** Sees the truth about every view; reads no row of any. */
  reader: {
    routines: ['freshness_of', 'health_check', 'read_freshness', 'view_named', 'why'],
    relations: ['freshness', 'refresh_log', 'refresh_metrics', 'runs', 'schedules'],
    tables: [],
  },
  /** Asks for a refresh by hand, as far as `refreshBy` allows. */
  refresher: {
    routines: ['freshness_of', 'health_check', 'read_freshness', 'refresh', 'view_named', 'why'],
    relations: ['freshness', 'refresh_log', 'refresh_metrics', 'runs', 'schedules'],
    tables: [],
  },
  /** Polls, invalidates, fills and cleans: the functions that each cache grants are called by these. */
  cache: {
    routines: [
      'cache_function',
      'cache_table_named',
      'clean_stale',
      'fail',
      'fill_begin',
      'fill_end',
      'follow_foreign',
      'invalidate',
      'invalidations',
      'object_name',
      'poll_invalidations',
      'shared_store',
      'token',
    ],
    relations: [],
    tables: [],
  },
  /** Runs the engine: ticks, works, cleans, computes slots, looks after what runs. */
  runtime: {
    routines: [
      'all_ended',
      'allow_manual',
      'cancel',
      'claim',
      'claim_manual',
      'clean',
      'dirty_buckets',
      'empty_bucket',
      'enqueue',
      'execute_request',
      'fail',
      'forget',
      'freshness_of',
      'get_up',
      'health_check',
      'installation_problem',
      'is_asleep',
      'is_idle',
      'is_working',
      'lie_down',
      'log_bytes',
      'mark_stopped',
      'next_due',
      'overdue',
      'pause',
      'pause_schedule',
      'perform',
      'process_pending',
      'read_freshness',
      'refresh',
      'resume',
      'resume_schedule',
      'run',
      'settle',
      'source_problem',
      'stop_overdue',
      'tick',
      'unreflected',
      'view_named',
      'wake',
      'why',
      'work',
      'write_slots',
      'write_target_windows',
    ],
    relations: ['freshness', 'refresh_log', 'refresh_metrics', 'runs', 'schedules'],
    tables: [
      'event_rule',
      'gap',
      'migration',
      'refresh_group',
      'request',
      'run',
      'sample',
      'schedule',
      'setting',
      'slot',
      'source',
      'target_window',
      'tidemark',
      'view',
      'view_input',
      'view_source',
      'view_state',
    ],
  },
} as const

type Right = keyof typeof rights

/** Routines and relations that some role is granted, for the test that each of them exists. */
export const grantedNames: readonly string[] = [
  ...new Set(
    Object.values(rights).flatMap(({ routines, relations, tables }) => [
      ...routines,
      ...relations,
      ...tables,
    ]),
  ),
].sort()

interface Granting {
  readonly right: Right
  readonly role: string
}

/** Grants to the roles that the configuration names, and their end for those that it no longer names. */
export function grantSteps(desired: Desired, actual: Actual): readonly PlanStep[] {
  const wanted = grantingsOf(desired, actual).map((granting) => ({
    ...granting,
    name: `${granting.right} ${granting.role}`,
    sql: grantSql(granting),
  }))
  const made = actual.artifacts.filter(({ kind }) => kind === 'grant')
  const steps = wanted.flatMap(({ right, role, name, sql }) => {
    const before = made.find((artifact) => artifact.name === name)
    const digest = digestOf(sql)
    if (before?.digest === digest) return []
    const artifact = { kind: 'grant', name, ownerNoun: 'grant', ownerName: role } as const
    return [
      stepOf({
        kind: before === undefined ? 'create' : 'change',
        noun: 'grant',
        name: role,
        detail: grantWords[right],
        sql: [...sql, noteArtifact({ ...artifact, restore: revocation({ right, role }), digest })],
      }),
    ]
  })
  const surplus = made.filter(({ name }) => !wanted.some((granting) => granting.name === name))
  // A role may have several rights; what it keeps is granted again after the revocation.
  return [...surplus.map((artifact) => revokeStep(artifact, wanted)), ...steps]
}

const grantWords: Readonly<Record<Right, string>> = {
  reader: 'may read status and freshness',
  refresher: 'may ask for refreshes by hand',
  cache: 'may use the caches that name it',
  runtime: 'may run the engine',
}

/** Who may refresh may be a role of the application that PostgreSQL does not know: it gets no grant. */
function grantingsOf(desired: Desired, actual: Actual): readonly Granting[] {
  const refreshers = desired.views
    .flatMap(({ declaration }) => declaration.refreshBy.roles)
    .filter((role) => actual.roles.has(role))
  const grantings: Granting[] = [
    ...(desired.runtimeRole === null
      ? []
      : [{ right: 'runtime', role: desired.runtimeRole } as const]),
    ...desired.readerRoles.map((role) => ({ right: 'reader', role }) as const),
    ...[...new Set(refreshers)].sort().map((role) => ({ right: 'refresher', role }) as const),
    ...[...new Set([...desired.caches, ...desired.cacheTables].flatMap(({ roles }) => roles))]
      .sort()
      .map((role) => ({ right: 'cache', role }) as const),
  ]
  return grantings
}

const named = (names: readonly string[]): string =>
  names.map((name) => `tidemark.${identifier(name)}`).join(', ')

const onRelations = (names: readonly string[], sql: (list: string) => string): readonly string[] =>
  names.length === 0 ? [] : [sql(named(names))]

function grantSql({ right, role }: Granting): readonly string[] {
  const { routines, relations, tables } = rights[right]
  return [
    `grant usage on schema tidemark to ${roleName(role)}`,
    `grant execute on routine ${named(routines)} to ${roleName(role)}`,
    ...onRelations(
      [...relations, ...tables],
      (list) => `grant select on ${list} to ${roleName(role)}`,
    ),
  ]
}

/**
 * What ends a grant, kept with it, so that a later version ends what an earlier one granted. By name:
 * a revocation from all routines would touch the functions of capture, which would be noticed.
 */
function revocation({ right, role }: Granting): readonly string[] {
  const { routines, relations, tables } = rights[right]
  return [
    `revoke all on routine ${named(routines)} from ${roleName(role)}`,
    ...onRelations(
      [...relations, ...tables],
      (list) => `revoke all on ${list} from ${roleName(role)}`,
    ),
    `revoke usage on schema tidemark from ${roleName(role)}`,
  ]
}

function revokeStep(
  artifact: Artifact,
  wanted: readonly { readonly role: string; readonly sql: readonly string[] }[],
): PlanStep {
  const role = artifact.ownerName
  return stepOf({
    kind: 'drop',
    noun: 'grant',
    name: role,
    detail: 'is no longer named by the configuration',
    sql: [
      ...artifact.restore,
      forgetArtifact('grant', artifact.name),
      ...wanted.filter((granting) => granting.role === role).flatMap(({ sql }) => sql),
      shareWithOwners,
    ],
  })
}

/**
 * Looks before anything is done whether the role may do it. Throws `TIDEMARK_PRIVILEGE_MISSING` with
 * the SQL that grants what is missing, all of it at once.
 */
export async function refuseMissingPrivileges(
  queryable: Queryable,
  desired: Desired,
  actual: Actual,
): Promise<void> {
  const owners = new Set(desired.sources.map(({ wish }) => wish.shape.owner))
  const schemas = new Set<string>()
  for (const { compiled } of desired.views) {
    const there = actual.relations.get(compiled.name)?.relation
    if (there !== undefined) owners.add(there.owner)
    schemas.add(partsOf(compiled.name).schema)
  }
  const rows = await queryable.query<{ missing: string; mend: string }>(missingQuery, [
    actual.version === null,
    [...schemas],
    [...owners],
    grantingsOf(desired, actual).map(({ role }) => role),
  ])
  const [first] = rows
  if (first === undefined) return
  throw new TidemarkError({
    code: 'TIDEMARK_PRIVILEGE_MISSING',
    what: `Role ${actual.role} ${rows.map(({ missing }) => missing).join('; ')}`,
    mend: `Run as an administrator: ${rows.map(({ mend }) => mend).join(' ')}`,
  })
}

/** Who would read what of which tables. */
export interface SourceReader {
  readonly role: string
  readonly sources: readonly SourceUse[]
}

/**
 * Tables of which readers may not read the columns, by reader: a program that learns what changed from a change log would
 * show them what they may not see, even where a view between them shows them a part.
 */
export async function unreadableSources(
  queryable: Queryable,
  readers: readonly SourceReader[],
): Promise<readonly (readonly RelationName[])[]> {
  const uses = readers.flatMap(({ role, sources }, reader) =>
    sources.map(({ relation, columns }) => ({
      reader,
      role,
      name: relation,
      relation: qualifiedName(relation),
      columns,
    })),
  )
  if (uses.length === 0) return readers.map(() => [])
  const rows = await queryable.query<{ reader: number; name: RelationName }>(
    `select u.reader, u.name
     from json_to_recordset($1) u (reader int, role text, name text, relation text, columns text[])
     where not has_table_privilege(u.role, u.relation, 'select')
       and (not has_any_column_privilege(u.role, u.relation, 'select')
            or exists (select from unnest(u.columns) c
                        where not has_column_privilege(u.role, u.relation, c, 'select')))
     order by u.name`,
    [JSON.stringify(uses)],
  )
  return readers.map((_, at) => rows.flatMap(({ reader, name }) => (reader === at ? [name] : [])))
}

/** One row for each thing that is missing, with the statement that mends it. */
const missingQuery = `
select 'may not create schemas in this database' as missing,
  format('grant create on database %I to %I;', current_database(), current_user) as mend
where $1 and not has_database_privilege(current_database(), 'create')
union all
select case when n.oid is null then format('finds no schema %s', w.name)
            else format('may not create views in schema %s', w.name) end,
  case when n.oid is null then format('create schema %I;', w.name)
       else format('grant usage, create on schema %I to %I;', w.name, current_user) end
from unnest($2::text[]) w (name)
left join pg_namespace n on n.nspname = w.name
where n.oid is null or not has_schema_privilege(n.oid, 'create') or not has_schema_privilege(n.oid, 'usage')
union all
select format('is no member of %s, who owns a table or view', r.rolname), format('grant %I to %I;', r.rolname, current_user)
from pg_roles r
where r.rolname = any ($3::text[]) and not pg_has_role(r.oid, 'usage')
union all
select format('cannot grant to %s, which is no role', w.name), format('create role %I;', w.name)
from unnest($4::text[]) w (name)
where w.name <> 'public' and not exists (select from pg_roles r where r.rolname = w.name)`
