import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const bufferBytes = 64 * 1024 * 1024

/** A program of Debian's PostgreSQL 15, else whichever is found. */
function run(program: string, args: readonly string[], input = ''): string {
  const debian = `/usr/lib/postgresql/15/bin/${program}`
  const path = existsSync(debian) ? debian : program
  return execFileSync(path, args, {
    encoding: 'utf8',
    input,
    maxBuffer: bufferBytes,
    stdio: 'pipe',
  })
}

/** Schema of a database as `pg_dump` prints it, without its random line. */
export const dumpSchema = (url: string): string =>
  run('pg_dump', ['--schema-only', url]).replaceAll(/^\\(un)?restrict .*$/gm, '')

/** Runs SQL as a file through psql; any error is one. */
export const runPsql = (url: string, sql: string): string =>
  run('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-', url], sql)

/** Restores a dump of everything in one database into an empty one. */
export const restoreDump = (from: string, to: string): string =>
  runPsql(to, run('pg_dump', ['--no-owner', from]))
