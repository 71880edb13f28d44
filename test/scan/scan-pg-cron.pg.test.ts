import { spawnSync } from 'node:child_process'
import { chmod, chown, cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { scan } from '../../src/engine/scan.ts'
import type { ScannedView, ScanReport } from '../../src/engine/scan.ts'
import type { Cluster, RunningServer } from '../../src/postgres/cluster.ts'
import { freePort, initialiseCluster, startCluster } from '../../src/postgres/cluster.ts'
import type { Database } from '../../src/postgres/connection.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import { plainUser } from '../../src/postgres/plain-user.ts'
import { createCronByHand, createSystems, jobs } from './systems.ts'

const binFolder = '/usr/lib/postgresql/15/bin'

const settings = {
  fsync: 'off',
  shared_preload_libraries: 'pg_cron,pg_stat_statements',
  'cron.database_name': 'postgres',
  'cron.use_background_workers': 'on',
  max_worker_processes: 20,
}

const viewOf = (report: ScanReport, name: string): ScannedView =>
  must(
    report.views.find((view) => view.name === name),
    `${name} is found`,
  )

/** A server of this suite's own: pg_cron is loaded at start and lives in one database only. */
class Server {
  readonly cluster: Cluster
  readonly port: number
  #running: RunningServer | undefined

  constructor(cluster: Cluster, port: number) {
    this.cluster = cluster
    this.port = port
  }

  async start(): Promise<void> {
    this.#running = await startCluster(this.cluster, {
      port: this.port,
      settings,
      onLog: () => undefined,
    })
  }

  async stop(): Promise<void> {
    await this.#running?.stop()
  }

  url(database: string, role = 'postgres'): string {
    return `postgres://${role}@127.0.0.1:${this.port}/${database}`
  }
}

let folder: string
let server: Server
let database: Database

async function schedule(): Promise<void> {
  for (const job of jobs) {
    await database.query('select cron.schedule($1, $2, $3)', [job.name, job.schedule, job.command])
  }
}

/** pg_cron runs `@reboot` jobs at once when the server has started: a run without a minute's wait. */
async function runOnce(job: number): Promise<void> {
  const countRuns = async (): Promise<number> => {
    const [row] = await database.query<{ runs: number }>(
      `select count(*) as runs from cron.job_run_details
       where jobid = $1 and status in ('succeeded', 'failed')`,
      [job],
    )
    return row?.runs ?? 0
  }
  const before = await countRuns()
  await database.query(`select cron.alter_job($1, schedule := '@reboot')`, [job])
  await database.close()
  await server.stop()
  await server.start()
  database = openDatabase(server.url('postgres'))
  while ((await countRuns()) === before) await sleep(50)
  await database.query('select cron.alter_job($1, schedule := $2)', [
    job,
    must(jobs[job - 1], 'the job is one of ours').schedule,
  ])
}

beforeAll(async () => {
  const user = plainUser()
  folder = await mkdtemp(join(tmpdir(), `tidemark-test-${process.pid}-`))
  await chmod(folder, 0o700)
  if (user !== null) await chown(folder, user.uid, user.gid)
  const cluster = { binFolder, dataFolder: join(folder, 'data'), user }
  await initialiseCluster(cluster, { passwordFile: null, sync: false })
  server = new Server(cluster, await freePort())
  await server.start()
  database = openDatabase(server.url('postgres'))
  await database.query('create extension pg_cron; create extension pg_stat_statements')
  await createSystems(database.query)
  await schedule()
})

afterAll(async () => {
  await database.close()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

/** All of a database, schema and rows, as SQL; the key that pg_dump draws anew each time left out. */
function dump(name: string): string {
  const { stdout, stderr, status } = spawnSync(
    join(binFolder, 'pg_dump'),
    ['--dbname', server.url(name), '--no-comments'],
    { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  )
  if (status !== 0) throw new Error(stderr)
  return stdout.replaceAll(/^\\(un)?restrict .*$/gm, '')
}

describe('a scan of a server with pg_cron', () => {
  it('reads the real jobs and their runs', async () => {
    await runOnce(1)
    const view = viewOf(await scan(database), 'public.mv_conversaciones_dashboard')
    expect(view.refreshers).toMatchObject([
      { kind: 'pg_cron', name: `job 1 'refresh-conversaciones-dashboard'`, mode: 'concurrently' },
    ])
    expect(view.history).toMatchObject({ runs: 1, failed: 0 })
    expect(view.last?.from).toBe('pg_cron')
    expect(view.cost?.from).toBe('pg_cron')
    expect(view.interval?.longestMs).toBe(300_000)
  })

  it('tells a job that fails and one that is paused', async () => {
    await database.query('drop index mv_conversaciones_dashboard_id')
    await runOnce(1)
    await database.query('select cron.alter_job(2, active := false)')
    const report = await scan(database)
    const failing = viewOf(report, 'public.mv_conversaciones_dashboard')
    expect(failing.history).toMatchObject({ runs: 2, failed: 1, failedInARow: 1 })
    expect(failing.warnings.slice(0, 2)).toEqual([
      'CONCURRENTLY needs a unique index on columns, without a condition; there is none, so it fails.',
      'pg_cron job 1 failed last time: cannot refresh materialized view "public.mv_conversaciones_dashboard" concurrently.',
    ])
    expect(viewOf(report, 'public.vw_rc_metricas').warnings).toContain(
      'Every job that refreshes it is paused.',
    )
    expect(report.config).toContain('Paused today')
    await database.query('select cron.alter_job(2, active := true)')
    await database.query(
      'create unique index mv_conversaciones_dashboard_id on mv_conversaciones_dashboard (id)',
    )
  })

  it('finds refreshes from outside in pg_stat_statements', async () => {
    for (let i = 0; i < 3; i += 1) {
      await database.query('refresh materialized view mart.sesiones_hoy')
    }
    const view = viewOf(await scan(database), 'mart.sesiones_hoy')
    expect(view.refreshers).toMatchObject([
      { kind: 'statement', name: '3 statements from outside', mode: 'plain' },
    ])
    expect(view.cost?.from).toBe('pg_stat_statements')
    expect(view.last).toBeNull()
  })

  it('tells a role that pg_cron hides the jobs of others from it', async () => {
    await database.query('create role analyst login; grant usage on schema cron to analyst')
    const poor = openDatabase(server.url('postgres', 'analyst'))
    const { notes, views } = await scan(poor)
    expect(notes).toContain(
      'Only the jobs of this role are seen: row security of pg_cron hides those of others.',
    )
    expect(views).toHaveLength(7)
    await poor.close()
  })

  it('changes nothing: a dump before equals one after, and no transaction id is used', async () => {
    // Beside pg_cron's own database, where its clock writes at any minute.
    await database.query('create database still')
    const still = openDatabase(server.url('still'))
    await createSystems(still.query)
    await createCronByHand(still.query)
    const before = dump('still')
    const lastXid = 'select pg_snapshot_xmax(pg_current_snapshot())::text as xid'
    const [xid] = await still.query(lastXid)
    const report = await scan(still)
    expect(report.views).toHaveLength(7)
    expect(await still.query(lastXid)).toEqual([xid])
    expect(dump('still')).toBe(before)
    await still.close()
  })

  it('sees the same on a standby, and says that writes are counted elsewhere', async () => {
    await database.close()
    await server.stop()
    const copy = join(folder, 'standby')
    await cp(server.cluster.dataFolder, copy, { recursive: true, preserveTimestamps: true })
    const { user } = server.cluster
    await writeFile(join(copy, 'standby.signal'), '')
    if (user !== null) spawnSync('chown', ['-R', `${user.uid}:${user.gid}`, copy])
    await chmod(copy, 0o700)
    const standby = new Server({ ...server.cluster, dataFolder: copy }, await freePort())
    await Promise.all([server.start(), standby.start()])
    database = openDatabase(server.url('postgres'))
    const there = openDatabase(standby.url('postgres'))
    const onStandby = await scan(there)
    const onPrimary = await scan(database)
    expect(onStandby.server.standby).toBe(true)
    expect(onStandby.notes).toEqual([
      'This is a standby: writes are counted on the primary, so rates are not known here.',
    ])
    expect(onStandby.views.map(({ name }) => name)).toEqual(onPrimary.views.map(({ name }) => name))
    expect(onStandby.views[0]?.refreshers).toEqual(onPrimary.views[0]?.refreshers)
    expect(
      onStandby.views.flatMap(({ sources }) => sources.flatMap(({ writes }) => writes ?? [])),
    ).toEqual([])
    expect(onStandby.config).toBe(onPrimary.config)
    await there.close()
    await standby.stop()
  })
})
