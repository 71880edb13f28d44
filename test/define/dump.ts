import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const bin = '/usr/lib/postgresql/15/bin/pg_dump'

/** Schema of a database of Debian's PostgreSQL 15 as `pg_dump` prints it, without its random line. */
export const dumpSchema = (url: string): string =>
  execFileSync(existsSync(bin) ? bin : 'pg_dump', ['--schema-only', url], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  }).replaceAll(/^\\(un)?restrict .*$/gm, '')
