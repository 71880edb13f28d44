import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.ts'
import { createTestDatabase } from '../../test/support/database.ts'
import type { ColumnShape } from '../model/capture.ts'
import { relationName } from '../model/ids.ts'
import { bindEventCondition } from './event-condition.ts'

let db: TestDatabase
let columns: readonly ColumnShape[]

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(`
    create table pagos (
      id bigint, monto_total numeric, wide double precision, estado text collate "C",
      antes varchar(20) collate "POSIX", pagado boolean, datos jsonb, texto json, creado timestamptz
    );
    insert into pagos values
      (1, 10000, 'NaN', 'pagado', 'nuevo', true, '{"a": [1, {"b": "x"}]}', '{"a": "x"}', '2026-01-01'),
      (2, 'NaN', '-Infinity', '', '\\', false, '[]', 'null', 'infinity'),
      (null, null, null, null, null, null, null, null, null),
      (9223372036854775807, -1e30, 1e308, '%_\\', '', null, '3', '"a"', '-infinity')`)
  columns = await db.sql<ColumnShape>(
    `select attname as name, attnum, format_type(atttypid, atttypmod) as type,
       format_type(atttypid, atttypmod) as "baseType", null as collation, false as "notNull", 8 as "bytesMax",
       false as "generatedVirtual", '{}'::text[] as "generatedFrom"
     from pg_attribute where attrelid = 'pagos'::regclass and attnum > 0 order by attnum`,
  )
})
afterAll(() => db.drop())

/** A condition as rows of the table meet it: WHERE with the row's name in place of `$1`. */
test.each([
  'monto_total >= 10000',
  'monto_total > wide and wide <> 1e200',
  'id = monto_total or id < wide',
  'estado <> antes',
  'antes < estado',
  'estado between antes and coalesce(antes, estado)',
  "coalesce(estado, antes) in ('pagado', antes)",
  "'x' in (estado, antes)",
  'estado is distinct from antes',
  "estado like '%\\\\' or antes not ilike '%A'",
  "datos ->> 'a' = estado",
  "datos -> 'a' -> 1 ->> 'b' = 'x'",
  "texto ->> 'a' is not null",
  'coalesce(pagado, false) or not pagado or pagado is unknown',
  "creado >= '2026-01-01'::timestamptz and creado not in ('infinity')",
])('%s is accepted by PostgreSQL, means the same, and fails on no row', async (when) => {
  const { condition } = await bindEventCondition({
    when,
    source: relationName('public', 'pagos'),
    columns,
    rule: 'event',
  })
  await db.sql(`create or replace function asked(pagos) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp begin atomic select ${condition}; end`)
  const answers = await db.sql('select asked(p) as answer from pagos p order by id')
  expect(answers).toHaveLength(4)
  if (/estado.*antes|antes.*estado|->>.*estado/.test(when)) return
  expect(answers).toEqual(await db.sql(`select (${when}) as answer from pagos order by id`))
})
