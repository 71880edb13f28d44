import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installPackages } from '../support/private-packages.ts'

const folder = fileURLToPath(new URL('.', import.meta.url))

/** Another worker installs at the same time: nobody does so for longer. */
const installWithinMs = 240_000

/** Installs the ORMs, unless they are there, and has Prisma generate its client; one worker at a time. */
export function installOrms(): void {
  const lock = join(tmpdir(), `tidemark-orms-${digestOf(folder)}`)
  for (let waited = 0; !isTaken(lock); waited += 100) {
    if (waited > installWithinMs) rmSync(lock, { recursive: true, force: true })
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  }
  try {
    install()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

/** Whether this worker has made the lock. */
function isTaken(lock: string): boolean {
  try {
    mkdirSync(lock)
    return true
  } catch {
    return false
  }
}

const digestOf = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex')

function install(): void {
  installPackages(new URL('.', import.meta.url), 'Drizzle, Kysely, Prisma and TypeORM')
  const digest = digestOf(readFileSync(`${folder}schema.prisma`))
  const stamp = `${folder}generated/.made-of`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  const prisma = spawnSync(process.execPath, ['node_modules/prisma/build/index.js', 'generate'], {
    cwd: folder,
    encoding: 'utf8',
    // Any program: generate asks its engine for nothing.
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' },
  })
  if (prisma.status !== 0) throw new Error(`prisma generate failed:\n${prisma.stderr}`)
  writeFileSync(stamp, digest)
}
