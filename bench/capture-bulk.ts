/**
 * What does capture cost a writer of many rows? Statements of 100,000 rows on a plain table (statement triggers)
 * and on a partitioned one (row triggers), without capture and in both modes; microseconds a row, best of three.
 *
 *   npm run bench -- capture-bulk [--rows 100000] [--json]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { migrate } from '../src/define/migrate.ts'
import { relationName } from '../src/model/ids.ts'
import type { Database } from '../src/postgres/connection.ts'
import { openDatabase } from '../src/postgres/connection.ts'
import { startEmbedded } from '../src/postgres/embedded.ts'
import { qualifiedName } from '../src/postgres/identifier.ts'
import { capture } from '../test/capture/captured.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    json: { type: 'boolean', default: false },
  },
})

const rowCount = Number(values.rows)
const repeats = 3
const columns = ['customer_id', 'status', 'total']
const definition = '(id int primary key, customer_id int, status text, total numeric, note text)'

const statements = {
  insert: (table: string) =>
    `insert into ${table} select g, g % 100, 'new', g, 'n' from generate_series(1, ${rowCount}) g`,
  update: (table: string) => `update ${table} set total = total + 1`,
  'update of a column that no view reads': (table: string) => `update ${table} set note = 'o'`,
  delete: (table: string) => `delete from ${table}`,
}

type Kind = 'plain' | 'partitioned'
type Mode = 'none' | 'marks' | 'rows'

async function makeTable(database: Database, kind: Kind, mode: Mode): Promise<string> {
  const relation = relationName('public', `${kind}_${mode}`)
  const table = qualifiedName(relation)
  await database.query(
    kind === 'plain'
      ? `create table ${table} ${definition}`
      : `create table ${table} ${definition} partition by hash (id);
         create table ${table.slice(0, -1)}_0" partition of ${table} for values with (modulus 2, remainder 0);
         create table ${table.slice(0, -1)}_1" partition of ${table} for values with (modulus 2, remainder 1)`,
  )
  if (mode === 'none') return table
  await capture(database, relation, { mode, columns })
  return table
}

async function measure(database: Database, table: string): Promise<Record<string, number>> {
  const best: Record<string, number> = {}
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const [name, sql] of Object.entries(statements)) {
      const begun = performance.now()
      await database.query(sql(table))
      const micros = ((performance.now() - begun) * 1000) / rowCount
      best[name] = Math.min(best[name] ?? Infinity, Number(micros.toFixed(2)))
    }
    await database.query(`vacuum ${table}`)
  }
  return best
}

async function run(database: Database): Promise<readonly object[]> {
  await migrate(database)
  const rows: object[] = []
  for (const kind of ['plain', 'partitioned'] as const) {
    for (const mode of ['none', 'marks', 'rows'] as const) {
      const table = await makeTable(database, kind, mode)
      const row = { table: kind, mode, ...(await measure(database, table)) }
      if (!values.json) process.stdout.write(`${JSON.stringify(row)}\n`)
      rows.push(row)
    }
  }
  return rows
}

const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-'))
const server = await startEmbedded({
  dataFolder: join(folder, 'data'),
  settings: { max_wal_size: '8GB', shared_buffers: '512MB', autovacuum: 'off' },
})
try {
  const database = openDatabase(server.url)
  const rows = await run(database)
  await database.close()
  if (values.json) process.stdout.write(`${JSON.stringify({ rows })}\n`)
} finally {
  await server.stop()
  // As root the data is elsewhere, where the account of the server can reach it.
  await rm(server.dataFolder, { recursive: true, force: true })
  await rm(folder, { recursive: true, force: true })
}
