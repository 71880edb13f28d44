import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createIndexes } from '../../src/define/create-indexes.ts'
import { relationOf } from '../../src/model/ids.ts'
import type { IndexProposal } from '../../src/model/index-proposal.ts'
import { openDatabase } from '../../src/postgres/connection.ts'
import { copiesOf, createInstalledDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { jsonOf, openShell } from './run.ts'
import type { Shell } from './run.ts'

const config = `
import { defineConfig } from 'tidemark'
export default defineConfig({
  views: {
    sales: { sql: 'select c.region, sum(o.total) as total from orders o join customers c on c.id = o.customer_id group by c.region' },
    greatest: { sql: 'select lower(o.email) as email, max(o.total) as total from orders o group by lower(o.email)' },
  },
})`

const byCustomer = 'tidemark orders by customer_id'
const byEmail = 'tidemark orders by lower(email)'

let db: TestDatabase
let shell: Shell

const openProject = async (made: TestDatabase): Promise<Shell> => {
  const opened = await openShell(made.url)
  await opened.write('tidemark.config.ts', config)
  return opened
}

/** Databases in which the configuration is applied, but for the indexes that are proposed. */
const applied = copiesOf(async () => {
  const made = await createInstalledDatabase()
  await made.sql(`
    create table customers (id int primary key, region text);
    create table orders (id int primary key, customer_id int, email text, total int);
    insert into customers select g, 'r' || g % 3 from generate_series(1, 1000) g;
    insert into orders select g, 1 + g % 1000, 'M' || g, g from generate_series(1, 10100) g;
    analyze;`)
  const project = await openProject(made)
  expect(await project.run(['apply', '--yes'])).toMatchObject({ status: 0, err: '' })
  await project.remove()
  return made
})

beforeEach(async () => {
  db = await applied()
  shell = await openProject(db)
})
afterEach(async () => {
  await shell.remove()
  await db.drop()
})

interface Index {
  readonly name: string
  readonly valid: boolean
}

/** The indexes of a table but its key. */
const indexesOf = (table: string): Promise<Index[]> =>
  db.sql<Index>(
    `select i.relname as name, x.indisvalid as valid
       from pg_index x join pg_class i on i.oid = x.indexrelid
      where x.indrelid = $1::regclass and not x.indisprimary order by 1`,
    [table],
  )

const made = (...names: readonly string[]): Index[] => names.map((name) => ({ name, valid: true }))

const proposal = (table: string, ...columns: readonly string[]): IndexProposal => ({
  table: relationOf(table),
  columns,
  sql: `create index concurrently on ${table} (${columns.join(', ')})`,
  uses: [],
  rows: null,
})

const until = async (condition: string): Promise<void> => {
  for (let look = 0; look < 1_000; look += 1) {
    const [row] = await db.sql<{ met: boolean }>(`select (${condition}) as met`)
    if (row?.met === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`never met: ${condition}`)
}

describe('apply --create-indexes', () => {
  test('makes what the plan proposes, of columns and expressions, and nothing the second time', async () => {
    const plan = await shell.run(['plan'])
    expect(plan.status).toBe(0)
    expect(plan.out.replaceAll(/\s+/g, ' ')).toContain("'tidemark apply --create-indexes' makes it")
    expect((await shell.run(['apply', '--yes'])).status).toBe(0)
    expect(await indexesOf('orders')).toEqual([])

    const ran = await shell.run(['apply', '--create-indexes', '--yes'])
    expect(ran).toMatchObject({ status: 0, err: '' })
    expect(ran.out).toContain(`✓ + index ${byCustomer} on public.orders`)
    expect(await indexesOf('orders')).toEqual(made(byCustomer, byEmail))

    const again = await shell.run(['apply', '--create-indexes', '--json'])
    expect(again.status).toBe(0)
    expect(jsonOf(again)).toMatchObject({ kind: 'apply', indexes: [] })
    expect((await shell.run(['plan'])).out).not.toContain('no index serves it')
  })

  test('asks first, and makes nothing when somebody says no', async () => {
    const { status, out } = await shell.run(['apply', '--create-indexes'], {
      confirm: () => Promise.resolve(false),
    })
    expect(status).toBe(1)
    expect(out).toContain('Nothing was changed.')
    expect(await indexesOf('orders')).toEqual([])
  })

  test('drops what an attempt that was stopped has left, makes it anew, and shows whom it waits for', async () => {
    const writer = await db.session()
    await writer.query('begin; delete from orders where id = 1')
    let stop = (): void => undefined
    const running = shell.run(['apply', '--create-indexes', '--yes', '--json'], {
      onStop: (first) => {
        stop = first
        return () => undefined
      },
    })
    await until(
      `exists (select from pg_stat_progress_create_index where phase like 'waiting for writers%'
         and relid = 'orders'::regclass and datname = current_database())`,
    )
    stop()
    const stopped = await running
    expect(stopped.status).toBe(1)
    expect(jsonOf(stopped)).toMatchObject({
      indexes: [{ outcome: 'stopped' }, { outcome: 'stopped' }],
    })
    const [left] = await indexesOf('orders')
    expect(left?.valid).toBe(false)

    let shown = ''
    const again = shell.run(['apply', '--create-indexes', '--yes'], {
      interactive: true,
      out: (text) => {
        shown += text
      },
    })
    await expect.poll(() => shown).toContain(`waits for pid ${String(writer.pid)}`)
    await writer.query('rollback')
    expect((await again).status).toBe(0)
    expect(await indexesOf('orders')).toEqual(made(byCustomer, byEmail))
  })

  test('tells why one could not be made, makes the others, and ends with 1', async () => {
    await db.sql(`create table "${byCustomer}" ()`)
    const { status, out } = await shell.run(['apply', '--create-indexes', '--yes'])
    expect(status).toBe(1)
    expect(out).toContain('(TIDEMARK_NAME_TAKEN)')
    expect(await indexesOf('orders')).toEqual(made(byEmail))
  })

  test('destroy leaves the indexes to the table, and says how they are dropped', async () => {
    expect((await shell.run(['apply', '--create-indexes', '--yes'])).status).toBe(0)
    const { status, out } = await shell.run(['destroy', '--yes', '--allow-destructive'])
    expect(status).toBe(0)
    expect(out.replaceAll(/\s+/g, ' ')).toContain(
      `stays: it was asked for, and is of public.orders now; without it: drop index concurrently public."${byCustomer}"`,
    )
    expect(await indexesOf('orders')).toEqual(made(byCustomer, byEmail))
  })
})

describe('an index', () => {
  test('that exists under any name is not made again', async () => {
    await db.sql('create index mine on orders (lower(email))')
    const outcomes = await createIndexes(db.database, [
      proposal('public.orders', 'lower(email)'),
      proposal('public.orders', 'lower(email) desc'),
    ])
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['present', 'made'])
    expect(await indexesOf('orders')).toEqual(made('mine', 'tidemark orders by lower(email) desc'))
  })

  test('of a table of somebody else is refused with the statement for its owner, and others are made', async () => {
    await db.sql(`
      create role index_maker login;
      grant create on schema public to index_maker; grant select on orders to index_maker;
      create table own (a int); alter table own owner to index_maker`)
    const database = openDatabase(db.urlAs('index_maker'))
    const asked = [proposal('public.orders', 'customer_id'), proposal('public.own', 'a')]
    const outcomes = await createIndexes(database, asked).finally(() => database.close())
    expect(outcomes).toMatchObject([
      {
        outcome: 'failed',
        error: {
          code: 'TIDEMARK_PRIVILEGE_MISSING',
          what: expect.stringContaining('must be owner of table orders') as string,
          mend: expect.stringContaining(
            'create index concurrently on public.orders (customer_id)',
          ) as string,
        },
      },
      { outcome: 'made', error: null },
    ])
    expect(await indexesOf('own')).toEqual(made('tidemark own by a'))
    await db.sql('drop owned by index_maker; drop role index_maker')
  })

  test('of a partitioned table is made of each part concurrently, with the one that a part had', async () => {
    await db.sql(`
      create table parted (a int, b int) partition by list (a);
      create table part_1 partition of parted for values in (1);
      create table part_2 partition of parted for values in (2) partition by list (b);
      create table part_21 partition of part_2 for values in (1);
      create index had on part_1 (b);
      create index "tidemark parted by b" on only parted (b)`)
    const asked = [proposal('public.parted', 'b')]
    expect(await createIndexes(db.database, asked)).toMatchObject([{ outcome: 'made' }])
    expect(await indexesOf('parted')).toEqual(made('tidemark parted by b'))
    expect(await indexesOf('part_1')).toEqual(made('had'))
    expect(await indexesOf('part_2')).toEqual(made('tidemark part_2 by b'))
    expect(await indexesOf('part_21')).toEqual(made('tidemark part_21 by b'))
    expect(await createIndexes(db.database, asked)).toMatchObject([{ outcome: 'present' }])
  })
})
