import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { installPackages } from '../support/private-packages.ts'

const folder = fileURLToPath(new URL('.', import.meta.url))

/** Installs the ORMs, unless they are there, and has Prisma generate its client. */
export function installOrms(): void {
  installPackages(new URL('.', import.meta.url), 'Drizzle, Kysely, Prisma and TypeORM')
  const schema = readFileSync(`${folder}schema.prisma`)
  const digest = createHash('sha256').update(schema).digest('hex')
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
