import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { must } from '../base/assert.ts'
import { TidemarkError } from '../model/errors.ts'
import type { Database, Queryable } from '../postgres/connection.ts'
import { serverVersion } from '../postgres/connection.ts'
import { literal } from '../postgres/identifier.ts'

/** A numbered step of Tidemark's own schemas that a database has not had yet. */
export interface PendingMigration {
  readonly number: number
  readonly name: string
  /** All that it does, its own bookkeeping included; runs in one transaction with the others. */
  readonly sql: string
}

/** Choices of {@link migrate}. */
export interface MigrateOptions {
  /** Stop after this number; for tests of upgrades. */
  readonly upTo?: number
}

interface Migration {
  readonly number: number
  readonly name: string
  readonly text: string
  readonly checksum: string
}

interface AppliedMigration {
  readonly number: number
  readonly name: string
  readonly checksum: string
}

/** The same depth below the root of the package from `src/define` and from `dist/define`. */
const folder = new URL('../../sql/migrations/', import.meta.url)

/** Any fixed number: whoever migrates this database waits for whoever migrates it now. */
const migrating = 7_433_627_101

/**
 * What `migrate` would run, in order; reads only.
 * Throws `TIDEMARK_SCHEMA_NEWER` or `TIDEMARK_SCHEMA_CHANGED` when this program does not fit the database.
 */
export async function pendingMigrations(
  queryable: Queryable,
): Promise<readonly PendingMigration[]> {
  await serverVersion(queryable)
  const installed = await isInstalled(queryable)
  const applied = installed
    ? await queryable.query<AppliedMigration>(
        'select number, name, checksum from tidemark.migration order by number',
      )
    : []
  const shipped = shippedMigrations()
  refuseForeign(shipped, applied)
  const done = new Set(applied.map((migration) => migration.number))
  return shipped
    .filter((migration) => !done.has(migration.number))
    .map((migration, i) => ({
      number: migration.number,
      name: migration.name,
      sql: [...(i === 0 && !installed ? [bootstrap] : []), programOf(migration)].join('\n'),
    }))
}

/** Whether a database has Tidemark's schemas, in whatever version. */
export async function isInstalled(queryable: Queryable): Promise<boolean> {
  const [found] = await queryable.query<{ there: boolean }>(
    `select to_regclass('tidemark.migration') is not null as there`,
  )
  return found?.there === true
}

/**
 * Brings Tidemark's schemas to the version of this program; returns the numbers that were applied.
 *
 * Guarantees: all pending migrations or none; two who migrate at once apply each number once;
 * a database that is up to date is not written to.
 */
export async function migrate(
  database: Pick<Database, 'transaction'>,
  options: MigrateOptions = {},
): Promise<readonly number[]> {
  const upTo = options.upTo ?? Infinity
  return database.transaction(async (transaction) => {
    // Read committed: the statements after this one see what the one before us has committed.
    await transaction.query('select pg_advisory_xact_lock($1)', [migrating])
    const pending = (await pendingMigrations(transaction)).filter(({ number }) => number <= upTo)
    for (const migration of pending) await transaction.query(migration.sql)
    await recordInstallation(transaction)
    return pending.map(({ number }) => number)
  })
}

/** Schemas closed to everyone, and the table that says which migrations a database has had. */
const bootstrap = `
create schema if not exists tidemark;
create schema if not exists tidemark_state;
revoke all on schema tidemark, tidemark_state from public;
create table tidemark.migration (
  number int primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
);
`.trimStart()

/**
 * Which database this is, once; a copy, a restored or a promoted one is recognised by the difference.
 * Where the host does not let us ask for the system identifier, 0 stands for it.
 */
async function recordInstallation(transaction: Queryable): Promise<void> {
  const [known] = await transaction.query<{ recorded: boolean; permitted: boolean }>(
    `select exists (select from tidemark.installation) as recorded,
            has_function_privilege('pg_control_system()', 'execute') as permitted`,
  )
  if (known?.recorded === true) return
  const identifier =
    known?.permitted === true ? '(select system_identifier from pg_control_system())' : '0'
  await transaction.query(
    `insert into tidemark.installation (system_identifier, database_oid, timeline, highest_xid)
     select ${identifier},
            (select oid from pg_database where datname = current_database()),
            left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
            pg_current_xact_id()`,
  )
}

function programOf(migration: Migration): string {
  const row = [String(migration.number), literal(migration.name), literal(migration.checksum)]
  return `${migration.text.trimEnd()}
insert into tidemark.migration (number, name, checksum) values (${row.join(', ')});
`
}

/** Refuses a database that a newer program has migrated, or whose migrations were others. */
function refuseForeign(shipped: readonly Migration[], applied: readonly AppliedMigration[]): void {
  const newest = shipped.at(-1)?.number ?? 0
  const newer = applied.find(({ number }) => number > newest)
  if (newer !== undefined) {
    throw new TidemarkError({
      code: 'TIDEMARK_SCHEMA_NEWER',
      what: `The database has migration ${newer.number} (${newer.name}); this program knows ${newest}`,
      mend: 'Use a newer version of tidemark: npm install tidemark@latest.',
    })
  }
  for (const { number, name, checksum } of applied) {
    const same = shipped.find((migration) => migration.number === number)
    if (same?.checksum === checksum) continue
    throw new TidemarkError({
      code: 'TIDEMARK_SCHEMA_CHANGED',
      what: `Migration ${number} (${name}) differs from the one that the database has had`,
      mend: 'Use the version of tidemark that migrated this database, or a released one.',
    })
  }
}

function shippedMigrations(): readonly Migration[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const [, digits, name] = must(
        /^(\d{4})-([a-z0-9-]+)\.sql$/.exec(file),
        `${file} is NNNN-name.sql`,
      )
      // A checkout with other line ends is the same migration.
      const text = readFileSync(new URL(file, folder), 'utf8').replaceAll('\r\n', '\n')
      return {
        number: Number(digits),
        name: must(name, 'the pattern has two groups'),
        text,
        checksum: createHash('sha256').update(text).digest('hex'),
      }
    })
}
