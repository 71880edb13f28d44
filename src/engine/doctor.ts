import { formatDuration } from '../base/duration.ts'
import { formatSize } from '../base/size.ts'
import { TidemarkError } from '../model/errors.ts'
import { readFreshness } from '../observe/freshness.ts'
import type { Queryable } from '../postgres/connection.ts'
import { serverVersion } from '../postgres/connection.ts'
import { schemaState } from './connect.ts'

/** What a check found: `fail` keeps views from being kept, `warn` may, `note` is worth knowing. */
export type CheckStatus = 'ok' | 'note' | 'warn' | 'fail'

/** A check of a database, in one sentence, with what to do. */
export interface Check {
  readonly name: string
  readonly status: CheckStatus
  readonly what: string
  readonly mend: string | null
}

const check = (
  name: string,
  status: CheckStatus,
  what: string,
  mend: string | null = null,
): Check => ({ name, status, what, mend })

/** Looks at all that Tidemark needs of a database, installed or not. Changes nothing. */
export async function examine(database: Queryable): Promise<readonly Check[]> {
  const server = await serverChecks(database)
  const state = await schemaState(database)
  const installed =
    state === 'absent'
      ? check(
          'schema',
          'note',
          'Tidemark is not installed here',
          "Declare views and run 'tidemark apply'.",
        )
      : state === 'older'
        ? check(
            'schema',
            'fail',
            'The schema of Tidemark is older than this program',
            "Run 'tidemark apply'.",
          )
        : check('schema', 'ok', 'Tidemark is installed in the version of this program')
  const own = state === 'absent' || state === 'older' ? [] : await installedChecks(database)
  return [...server, installed, ...own, ...(await activityChecks(database))]
}

interface ServerRow {
  readonly version: string
  readonly role: string
  readonly superuser: boolean
  readonly may_create: boolean
  readonly standby: boolean
  readonly commit_timestamps: boolean
  readonly connections: number
  readonly connections_max: number
}

async function serverChecks(database: Queryable): Promise<readonly Check[]> {
  await serverVersion(database)
  const [row] = await database.query<ServerRow>(
    `select split_part(current_setting('server_version'), ' ', 1) as version,
            current_user::text as role,
            (select rolsuper from pg_roles where rolname = current_user) as superuser,
            has_database_privilege(current_database(), 'create') as may_create,
            pg_is_in_recovery() as standby,
            current_setting('track_commit_timestamp') = 'on' as commit_timestamps,
            (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections,
            current_setting('max_connections')::int as connections_max`,
  )
  if (row === undefined) return []
  const left = row.connections_max - row.connections
  return [
    row.standby
      ? check(
          'server',
          'fail',
          `PostgreSQL ${row.version}, a standby`,
          'Name the primary in the URL.',
        )
      : check('server', 'ok', `PostgreSQL ${row.version}`),
    row.superuser || row.may_create
      ? check('role', 'ok', `${row.role}${row.superuser ? ', a superuser' : ' may create schemas'}`)
      : check(
          'role',
          'note',
          `${row.role} may not create schemas; it can run what is installed`,
          `To apply as this role: grant create on database … to "${row.role}".`,
        ),
    row.commit_timestamps
      ? check('commit times', 'ok', 'track_commit_timestamp is on: staleness is exact')
      : check(
          'commit times',
          'note',
          'track_commit_timestamp is off: staleness is dated by looks, up to 0.25 s too high',
        ),
    left < 10
      ? check(
          'connections',
          'warn',
          `${row.connections} of ${row.connections_max} connections are used`,
          'Raise max_connections, or connect through a pooler.',
        )
      : check('connections', 'ok', `${row.connections} of ${row.connections_max} are used`),
  ]
}

/** Checks of the schema and of what it keeps, as far as the role may see it. */
async function installedChecks(database: Queryable): Promise<readonly Check[]> {
  const parts: readonly (readonly [string, (on: Queryable) => Promise<readonly Check[]>])[] = [
    ['installation', installationCheck],
    ['capture', sourceChecks],
    ['views', viewChecks],
    ['engine', tickerCheck],
    ['slots', slotsCheck],
    ['change logs', logCheck],
  ]
  const checks: Check[] = []
  for (const [name, part] of parts) {
    try {
      checks.push(...(await part(database)))
    } catch (error) {
      const unseen = error instanceof TidemarkError && error.code === 'TIDEMARK_PRIVILEGE_MISSING'
      if (!unseen) throw error
      checks.push(check(name, 'note', 'This role may not see it', 'Ask as the role that applies.'))
    }
  }
  return checks
}

async function installationCheck(database: Queryable): Promise<readonly Check[]> {
  const [installation] = await database.query<{ problem: string | null }>(
    'select tidemark.installation_problem() as problem',
  )
  const problem = installation?.problem ?? null
  return [
    problem === null
      ? check('installation', 'ok', 'The database is the one that was set up')
      : check('installation', 'fail', withoutMend(problem), "Run 'tidemark apply'."),
  ]
}

/** `column_dropped: a column …; run tidemark plan`: the sentence alone. */
const withoutMend = (reason: string): string =>
  reason.replace(/; run tidemark \w+( or tidemark \w+)?$/, '').replace(/^[a-z_]+: /, '')

async function sourceChecks(database: Queryable): Promise<readonly Check[]> {
  const rows = await database.query<{ name: string; problem: string | null }>(
    'select name, tidemark.source_problem(name) as problem from tidemark.source order by name',
  )
  const broken = rows.filter(({ problem }) => problem !== null)
  if (broken.length === 0) {
    const count = rows.length === 1 ? '1 source is' : `${rows.length} sources are`
    return [check('capture', 'ok', `${count} captured; triggers and functions are as installed`)]
  }
  return broken.map(({ problem }) =>
    check('capture', 'fail', withoutMend(problem ?? ''), "Run 'tidemark plan', then apply."),
  )
}

async function viewChecks(database: Queryable): Promise<readonly Check[]> {
  const views = await readFreshness(database)
  const bad = views.filter(({ state }) => state !== 'fresh')
  const quarantined = views.filter(({ quarantineReason }) => quarantineReason !== null)
  const paused = views.filter(({ pausedReason }) => pausedReason !== null)
  const all = views.length === 1 ? 'The view is' : `All ${views.length} views are`
  return [
    views.length === 0
      ? check('views', 'note', 'No view is declared', "Declare one and run 'tidemark apply'.")
      : bad.length === 0
        ? check('views', 'ok', `${all} within target`)
        : check(
            'views',
            'warn',
            `Not within target: ${bad.map(({ view, state }) => `${view} (${state})`).join(', ')}`,
            "'tidemark status' shows them, 'tidemark why VIEW' tells why.",
          ),
    ...quarantined.map(({ view, quarantineReason }) =>
      check(
        'quarantine',
        'fail',
        `${view} ${quarantineReason ?? ''}`,
        `Mend the cause, then: tidemark resume ${view}`,
      ),
    ),
    ...paused.map(({ view, pausedReason }) =>
      check('paused', 'note', `${view}: ${pausedReason ?? ''}`, `tidemark resume ${view}`),
    ),
  ]
}

/** Ticks look at the clock; when the last look is old, nobody decides what is due. */
async function tickerCheck(database: Queryable): Promise<readonly Check[]> {
  const [row] = await database.query<{ ago: number | null; asleep: boolean }>(
    `select (extract(epoch from clock_timestamp() - max(s.at)) * 1000)::int8 as ago,
            tidemark.is_asleep() as asleep
       from tidemark.sample s`,
  )
  const ago = row?.ago ?? null
  if (row?.asleep === true)
    return [check('engine', 'ok', 'The engine sleeps until something changes')]
  if (ago === null || ago > 90_000) {
    const since = ago === null ? 'yet' : `for ${formatDuration(ago)}`
    return [
      check(
        'engine',
        'warn',
        `Nobody has decided what is due ${since}`,
        "Start 'tidemark up', or 'tidemark tick' from cron.",
      ),
    ]
  }
  return [check('engine', 'ok', `Somebody decided what is due ${formatDuration(ago)} ago`)]
}

async function slotsCheck(database: Queryable): Promise<readonly Check[]> {
  const rows = await database.query<{ warning: string }>(
    'select warning from tidemark.health_check() where warning is not null',
  )
  if (rows.length === 0) return [check('slots', 'ok', 'Every schedule has its slots ahead')]
  const told = [...new Set(rows.map(({ warning }) => withoutMend(warning)))].join('; ')
  return [check('slots', 'warn', told, "Start 'tidemark up' or run 'tidemark apply'.")]
}

async function logCheck(database: Queryable): Promise<readonly Check[]> {
  const [row] = await database.query<{ bytes: number; most: string | null; bound: number }>(
    `select coalesce(sum(l.bytes), 0)::int8 as bytes,
            (array_agg(l.name order by l.bytes desc))[1] as most,
            (select value::int8 from tidemark.setting where name = 'max_log_bytes') as bound
       from (select name, tidemark.log_bytes(name) as bytes from tidemark.source) l`,
  )
  const bytes = row?.bytes ?? 0
  const bound = row?.bound ?? 1
  const told = `${formatSize(bytes)} of change logs, ${formatSize(bound)} allowed for each`
  if (bytes < bound / 2) return [check('change logs', 'ok', told)]
  return [
    check(
      'change logs',
      'warn',
      `${told}; most of it for ${row?.most ?? '?'}`,
      'Find the view that is not refreshed, or raise maxLogSize.',
    ),
  ]
}

const longMs = 60_000

interface LongRow {
  readonly pid: number
  readonly name: string | null
  readonly open_ms: number
  readonly query: string
}

/** What other programs do that Tidemark suffers from. */
async function activityChecks(database: Queryable): Promise<readonly Check[]> {
  const long = await database.query<LongRow>(
    `select pid, nullif(application_name, '') as name, left(query, 60) as query,
            (extract(epoch from clock_timestamp() - xact_start) * 1000)::int8 as open_ms
       from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend' and xact_start < now() - $1 * interval '1 millisecond'
      order by xact_start limit 5`,
    [longMs],
  )
  const [prepared] = await database.query<{ count: number }>(
    'select count(*)::int as count from pg_prepared_xacts where database = current_database()',
  )
  const held = prepared?.count ?? 0
  return [
    ...(long.length === 0
      ? [check('transactions', 'ok', 'No transaction is open for longer than a minute')]
      : long.map(({ pid, name, open_ms, query }) =>
          check(
            'transactions',
            'warn',
            `pid ${pid}${name === null ? '' : ` (${name})`} is in a transaction for ${formatDuration(open_ms)}: ${query}`,
            `Its changes are seen when it commits. To end it: select pg_terminate_backend(${pid})`,
          ),
        )),
    ...(held === 0
      ? []
      : [
          check(
            'prepared',
            'warn',
            `${held} prepared transactions wait for their second phase`,
            'See pg_prepared_xacts; commit or roll them back.',
          ),
        ]),
    await cronCheck(database),
  ]
}

async function cronCheck(database: Queryable): Promise<Check> {
  const [found] = await database.query<{ job: boolean; readable: boolean }>(
    `select c.oid is not null as job,
            c.oid is not null and has_schema_privilege(c.relnamespace, 'usage')
              and has_table_privilege(c.oid, 'select') as readable
       from (select) one
       left join pg_class c on c.oid = (
         select t.oid from pg_class t join pg_namespace n on n.oid = t.relnamespace
          where n.nspname = 'cron' and t.relname = 'job')`,
  )
  if (found?.job !== true) return check('pg_cron', 'ok', 'Not installed, and not needed')
  if (!found.readable) return check('pg_cron', 'note', 'Installed; this role may not see its jobs')
  const jobs = await database.query<{ command: string }>(
    `select command from cron.job where active and command ~* 'refresh\\s+materialized\\s+view'`,
  )
  if (jobs.length === 0) return check('pg_cron', 'ok', 'Installed; no job of it refreshes a view')
  return check(
    'pg_cron',
    'note',
    `Installed; ${jobs.length} of its jobs refresh materialized views: ${jobs.map(({ command }) => command).join('; ')}`,
    'Unschedule those of views that Tidemark keeps.',
  )
}
