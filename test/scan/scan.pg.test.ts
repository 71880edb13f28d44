import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { must } from '../../src/base/assert.ts'
import { systemClock } from '../../src/base/clock.ts'
import { runCli } from '../../src/cli/program.ts'
import { loadConfiguration } from '../../src/define/config/load-configuration.ts'
import { scan } from '../../src/engine/scan.ts'
import type { ScannedView, ScanReport } from '../../src/engine/scan.ts'
import type { Configuration } from '../../src/model/declaration.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase, createTestDatabase } from '../support/database.ts'
import { long } from '../support/random.ts'
import type { ServerName } from '../support/servers.ts'
import { addRuns, createCronByHand, createSystems } from './systems.ts'

const minute = 60_000

const viewOf = (report: ScanReport, name: string): ScannedView =>
  must(
    report.views.find((view) => view.name === name),
    `${name} is found`,
  )

/** Writes the configuration to a file and loads it, as a user does. */
async function loaded(config: string): Promise<Configuration> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-scan-'))
  try {
    await writeFile(join(folder, 'tidemark.config.ts'), config)
    return await loadConfiguration(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

describe('a scan of systems A, B and C', () => {
  let test: TestDatabase
  let report: ScanReport
  beforeAll(async () => {
    test = await createTestDatabase()
    await createSystems(test.sql)
    await createCronByHand(test.sql)
    await addRuns(test.sql, 2)
    await test.sql('analyze')
    report = await scan(test.database)
  })
  afterAll(() => test.drop())

  it('finds every materialized view with its size, rows and unique index', () => {
    expect(report.views.map(({ name }) => name)).toEqual([
      'mart.Ventas 2024',
      'mart.sesiones_hoy',
      'public.mv_conversaciones_dashboard',
      'public.universal_transactions_mv',
      'public.vw_cancelaciones_indices',
      'public.vw_polizas_metricas',
      'public.vw_rc_metricas',
    ])
    const view = viewOf(report, 'public.mv_conversaciones_dashboard')
    expect(view).toMatchObject({
      populated: true,
      rows: { count: 29, exact: true },
      uniqueIndex: { name: 'mv_conversaciones_dashboard_id', columns: ['id'] },
      readers: ['public.conversaciones_por_ejecutivo'],
    })
    expect(view.tableBytes).toBeGreaterThan(0)
    expect(view.indexBytes).toBeGreaterThan(0)
    expect(viewOf(report, 'mart.Ventas 2024')).toMatchObject({
      populated: false,
      uniqueIndex: null,
    })
  })

  it('knows from pg_cron how, how often and when a view was refreshed, what it costs and what failed', () => {
    const view = viewOf(report, 'public.mv_conversaciones_dashboard')
    expect(view.refreshers).toMatchObject([
      {
        kind: 'pg_cron',
        mode: 'concurrently',
        job: { id: 1, schedule: '*/5 * * * *', active: true },
      },
    ])
    expect(view.interval).toEqual({
      shortestMs: 5 * minute,
      longestMs: 5 * minute,
      from: 'schedule',
    })
    expect(view.history).toMatchObject({ runs: 288, failed: 2, failedInARow: 2 })
    expect(view.last).toMatchObject({ from: 'pg_cron', tookMs: 1286 })
    expect(view.cost).toMatchObject({ from: 'pg_cron', mostMs: 1286 })
    expect(view.staleness?.mostMs).toBe(5 * minute + 1286)
    expect(view.blocks).toContain('readers go on')
    expect(view.warnings).toContain(
      'pg_cron job 1 failed the last 2 times: canceling statement due to lock timeout.',
    )
  })

  it('follows a job through the functions that it calls, names made at run time included', () => {
    const view = viewOf(report, 'public.universal_transactions_mv')
    expect(
      view.refreshers.map(({ name, mode, through, onRequest }) => [
        name,
        mode,
        through.length,
        onRequest,
      ]),
    ).toEqual([
      [`job 4 'refresh-universal-transactions-hourly'`, 'concurrently', 1, false],
      [`job 5 'refresh-universal-transactions-frequent'`, 'concurrently', 1, false],
      [`job 6 'process-mv-refresh-events'`, 'concurrently', 2, true],
    ])
    expect(view.interval).toMatchObject({ shortestMs: 15 * minute, longestMs: 60 * minute })
    expect(viewOf(report, 'public.vw_rc_metricas').mode).toBe('plain')
  })

  it('reads the log of refreshes that a team keeps', () => {
    const view = viewOf(report, 'public.universal_transactions_mv')
    expect(view.last).toMatchObject({ from: 'public.mv_refresh_log', tookMs: 1000 })
    expect(view.history).toMatchObject({ runs: 24, failed: 1 })
    expect(view.cost).toMatchObject({ from: 'public.mv_refresh_log', mostMs: 1230 })
  })

  it('says honestly what PostgreSQL does not know', () => {
    const view = viewOf(report, 'mart.sesiones_hoy')
    expect(view).toMatchObject({
      refreshers: [],
      last: null,
      history: null,
      interval: null,
      staleness: null,
    })
    expect(view.cost?.from).toBe('estimate')
    expect(view.readsTheClock).toBe(true)
    expect(view.warnings.join(' ')).toContain('Nothing in the database refreshes it.')
    expect(viewOf(report, 'mart.Ventas 2024').warnings[0]).toContain('never filled')
  })

  it('names the tables behind a view, through plain views, with sizes and writes', () => {
    const { sources } = viewOf(report, 'public.mv_conversaciones_dashboard')
    expect(sources.map(({ name, kind }) => [name, kind])).toEqual([
      ['public.conversaciones_whatsapp', 'table'],
      ['public.mensajes_whatsapp', 'table'],
      ['public.prospectos_whatsapp', 'table'],
    ])
    expect(sources[0]?.bytes).toBeGreaterThan(0)
  })

  it('recognises a cache table by evidence, and not what merely expires or cascades', () => {
    expect(report.caches.map(({ name }) => name)).toEqual([
      'public.campaign_progress',
      'public.kpi_cache',
    ])
    const [progress] = report.caches
    expect(
      progress?.invalidations.filter(({ kind }) => kind === 'trigger').map(({ on }) => on),
    ).toEqual([
      'public.campaigns_custom_metrics',
      'public.candidatos',
      'public.clientes',
      'public.planificaciones',
      'public.polizas',
      'public.prospectos',
      'public.user_segments',
    ])
    expect(progress?.invalidations.at(-1)).toMatchObject({
      kind: 'pg_cron',
      schedule: '*/10 * * * *',
      age: '5 min',
    })
  })

  it('sees that a cache is emptied before the views that fill it have the change', () => {
    const [progress] = report.caches
    expect(progress?.behind.map(({ view }) => view)).toEqual([
      'mart.sesiones_hoy',
      'public.vw_cancelaciones_indices',
      'public.vw_polizas_metricas',
      'public.vw_rc_metricas',
    ])
    expect(progress?.behind.at(-1)?.mostMs).toBeGreaterThanOrEqual(10 * minute)
  })

  it('recognises the queue through which triggers ask for refreshes', () => {
    expect(report.queues).toMatchObject([
      {
        name: 'public.mv_refresh_triggers',
        requests: [
          {
            trigger: 'high_value_refresh',
            on: 'public.cpg_consignment',
            when: 'monto_total >= 10000',
            priority: 'critical',
          },
        ],
        workedOffBy: [
          'public.process_pending_mv_refreshes()',
          `pg_cron job 6 'process-mv-refresh-events'`,
        ],
        everyMs: 5 * minute,
        views: ['public.universal_transactions_mv'],
      },
    ])
  })

  it('ends with a configuration that loads and keeps targets, schedules and events', async () => {
    const { views } = await loaded(report.config)
    expect(views.map(({ name }) => name)).toEqual(report.views.map(({ name }) => name))
    const find = (name: string) =>
      must(
        views.find((view) => view.name === name),
        name,
      )
    expect(find('public.mv_conversaciones_dashboard')).toMatchObject({
      definition: { kind: 'adopt', relation: 'public.mv_conversaciones_dashboard' },
      targetMs: 5 * minute,
      schedules: [{ cron: '*/5 * * * *', zone: 'UTC' }],
    })
    expect(find('public.universal_transactions_mv')).toMatchObject({
      targetMs: 60 * minute,
      schedules: [{ cron: '0 * * * *' }, { cron: '*/15 9-18 * * 1-5' }],
      events: [
        {
          source: 'public.cpg_consignment',
          when: 'monto_total >= 10000',
          lane: 'critical',
          batchMs: 5 * minute,
        },
      ],
    })
    expect(report.config).toContain('select cron.unschedule(1);')
  })

  it('is one line of JSON for programs, and lines for people that fit their terminal', async () => {
    const run = async (words: readonly string[], width: number | null): Promise<string> => {
      let out = ''
      const status = await runCli(['scan', '--database-url', test.url, ...words], {
        environment: { NO_COLOR: '1' },
        folder: tmpdir(),
        clock: systemClock,
        out: (text) => (out += text),
        err: (text) => (out += text),
        interactive: true,
        width: () => width,
        confirm: null,
        openTerminal: null,
        onStop: () => () => undefined,
      })
      expect(status).toBe(0)
      return out
    }
    const json: unknown = JSON.parse(await run(['--json'], null))
    expect(json).toMatchObject({
      version: 1,
      kind: 'scan',
      views: expect.arrayContaining([
        expect.objectContaining({
          name: 'public.mv_conversaciones_dashboard',
          unique_index: { name: 'mv_conversaciones_dashboard_id', columns: ['id'] },
        }) as unknown,
      ]) as unknown,
      config: report.config,
    })
    for (const width of [80, 120]) {
      const [text = ''] = (await run([], width)).split('tidemark.config.ts\n')
      expect(text).toContain('Nothing was changed.')
      expect(text).not.toContain('\u001B')
      expect(text.split('\n').filter((line) => Array.from(line).length > width)).toEqual([])
    }
  })

  it('looks at the schemas that are named, and no others', async () => {
    const mart = await scan(test.database, ['mart'])
    expect(mart.views.map(({ name }) => name)).toEqual(['mart.Ventas 2024', 'mart.sesiones_hoy'])
    expect(mart.caches).toEqual([])
    await loaded(mart.config)
  })
})

describe('a scan', () => {
  it('of an empty database gives a configuration that loads', async () => {
    const test = await createTestDatabase()
    const report = await scan(test.database)
    expect(report).toMatchObject({ views: [], caches: [], queues: [], notes: [] })
    expect((await loaded(report.config)).views).toEqual([])
    await test.drop()
  })

  it("of a database with Tidemark leaves out what is Tidemark's own", async () => {
    const test = await createInstalledDatabase()
    await test.sql('create materialized view mv as select 1 as x')
    const report = await scan(test.database)
    expect(report.server.tidemark).toBe(true)
    expect(report.views.map(({ name }) => name)).toEqual(['public.mv'])
    expect(report).toMatchObject({ caches: [], queues: [], notes: [] })
    await test.drop()
  })

  it('warns of a trigger that refreshes inside of every write', async () => {
    const test = await createTestDatabase()
    await test.sql(`
      create table t (n int);
      create materialized view mv as select count(*) as n from t;
      create function refresh_mv() returns trigger language plpgsql as
        'begin refresh materialized view public.mv; return null; end';
      create trigger at_once after insert on t for each statement execute function refresh_mv()`)
    const view = viewOf(await scan(test.database), 'public.mv')
    expect(view.refreshers).toMatchObject([
      { kind: 'trigger', name: 'trigger at_once on public.t' },
    ])
    expect(view.warnings[0]).toContain('every write waits for it')
    await test.drop()
  })

  it('tells what the role may not read, and goes on', async () => {
    const test = await createTestDatabase()
    await createSystems(test.sql)
    await createCronByHand(test.sql)
    const role = `nobody_${test.name}`
    await test.sql(`create role ${role} login; revoke all on schema mart from public`)
    const poor = openDatabase(test.urlAs(role))
    const report = await scan(poor)
    expect(report.views).toHaveLength(7)
    const view = viewOf(report, 'public.mv_conversaciones_dashboard')
    expect(view.sources).toHaveLength(3)
    expect(view.cost).toBeNull()
    expect(view.tidemark.feasible).toBeNull()
    expect(view.warnings.at(-1)).toContain('member of postgres')
    expect(report.notes.join('\n')).toContain('may not read its jobs')
    expect(report.notes.join('\n')).toContain('mv_refresh_log looks like a log')
    await loaded(report.config)

    await test.sql(`grant usage on schema cron to ${role};
      grant select on cron.job, cron.job_run_details to ${role}`)
    expect((await scan(poor)).notes.join('\n')).toContain('Only the jobs of this role are seen')
    await poor.close()
    await test.sql(`drop owned by ${role}; drop role ${role}`)
    await test.drop()
  })

  it('does not wait for a REFRESH that runs, and does not hold one up', async () => {
    const test = await createTestDatabase()
    await createSystems(test.sql)
    const refreshing = await test.session()
    await refreshing.query('begin')
    await refreshing.query('refresh materialized view vw_polizas_metricas')
    const report = await scan(test.database)
    expect(report.notes.join('\n')).toContain('public.vw_polizas_metricas is locked')
    expect(viewOf(report, 'public.vw_polizas_metricas').tableBytes).toBeNull()
    expect(viewOf(report, 'public.mv_conversaciones_dashboard').tableBytes).not.toBeNull()
    await refreshing.query('rollback')
    await test.drop()
  })

  it('changes nothing, even where planning a query would call a function that writes', async () => {
    const test = await createTestDatabase()
    await test.sql(`
      create table traces (n int);
      create function leave_trace() returns int language plpgsql as
        'begin insert into public.traces values (1); return 1; end';
      create function writes() returns int language plpgsql immutable as
        'begin return public.leave_trace(); end';
      create materialized view mv as select n from traces where n = writes() with no data`)
    const report = await scan(test.database)
    expect(report.notes.join('\n')).toContain('read-only transaction')
    expect(await test.sql('select from traces')).toEqual([])
    await test.drop()
  })

  it('takes any name for what it is', async () => {
    const test = await createTestDatabase()
    const odd = `it's "a" view`
    await test.sql(`
      create schema "Año";
      create materialized view "Año"."Ventas $1 – '24'" as select 1 as x;
      create materialized view "${odd.replaceAll('"', '""')}" as select 1 as x;
      create materialized view "a.b" as select 1 as x;
      create materialized view "line\nbreak" as select 1 as x`)
    const report = await scan(test.database)
    const { views } = await loaded(report.config)
    expect(views.map(({ name }) => name)).toEqual([`Año.Ventas $1 – '24'`])
    expect(report.config).toContain('cannot be named in a configuration')
    await test.drop()
  })

  it('counts partitions as one source and says that foreign tables cannot be captured', async () => {
    const test = await createTestDatabase()
    await test.sql(`
      create table facts (day date, n int) partition by range (day);
      create table facts_1 partition of facts for values from ('2026-01-01') to ('2027-01-01');
      insert into facts select '2026-01-01', i from generate_series(1, 1000) i;
      create materialized view mv_days as select day, sum(n) as n from facts group by day;
      create materialized view mv_top as select max(n) as n from mv_days;
      create foreign data wrapper nowhere;
      create server elsewhere foreign data wrapper nowhere;
      create foreign table far (n int) server elsewhere;
      create materialized view mv_far as select n from far with no data`)
    const report = await scan(test.database)
    expect(viewOf(report, 'public.mv_days').sources).toMatchObject([
      { name: 'public.facts', kind: 'partitioned' },
    ])
    expect(viewOf(report, 'public.mv_days').sources[0]?.bytes).toBeGreaterThan(0)
    expect(viewOf(report, 'public.mv_top').sources).toMatchObject([
      { name: 'public.mv_days', kind: 'matview' },
    ])
    expect(viewOf(report, 'public.mv_far').tidemark).toMatchObject({ feasible: null })
    await test.drop()
  })
})

const servers: readonly ServerName[] = long ? ['14', '15', '16', '17', '18'] : ['14', '18']

describe.each(servers)('on PostgreSQL %s, a scan', (server) => {
  it('finds the views, the cache and the queue', async () => {
    const test = await createTestDatabase({ server })
    await createSystems(test.sql)
    await createCronByHand(test.sql)
    const report = await scan(test.database)
    expect(report.server.version.split('.')[0]).toBe(server)
    expect(report.views).toHaveLength(7)
    expect(report.caches).toHaveLength(2)
    expect(report.queues).toHaveLength(1)
    expect(report.notes).toEqual([])
    await loaded(report.config)
    await test.drop()
  })
})
