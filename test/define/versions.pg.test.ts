import { describe, expect, test } from 'vitest'
import type { TidemarkConfig } from '../../src/define/config/tidemark-config.ts'
import { planConfiguration } from '../../src/engine/define.ts'
import { createTestDatabase } from '../support/database.ts'
import { configured, destroyAll, planAndApply, titles } from './configured.ts'

const config: TidemarkConfig = {
  views: {
    kept: { adopt: 'kept', fallback: 'source' },
    left: { adopt: 'left', as: 'matview' },
    made: { sql: 'select count(*) as n from orders', indexes: ['unique (n)'] },
    filled: { sql: 'select sum(n) as n from kept', as: 'matview' },
  },
}

describe.each(['14', '16', '17', '18'] as const)('on PostgreSQL %s', (server) => {
  test('views are made, adopted, given back and taken away', async () => {
    const db = await createTestDatabase({ server })
    try {
      await db.sql(`
        create table orders (id int primary key, region text);
        insert into orders select g, 'r' || g % 3 from generate_series(1, 10) g;
        create materialized view kept as select region, count(*) as n from orders group by region;
        create unique index kept_region on kept (region);
        alter materialized view kept alter column region set statistics 50;
        create view reader as select * from kept;
        create materialized view "left" as select 1 as one;`)
      const relations = (): Promise<unknown> =>
        db.sql(`select n.nspname, c.relname, c.relkind, c.relacl::text, pg_get_viewdef(c.oid) as query,
                       (select json_agg(to_jsonb(a) - 'attrelid' order by a.attnum) from pg_attribute a
                         where a.attrelid = c.oid and a.attnum > 0 and c.relkind = 'm') as columns
                from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1, 2`)
      const before = await relations()
      await planAndApply(db.database, config, { populate: true })
      expect(titles(await planConfiguration(db.database, configured(config)))).toEqual([])
      expect(await db.sql(`select state from tidemark.freshness where state <> 'fresh'`)).toEqual(
        [],
      )
      await destroyAll(db.database)
      expect(await relations()).toEqual(before)
    } finally {
      await db.drop()
    }
  })
})
