import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createInstalledDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { openShell } from './run.ts'
import { installHandMade } from '../support/hand-made.ts'
import { waitingAt } from '../support/waiting-at.ts'

/** `tidemark up` as a process of its own, which gets real signals. */
interface Engine {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  readonly log: () => readonly LogLine[]
  readonly output: () => string
}

interface LogLine {
  readonly level: string
  readonly msg: string
  readonly group?: string
}

let db: TestDatabase
let engine: Engine | undefined

beforeEach(async () => {
  db = await createInstalledDatabase()
  await installHandMade(db.sql, 300)
})
afterEach(async () => {
  if (engine?.child.exitCode === null) engine.child.kill('SIGKILL')
  await engine?.ended
  engine = undefined
  await db.drop()
})

function start(...words: readonly string[]): Engine {
  // The server trusts everybody, so that a password is there only to be kept out of the log.
  const url = new URL(db.url)
  url.password = 'secret'
  const program = fileURLToPath(new URL('../support/cli-process.mjs', import.meta.url))
  const child = spawn(process.execPath, [program, 'up', ...words], {
    env: { ...process.env, TIDEMARK_DATABASE_URL: url.href },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  engine = {
    child,
    ended: once(child, 'close').then(([code]: unknown[]) => code as number | null),
    output: () => output,
    log: () =>
      output
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as LogLine),
  }
  return engine
}

const until = async (condition: string): Promise<void> => {
  for (let look = 0; look < 2_000; look += 1) {
    const [row] = await db.sql<{ met: boolean }>(`select (${condition}) as met`)
    if (row?.met === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never met: ${condition}; the engine says: ${engine?.output() ?? ''}`)
}

async function untilStopping(log: Engine['log']): Promise<void> {
  while (log().every(({ msg }) => !msg.startsWith('stopping'))) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const allFresh = `not exists (select from tidemark.freshness where state <> 'fresh')`

/** A refresh of `by_region` or `total` has begun and waits in its middle until the session ends. */
async function stopInTheMiddle(): Promise<() => Promise<void>> {
  const gate = await db.session()
  await gate.query('select pg_advisory_lock(4711)')
  await db.sql(`insert into orders values (1000, 'r9', 1)`)
  await until(waitingAt(4711))
  return () => gate.close()
}

describe('tidemark up', () => {
  test('keeps views fresh, logs JSON lines without a password, and ends with 0 when told to', async () => {
    const { child, ended, log, output } = start('--poll', '50ms')
    await until(allFresh)
    await db.sql(`insert into orders values (1000, 'r9', 1)`)
    await until(`exists (select from by_region where region = 'r9')`)
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    const messages = log().map(({ msg }) => msg)
    expect(messages[0]).toBe('engine started')
    expect(messages.at(-1)).toBe('engine stopped')
    expect(
      log().some(({ msg, group }) => msg === 'refreshed' && group === 'public.by_region'),
    ).toBe(true)
    expect(output()).not.toContain('secret')
  })

  test('waits for a refresh that runs', async () => {
    const { child, ended, log } = start('--poll', '50ms')
    await until(allFresh)
    const release = await stopInTheMiddle()
    child.kill('SIGINT')
    await untilStopping(log)
    expect(child.exitCode).toBeNull()
    await release()
    expect(await ended).toBe(0)
    expect(log().at(-1)?.msg).toBe('engine stopped')
    expect(
      await db.sql(`select from tidemark.run where status not in ('completed', 'skipped')`),
    ).toEqual([])
  })

  test('ends at once at the second signal', async () => {
    const { child, ended, log } = start('--poll', '50ms')
    await until(allFresh)
    const release = await stopInTheMiddle()
    child.kill('SIGINT')
    await untilStopping(log)
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    await release()
    // The backend ends what it began, or rolls it back: either way no run is left running.
    await until(`not exists (select from pg_stat_activity
                  where datname = current_database() and query like '%tidemark.work%' and pid <> pg_backend_pid())`)
  })

  test('refuses a database in which nothing is installed, with status 1', async () => {
    await db.sql('drop schema tidemark cascade; drop schema tidemark_state cascade')
    const { ended, output } = start()
    expect(await ended).toBe(1)
    expect(output()).toContain('TIDEMARK_NOT_INSTALLED')
  })
})

test('up --apply applies first, tells the steps in its log, and keeps what it applied', async () => {
  const shell = await openShell(db.url)
  await shell.write(
    'tidemark.config.ts',
    `export default { views: { by_id: { sql: 'select id, amount from public.orders', key: ['id'], target: '1s' } } }`,
  )
  await db.sql(`drop schema tidemark cascade; drop schema tidemark_state cascade;
                drop trigger if exists capture on orders`)
  const { child, ended, log } = start(
    '--apply',
    '--config',
    join(shell.folder, 'tidemark.config.ts'),
  )
  await until(`to_regclass('public.by_id') is not null`)
  await until(`(select count(*) = 10 from public.by_id)`)
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
  expect(log().map(({ msg }) => msg)).toContain('applied + view public.by_id')
  await shell.remove()
})
