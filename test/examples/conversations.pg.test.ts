import { afterEach, beforeEach, expect, test } from 'vitest'
import { runEngine } from '../../src/engine/engine.ts'
import { readFreshness } from '../../src/observe/freshness.ts'
import { pauseSchedule, resumeSchedule } from '../../src/queue/by-hand.ts'
import { tick } from '../../src/queue/tick.ts'
import type { TestDatabase } from '../support/database.ts'
import { applyExample, exampleDatabase } from './example.ts'

const osmara = 'd7847ffa-0758-4eb2-a97b-f80e54886531'
let db: TestDatabase

beforeEach(async () => {
  db = await exampleDatabase('conversations')
  await db.sql(`
    insert into prospectos (nombre, coordinacion_id, ejecutivo_id)
      select 'prospecto ' || n, n % 4, gen_random_uuid() from generate_series(1, 3230) n;
    insert into conversaciones_whatsapp (prospecto_id) select id from prospectos;
    insert into mensajes_whatsapp (conversacion_id, rol, contenido) select id, 'cliente', 'hola' from conversaciones_whatsapp;
    refresh materialized view mv_conversaciones_dashboard`)
  await applyExample(db, 'conversations')
})
afterEach(() => db.drop())

const until = async (condition: string): Promise<void> => {
  for (let look = 0; look < 500; look += 1) {
    const [row] = await db.sql<{ met: boolean }>(`select (${condition}) as met`)
    if (row?.met === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never met: ${condition}`)
}

test('B1: after a reassignment the 29 conversations show by themselves, not after five minutes as 0', async () => {
  const stop = new AbortController()
  const engine = runEngine(
    {
      databaseUrl: db.url,
      workers: 1,
      pollMs: 50,
      idleAfterMs: null,
      name: 'engine',
      onEvent: () => undefined,
    },
    stop.signal,
  )
  await db.sql(`update prospectos set ejecutivo_id = '${osmara}' where id <= 29`)
  await until(
    `(select count(*) from mv_conversaciones_dashboard where ejecutivo_id = '${osmara}') = 29`,
  )
  stop.abort()
  await engine
  const runs = await db.sql<{ rows_written: number }>(
    `select rows_updated + rows_inserted as rows_written from tidemark.runs where trigger_type = 'target' and status = 'completed'`,
  )
  expect(runs.at(-1)?.rows_written).toBe(29)
})

test('B2, B3: the job has a name, a number, a schedule; it is paused with a reason, its slots say so, and it goes on', async () => {
  const [job] = await db.sql<{ id: number; schedule: string; active: boolean }>(
    `select id, schedule, active from tidemark.schedules where name = 'refresh-conversaciones-dashboard'`,
  )
  expect(job).toMatchObject({ schedule: '*/5 * * * *', active: true })
  await pauseSchedule(db.database, String(job?.id), 'migración')
  await db.sql(
    `insert into tidemark.slot (schedule_id, slot_at) values ($1, now() - interval '1 second')`,
    [job?.id],
  )
  await tick(db.database)
  expect(
    await db.sql(`select outcome, reason from tidemark.slot where outcome is not null`),
  ).toEqual([{ outcome: 'skipped', reason: 'schedule paused: migración' }])
  await resumeSchedule(db.database, 'refresh-conversaciones-dashboard')
  await db.sql(`insert into tidemark.slot (schedule_id, slot_at) values ($1, now())`, [job?.id])
  expect((await tick(db.database)).fired).toBe(1)
})

test('B4, B6: a failing refresh serves the old rows, is filtered from the history, and says so', async () => {
  await db.sql(`alter table mensajes_whatsapp rename to mensajes_viejos`)
  await db.sql(`create or replace function tidemark_state."maintain public.mv_conversaciones_dashboard"(verify boolean, since pg_snapshot, since_as_of timestamptz default null,
      out rows_total bigint, out rows_inserted bigint, out rows_updated bigint, out rows_deleted bigint, out differing bigint, out method text)
    language plpgsql as $f$ begin raise exception 'out of luck'; end $f$`)
  await expect(
    db.sql(`call tidemark.run('mv_conversaciones_dashboard', 'manual', 'diagnóstico')`),
  ).rejects.toThrow('TIDEMARK_REFRESH_FAILED')
  const [served] = await db.sql<{ n: number }>(
    'select count(*)::int as n from mv_conversaciones_dashboard',
  )
  expect(served?.n).toBe(3230)
  const failures = await db.sql(
    `select view_name, error, triggered_by from tidemark.refresh_log where status = 'failed'`,
  )
  expect(failures).toEqual([
    {
      view_name: 'public.mv_conversaciones_dashboard',
      error: 'out of luck',
      triggered_by: 'diagnóstico',
    },
  ])
})

test('B5: triggers and publications of the base tables go on untouched; B7: nothing of it is a superuser', async () => {
  await db.sql(
    'create publication realtime for table mensajes_whatsapp, prospectos, conversaciones_whatsapp',
  )
  await db.sql(`update prospectos set ejecutivo_id = '${osmara}' where id = 1`)
  const [published] = await db.sql<{ n: number }>(
    `select count(*)::int as n from pg_publication_tables where pubname = 'realtime'`,
  )
  expect(published?.n).toBe(3)
  expect((await readFreshness(db.database))[0]?.stalenessMs).toBeGreaterThan(0)
})
