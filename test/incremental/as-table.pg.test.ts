import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { TidemarkConfig, ViewConfig } from '../../src/define/config/tidemark-config.ts'
import { applyConfiguration, planConfiguration } from '../../src/engine/define.ts'
import { verifyView } from '../../src/engine/verify.ts'
import { relationName } from '../../src/model/ids.ts'
import { configured, destroyAll, planAndApply, titles } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'
import { toldBy } from '../support/decoded.ts'
import { schemaOf } from '../support/schema-text.ts'

let db: TestDatabase

beforeEach(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    do $$ begin create role table_owner login; exception when duplicate_object or unique_violation then null; end $$;
    do $$ begin create role table_reader login; exception when duplicate_object or unique_violation then null; end $$;
    grant create on schema public to table_owner;
    create table orders (id int primary key, region text, amount numeric(10,2), note text);
    insert into orders select g, 'r' || g % 3, g, 'n' || g % 5 from generate_series(1, 60) g;
    grant select on orders to table_owner, table_reader`)
})
afterEach(() => db.drop())

const sums = 'select region, count(*) as n, sum(amount) as total from orders group by region'
// The key is no output, and rows come twice.
const totals = 'select sum(amount) as total from orders group by note'

const table = (sql: string, more: Partial<ViewConfig> = {}): TidemarkConfig => ({
  views: { sales: { sql, as: 'table', target: '1m', ...more } },
})

const put = (wanted: TidemarkConfig): Promise<unknown> =>
  applyConfiguration(db.database, configured(wanted), { allowDestructive: true })

const refresh = (view = 'sales'): Promise<unknown> => db.sql(`call tidemark.run('${view}')`)

const verified = async (): Promise<string> =>
  (await verifyView(db.database, relationName('public', 'sales'))).outcome

const freshness = async (): Promise<string> => {
  const [row] = await db.sql<{ state: string; reason: string | null }>(
    `select state, reason from tidemark.freshness where view = 'public.sales'`,
  )
  return `${row?.state ?? ''} ${row?.reason?.split(':')[0] ?? ''}`.trim()
}

/** What is defined before Tidemark has come. */
async function schemaBefore(): Promise<string> {
  await destroyAll(db.database)
  return schemaOf(db)
}

/** The table equals the query, and there is nothing left to plan. */
async function expectWhole(sql: string, wanted: TidemarkConfig): Promise<void> {
  const { steps } = await planConfiguration(db.database, configured(wanted))
  expect(steps.filter(({ kind }) => kind !== 'warn').map(({ detail }) => detail)).toEqual([])
  const differing = await db.sql(
    `(select x::text from (${sql}) x except all select x::text from sales x)
     union all (select x::text from sales x except all select x::text from (${sql}) x)`,
  )
  expect(differing).toEqual([])
}

/** What a run of some SQL is told to the subscribers of `sales`. */
async function heardOf(step: () => Promise<unknown>): Promise<readonly string[]> {
  const slot = `slot_${db.name}`
  await db.sql('select pg_create_logical_replication_slot($1, $2)', [slot, 'pgoutput'])
  try {
    await step()
    const told = await toldBy(db.database, slot, 'told')
    return told.map(({ sign, values }) => `${sign} ${values.join(' ')}`.trim()).sort()
  } finally {
    await db.sql('select pg_drop_replication_slot($1)', [slot])
  }
}

describe.each(['full', 'incremental'] as const)(
  'a table that is maintained by %s refresh',
  (maintain) => {
    test('tells subscribers of a publication exactly the rows that changed', async () => {
      await put(table(sums, { maintain, primaryKey: ['region'] }))
      await db.sql('create publication told for table sales')
      const heard = await heardOf(async () => {
        await db.sql(`update orders set amount = amount + 1 where id = 4;
                    insert into orders values (100, 'r9', 5, 'n'); delete from orders where region = 'r2'`)
        await refresh()
      })
      expect(heard).toEqual(['+ r9 1 5.00', '- r2', '~ r1 20 591.00'])
      expect(await heardOf(() => refresh())).toEqual([])
      await expectWhole(sums, table(sums, { maintain, primaryKey: ['region'] }))
    })

    test('without a key tells rows that go and come, so many as there are', async () => {
      await db.sql(`update orders set amount = 5`)
      await put(table(totals, { maintain }))
      await db.sql('create publication told for table sales')
      // Five notes with the same total each; the replica identity is the whole row.
      const heard = await heardOf(async () => {
        await db.sql(`update orders set amount = 6 where note in ('n1', 'n2')`)
        await refresh()
      })
      expect(heard).toEqual(['+ 72.00', '+ 72.00', '- 60.00', '- 60.00'])
      await expectWhole(totals, table(totals, { maintain }))
    })

    test('follows rows whose key is NULL', async () => {
      await db.sql(`update orders set region = null where id % 4 = 0`)
      const wanted = table(sums, { maintain, key: ['region'] })
      await put(wanted)
      await db.sql('create publication told for table sales')
      const heard = await heardOf(async () => {
        await db.sql(`delete from orders where id = 4`)
        await refresh()
      })
      expect(heard).toEqual(['~  14 476.00'])
      await expectWhole(sums, wanted)
    })

    test('lets values change places under a unique index that somebody has made', async () => {
      await put(table(sums, { maintain, primaryKey: ['region'] }))
      await db.sql('create unique index on sales (total)')
      await db.sql(
        `update orders set region = case region when 'r1' then 'r2' when 'r2' then 'r1' else region end`,
      )
      await refresh()
      await expectWhole(sums, table(sums, { maintain, primaryKey: ['region'] }))
    })

    test('does not care where rows are', async () => {
      await put(table(totals, { maintain, indexes: ['(total)'] }))
      const [index] = await db.sql<{ name: string }>(
        `select indexrelid::regclass::text as name from pg_index where indrelid = 'sales'::regclass and indexprs is null`,
      )
      await db.sql(`update orders set amount = amount + 1 where id % 2 = 0`)
      await db.sql('vacuum full sales')
      await refresh()
      await db.sql(`cluster sales using ${index?.name ?? ''}`)
      await db.sql(`delete from orders where note = 'n1'`)
      await refresh()
      await expectWhole(totals, table(totals, { maintain, indexes: ['(total)'] }))
    })

    test('compares itself with its state when it is asked to, and is mended', async () => {
      await put(table(sums, { maintain, verify: 'full' }))
      // Without a trace: what a broken disk might do.
      await db.sql(
        `set session_replication_role = replica; update sales set n = n + 1 where region = 'r1'; reset session_replication_role`,
      )
      await db.sql(`insert into orders values (200, 'r0', 1, 'n')`)
      await refresh()
      const [run] = await db.sql<{ differing: number }>(
        'select differing::int from tidemark.run order by run_id desc limit 1',
      )
      expect(run?.differing).toBe(2)
      // Mended at once; that it was wrong is told.
      await expectWhole(sums, table(sums, { maintain, verify: 'full' }))
      expect(await freshness()).toBe('unknown verification_failed')
      await refresh()
      expect(await freshness()).toBe('fresh')
      expect(await verified()).toBe('equal')
      await db.sql(
        `set session_replication_role = replica; delete from sales where region = 'r1'; reset session_replication_role`,
      )
      expect(await verified()).toBe('differs')
      await refresh()
      expect(await verified()).toBe('equal')
      await expectWhole(sums, table(sums, { maintain, verify: 'full' }))
    })

    test('finds out that a row is not what it should be when that row changes', async () => {
      await put(table(sums, { maintain }))
      await db.sql(
        `set session_replication_role = replica; update sales set n = n + 1; reset session_replication_role`,
      )
      await db.sql(`insert into orders values (200, 'r0', 1, 'n')`)
      await refresh()
      expect(await freshness()).toBe('unknown verification_failed')
      await expectWhole(sums, table(sums, { maintain }))
    })
  },
)

test('a table that is maintained partition by partition tells the rows that changed in them', async () => {
  const wanted = table(sums, {
    maintain: 'partition',
    partition: { by: 'region' },
    primaryKey: ['region'],
  })
  await put(wanted)
  await db.sql('create publication told for table sales')
  const heard = await heardOf(async () => {
    await db.sql(`update orders set amount = amount + 1 where id = 4;
                  insert into orders values (100, 'r9', 5, 'n'); delete from orders where region = 'r2'`)
    await refresh()
  })
  expect(heard).toEqual(['+ r9 1 5.00', '- r2', '~ r1 20 591.00'])
  expect(await db.sql('select method from tidemark.run order by run_id desc limit 1')).toEqual([
    { method: 'partition' },
  ])
  await expectWhole(sums, wanted)
})

describe('row-level security on the table itself', () => {
  const wanted = table(sums, { primaryKey: ['region'] })

  test('holds for readers, and refreshes go on', async () => {
    await put(wanted)
    await db.sql(`alter table sales enable row level security; grant select on sales to table_reader;
                  create policy own on sales for select to table_reader using (region = 'r1')`)
    await db.sql(`update orders set amount = amount + 1`)
    await refresh()
    const reader = await db.session('table_reader')
    expect(await reader.query('select region, n::int from sales')).toEqual([
      { region: 'r1', n: 20 },
    ])
    await expectWhole(sums, wanted)
  })

  test('that is forced on the owner is refused with a code', async () => {
    await db.sql('alter table orders owner to table_owner')
    await db.sql(
      `create materialized view sales as ${sums}; alter materialized view sales owner to table_owner`,
    )
    const adopted: TidemarkConfig = { views: { sales: { adopt: 'sales', as: 'table' } } }
    await put(adopted)
    await db.sql('alter table sales enable row level security, force row level security')
    await db.sql(`update orders set amount = amount + 1`)
    await expect(refresh()).rejects.toThrow(
      /public.sales forces its policies on its owner.*\(TIDEMARK_TABLE_UNWRITABLE\).*no force row level security/,
    )
    await db.sql('alter table sales no force row level security')
    await refresh()
    await expectWhole(sums, adopted)
  })

  test('survives a change of the query, and stops what would take it away', async () => {
    await put(wanted)
    await db.sql(`alter table sales enable row level security; create policy own on sales using (region = 'r1');
                  create publication told for table sales; grant select on sales to table_reader`)
    const other = 'select region, max(amount) as most, count(*) as n from orders group by region'
    await put(table(other, { primaryKey: ['region'] }))
    await expectWhole(other, table(other, { primaryKey: ['region'] }))
    expect(
      await db.sql(
        `select relrowsecurity as secured, (select count(*)::int from pg_policies where tablename = 'sales') as policies,
                (select count(*)::int from pg_publication_tables where tablename = 'sales') as published,
                has_table_privilege('table_reader', 'sales', 'select') as readable
         from pg_class where oid = 'sales'::regclass`,
      ),
    ).toEqual([{ secured: true, policies: 1, published: 1, readable: true }])
    // As a view, or without the column of the policy, everyone would see everything.
    await expect(put({ views: { sales: { sql: other, as: 'view' } } })).rejects.toThrow(
      /policy own.*TIDEMARK_RELATION_UNSUPPORTED/,
    )
    await expect(put(table('select count(*) as n from orders'))).rejects.toThrow(/policy own/)
    await db.sql(
      'drop policy own on sales; drop publication told; alter table sales disable row level security',
    )
    await put({ views: { sales: { sql: other, as: 'view' } } })
  })
})

describe('who writes', () => {
  const wanted = table(sums)

  test('is the refresh alone', async () => {
    await put(wanted)
    for (const sql of [
      `insert into sales values ('x', 1, 1)`,
      'update sales set n = 1',
      'delete from sales',
      'truncate sales',
      'delete from tidemark_state."public.sales"',
    ])
      await expect(db.sql(sql)).rejects.toThrow(
        /maintained by Tidemark; its rows are written by refreshes only/,
      )
    await expectWhole(sums, wanted)
  })

  test('is noticed when the guard was taken away meanwhile', async () => {
    await put(wanted)
    await db.sql(`alter table sales disable trigger "tidemark guard"; delete from sales where region = 'r1';
                  alter table sales enable trigger "tidemark guard"`)
    expect(await freshness()).toBe('unknown parts_changed')
    await put(wanted)
    expect(await freshness()).toBe('fresh')
    await expectWhole(sums, wanted)
  })

  test('is noticed when what makes the table follow its state was taken away', async () => {
    await put(wanted)
    await db.sql(`drop trigger "tidemark notes updates" on tidemark_state."public.sales"`)
    expect(await freshness()).toBe('unknown parts_changed')
    await put(wanted)
    await db.sql('drop table tidemark_state."difference of public.sales"')
    await put(wanted)
    await db.sql(`update orders set amount = amount + 1`)
    await refresh()
    expect(await freshness()).toBe('fresh')
    await expectWhole(sums, wanted)
  })

  test('may have triggers after it, but none that change rows before', async () => {
    await put(wanted)
    await db.sql(`create table audit (what text);
      create function public.audited() returns trigger language plpgsql as $$ begin
        insert into public.audit values (tg_op || ' ' || coalesce(new.region, old.region)); return null; end $$;
      create trigger audited after insert or update or delete on sales for each row execute function audited()`)
    await db.sql(`update orders set amount = amount + 1 where region = 'r1'`)
    await refresh()
    expect(await db.sql('select what from audit')).toEqual([{ what: 'UPDATE r1' }])
    await db.sql(
      'create trigger early before update on sales for each row execute function audited()',
    )
    await db.sql(`update orders set amount = amount + 1`)
    await expect(refresh()).rejects.toThrow(
      /triggers that could change rows.*early.*TIDEMARK_TABLE_UNWRITABLE/,
    )
    await db.sql(
      'drop trigger early on sales; create rule none as on insert to sales do instead nothing',
    )
    await expect(refresh()).rejects.toThrow(/has rules.*TIDEMARK_TABLE_UNWRITABLE/)
    await db.sql('drop rule none on sales')
    await refresh()
    await expectWhole(sums, wanted)
  })
})

describe('somebody alters the table', () => {
  test('a column by hand is told, and taken away by who asks for it', async () => {
    await put(table(sums))
    await db.sql('alter table sales add column mine int')
    expect(await freshness()).toBe('unknown parts_changed')
    const plan = await planConfiguration(db.database, configured(table(sums)))
    expect(plan.steps.find(({ noun }) => noun === 'view')).toMatchObject({ destructive: true })
    await expect(applyConfiguration(db.database, configured(table(sums)))).rejects.toThrow(
      /TIDEMARK_DESTRUCTIVE_REFUSED/,
    )
    await put(table(sums))
    expect(await freshness()).toBe('fresh')
    await expectWhole(sums, table(sums))
  })

  test('a column that was dropped comes back in its place', async () => {
    await put(table(sums))
    await db.sql('alter table sales drop column n')
    await put(table(sums))
    await expectWhole(sums, table(sums))
    expect(Object.keys((await db.sql<object>('select * from sales'))[0] ?? {})).toEqual([
      'region',
      'n',
      'total',
    ])
  })

  test('a table that was dropped is made again; another one of its name is not ours', async () => {
    await put(table(sums))
    await db.sql('drop table sales')
    await put(table(sums))
    await expectWhole(sums, table(sums))
    await db.sql('drop table sales; create table sales (region text, n bigint, total numeric)')
    await db.sql(`insert into sales values ('mine', 1, 1)`)
    await expect(put(table(sums))).rejects.toThrow(/TIDEMARK_NAME_TAKEN/)
    expect(await db.sql('select region from sales')).toEqual([{ region: 'mine' }])
    await db.sql('drop table sales')
  })
})

describe('what it becomes', () => {
  const matview = `create materialized view sales as ${sums};
    create unique index sales_region on sales (region); create index sales_total on sales ((total * 2)) where n > 1;
    comment on index sales_total is 'an index'; comment on column sales.n is 'how many';
    create statistics sales_stat (ndistinct) on region, n from sales;
    create view reader as select region from sales;
    alter materialized view sales owner to table_owner;
    grant select on sales to table_reader; grant all on sales to public; revoke select on sales from public`
  const adopted = (
    as: 'table' | 'view' | 'matview',
    indexes: readonly string[] = [],
  ): TidemarkConfig => ({
    views: { sales: { adopt: 'sales', as, indexes } },
  })

  test('an adopted materialized view becomes a table and the way back leaves everything as it was', async () => {
    await db.sql(matview)
    const before = await schemaBefore()
    const plan = await planAndApply(db.database, adopted('table', ['(n)']), { populate: true })
    expect(plan.steps.find(({ kind, noun }) => kind === 'warn' && noun === 'view')?.detail).toMatch(
      /ordinary table: pg_matviews no longer lists it/,
    )
    await expectWhole(sums, adopted('table', ['(n)']))
    const [facts] = await db.sql(
      `select c.relkind::text, pg_get_userbyid(c.relowner) as owner, col_description(c.oid, 2) as comment,
              array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0) as columns,
              array(select i.indexrelid::regclass::text from pg_index i where i.indrelid = c.oid order by 1) as indexes
       from pg_class c where c.oid = 'sales'::regclass`,
    )
    expect(facts).toEqual({
      relkind: 'r',
      owner: 'table_owner',
      comment: 'how many',
      columns: ['region', 'n', 'total'],
      indexes: [
        'sales_region',
        'sales_total',
        '"sales (n)"',
        '"tidemark sales by region"',
      ].toSorted(),
    })
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
  })

  test('adoption widens nobody’s access, whatever default privileges say', async () => {
    await db.sql(matview)
    await db.sql(
      'alter default privileges in schema public grant all on tables to public, table_reader',
    )
    const rights = async (): Promise<unknown> =>
      db.sql(
        `select r, p, has_table_privilege(r, 'sales', p) as has
         from unnest(array['table_reader', 'pg_monitor']) r, unnest(array['select', 'insert', 'update', 'delete', 'truncate']) p`,
      )
    await put(adopted('table'))
    const found = await rights()
    expect(found).toEqual(expect.arrayContaining([{ r: 'table_reader', p: 'select', has: true }]))
    expect(JSON.stringify(found).match(/true/g)).toHaveLength(1)
    await put(adopted('view'))
    await put(adopted('table'))
    expect(await rights()).toEqual(found)
    await put({ views: {} })
    await db.sql(
      'alter default privileges in schema public revoke all on tables from public, table_reader',
    )
  })

  test('it can change from one shape to the other and back, and readers find its rows', async () => {
    await db.sql(matview)
    const before = await schemaBefore()
    for (const as of [
      'table',
      'view',
      'table',
      'matview',
      'table',
      'matview',
      'view',
      'table',
    ] as const) {
      await planAndApply(db.database, adopted(as, ['(n)']), { allowDestructive: true })
      if (as !== 'matview') expect(await db.sql('select region from reader')).toHaveLength(3)
      await planAndApply(db.database, adopted(as, ['(n)']), { populate: true })
      await db.sql(`update orders set amount = amount + 1`)
      await refresh()
      await expectWhole(sums, adopted(as, ['(n)']))
      const [kind] = await db.sql<{ relkind: string }>(
        `select relkind from pg_class where oid = 'sales'::regclass`,
      )
      expect(kind?.relkind).toBe({ table: 'r', view: 'v', matview: 'm' }[as])
    }
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
  })

  test('one that was made here goes without a trace', async () => {
    const before = await schemaBefore()
    await put(table(sums, { primaryKey: ['region'], indexes: ['(n)'] }))
    await put(table(sums, { primaryKey: ['region', 'n'] }))
    await expectWhole(sums, table(sums, { primaryKey: ['region', 'n'] }))
    await put(table(sums))
    await expectWhole(sums, table(sums))
    await put(table(totals))
    await expectWhole(totals, table(totals))
    await destroyAll(db.database)
    expect(await schemaOf(db)).toBe(before)
  })

  test('views that read it are maintained from what changes in it', async () => {
    const wanted: TidemarkConfig = {
      views: {
        sales: { sql: sums, as: 'table', maintain: 'incremental' },
        top: { sql: 'select max(total) as top from sales', maintain: 'incremental', as: 'table' },
      },
    }
    await put(wanted)
    await db.sql(`insert into orders values (300, 'r0', 9000, 'n')`)
    await refresh()
    expect(await db.sql('select top::text from top')).toEqual([{ top: '9630.00' }])
    expect(titles(await planConfiguration(db.database, configured(wanted)))).toEqual([])
  })

  test('an eager one is kept up by the short way', async () => {
    await put(table(sums, { policy: 'eager', maintain: 'incremental' }))
    await db.sql(`insert into orders values (300, 'r0', 9000, 'n')`)
    const kept = await db.sql(`call tidemark.keep_up('test', 100)`)
    expect(kept).toEqual([{ refreshes: 1 }])
    await expectWhole(sums, table(sums, { policy: 'eager', maintain: 'incremental' }))
  })
})
