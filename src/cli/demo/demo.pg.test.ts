import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const program = fileURLToPath(new URL('../../../bin/tidemark.mjs', import.meta.url))

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-demo-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the command; sends `signal` once when a line of it matches `at`. */
function demo(flags: readonly string[], at?: RegExp, signal?: NodeJS.Signals): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, 'demo', ...flags], { cwd: folder })
    let stdout = ''
    let stderr = ''
    let sent = false
    const hear = (): void => {
      if (sent || at?.test(stdout + stderr) !== true) return
      sent = true
      child.kill(signal)
    }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      hear()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
      hear()
    })
    child.on('close', (status) => {
      resolve({ status, stdout, stderr })
    })
  })
}

describe('the demonstration', () => {
  test('unattended, it ends with one line that says that nothing was lost and all is exact', async () => {
    const { status, stdout, stderr } = await demo(['--rows', '4000', '--for', '5s', '--json'])
    expect(stderr).toContain('npx tidemark scan')
    expect(status).toBe(0)
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    const told = JSON.parse(stdout) as { writes: number; views: readonly object[] }
    expect(told).toMatchObject({ lost: 0 })
    expect(told.writes).toBeGreaterThan(20)
    expect(told.views).toHaveLength(5)
    for (const view of told.views) {
      const number: unknown = expect.any(Number)
      expect(view).toEqual({
        name: expect.any(String) as unknown,
        strategy: 'incremental',
        rows: number,
        refreshes: number,
        staleness_ms: { p50: number, p99: number, max: number },
        exact: true,
        checks: number,
      })
      expect((view as { checks: number }).checks).toBeGreaterThanOrEqual(5)
    }
  }, 180_000)

  test('a signal ends it cleanly, and it goes on with the same data', async () => {
    const { status, stdout } = await demo([], /views within target/, 'SIGTERM')
    expect(stdout).toContain('4,000 order lines')
    expect(stdout).toMatch(/writes committed, none lost/)
    expect(status).toBe(0)
  })

  test('killed as it can be, it leaves nothing that runs; another shop is refused with the mend', async () => {
    const { status } = await demo([], /engine \d+/, 'SIGKILL')
    expect(status).toBe(null)
    // PostgreSQL and the engine end by themselves; until then the folder is taken.
    const fault = async (): Promise<unknown> =>
      JSON.parse((await demo(['--rows', '5000', '--for', '1s', '--json'])).stdout) as unknown
    await expect.poll(fault, { timeout: 30_000, interval: 500 }).toMatchObject({
      code: 'TIDEMARK_USAGE',
      mend: expect.stringContaining('--reset') as unknown,
    })
  })
})
