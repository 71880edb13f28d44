import { expect, test } from 'vitest'
import type { ColumnShape } from '../model/capture.ts'
import { relationName } from '../model/ids.ts'
import type { BoundCondition } from './event-condition.ts'
import { bindEventCondition } from './event-condition.ts'

const types = {
  id: 'bigint',
  monto_total: 'numeric(12,2)',
  estado: 'text',
  antes: 'character varying(20)',
  orden: 'integer',
  pagado: 'boolean',
  datos: 'jsonb',
  creado: 'timestamp with time zone',
  order: 'integer',
  Día: 'date',
  tags: 'public.hstore',
}
const columns: readonly ColumnShape[] = [
  ...Object.entries(types).map(([name, type], i) => ({
    name,
    type,
    attnum: i + 1,
    notNull: false,
    baseType: type,
    collation: null,
    bytesMax: 8,
    generatedVirtual: false,
    generatedFrom: [],
  })),
  {
    name: 'doble',
    type: 'numeric',
    baseType: 'numeric',
    collation: null,
    attnum: 20,
    notNull: false,
    bytesMax: 8,
    generatedVirtual: true,
    generatedFrom: [],
  },
]
const bind = (when: string): Promise<BoundCondition> =>
  bindEventCondition({
    when,
    source: relationName('public', 'pagos'),
    columns,
    rule: "event 'grande'",
  })

test.each([
  ['monto_total >= 10000', '($1).monto_total >= 10000'],
  ["estado = 'pagado' and not pagado", "(($1).estado = 'pagado') and (not (($1).pagado))"],
  ["pagos.estado in ('a', 'b')", "($1).estado in ('a', 'b')"],
  ["public.pagos.estado not in ('a')", "($1).estado not in ('a')"],
  ['id between 1 and -2', '($1).id between 1 and -2'],
  ['id not between 1 and 2', '($1).id not between 1 and 2'],
  [
    "estado like 'a%' or estado not ilike 'b%'",
    `(($1).estado collate pg_catalog."default" like 'a%') or (($1).estado collate pg_catalog."default" not ilike 'b%')`,
  ],
  ['estado <> antes', '($1).estado collate pg_catalog."default" <> ($1).antes'],
  [
    "coalesce(estado, antes) in ('a')",
    'coalesce(($1).estado, ($1).antes) collate pg_catalog."default" in (\'a\')',
  ],
  ["datos ->> 'a' = estado", `(($1).datos ->> 'a') collate pg_catalog."default" = ($1).estado`],
  ['id > orden', '($1).id > ($1).orden'],
  ['monto_total is not null', '($1).monto_total is not null'],
  ["datos ->> 'status' = 'paid'", "(($1).datos ->> 'status') = 'paid'"],
  ["datos -> 'a' ->> 0 is distinct from 'x'", "((($1).datos -> 'a') ->> 0) is distinct from 'x'"],
  ["datos ->> 'a' is null", "(($1).datos ->> 'a') is null"],
  ['coalesce(pagado, false)', 'coalesce(($1).pagado, false)'],
  ['coalesce(monto_total, 0) > 5', 'coalesce(($1).monto_total, 0) > 5'],
  ["creado >= '2026-01-01'::timestamptz", "($1).creado >= '2026-01-01'::timestamptz"],
  ['pagado is not true', '(($1).pagado) is not true'],
  ['(monto_total > 1) is unknown', '(($1).monto_total > 1) is unknown'],
  ['"order" = 3 and "Día" is null', '(($1).order = 3) and (($1)."Día" is null)'],
  ['pagado', '($1).pagado'],
  ["estado = 'it''s' -- remark", "($1).estado = 'it''s'"],
])('%s is bound to the row', async (when, condition) => {
  expect((await bind(when)).condition).toBe(condition)
})

test('the columns that a condition reads come in the order of the table', async () => {
  const { columns: used } = await bind("estado = 'x' and id > 3 and estado <> 'y'")
  expect(used).toEqual(['id', 'estado'])
})

test.each([
  ['monto_total * 2 > 5', /uses \*, which can overflow.*1:1 of/s],
  ["lower(estado) = 'x'", /uses a function, lower\(\).*GENERATED/s],
  ['id in (select 1)', /uses a subquery/],
  ['estado', /type text, which is neither true nor false/],
  ['true = pagado or 5', /a constant alone/],
  ["estado ~ 'x'", /uses ~/],
  ['creado > now()', /uses a function, now\(\)/],
  ['creado > current_timestamp', /the clock/],
  ["creado > 'now'::timestamptz", /would stay what it is/],
  ['estado::int > 5', /casts what is not a constant/],
  ["'5'::text::int = id", /casts what is not a constant/],
  ['montototal > 5', /has no column montototal.*Did you mean monto_total\?.*Its columns are id,/s],
  ['otra.id = 5', /has no column otra.id/],
  ['pagos.* is null', /has no column/],
  ["estado like 'a\\'", /ends in a backslash/],
  ['estado like estado', /pattern of LIKE is not a constant/],
  ["estado like 'a' escape '!'", /pattern of LIKE is not a constant/],
  ["tags -> 'a' = 'b'", /json and jsonb columns alone/],
  ["datos ->> estado = 'x'", /key after ->> is not a constant/],
  ['case when pagado then true end', /CASE/],
  ['doble > 5', /computed when it is read/],
  ['1e400 > monto_total', /too large/],
  ['id = any (array[1,2])', /uses =/],
  ['id = 1, id = 2', /not one expression/],
  ['id = 1 from pagos', /not one expression/],
  ['id = 1; drop table pagos', /not one expression/],
  ['', /not one expression/],
  ['id operator(public.=) 3', /uses public.=/],
])('%s is refused with the reason and the mend', async (when, message) => {
  await expect(bind(when)).rejects.toThrow(message)
  await expect(bind(when)).rejects.toMatchObject({ code: 'TIDEMARK_EVENT_CONDITION_REFUSED' })
})

test('a condition that does not parse names the place in it', async () => {
  await expect(bind('monto_total >=\n  >= 5 and and')).rejects.toMatchObject({
    code: 'TIDEMARK_SQL_INVALID',
    place: '2:3',
  })
})
