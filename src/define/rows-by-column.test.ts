import { expect, test } from 'vitest'
import { comparesRows, rowsByColumn } from './rows-by-column.ts'

test.each([
  [
    `select (ROW(t.c, t.i) OPERATOR(public.<) ROW('(,'::public.citext, 4)) as less`,
    `select ((((t.c) operator(public.<) ('(,'::public.citext)) or (((t.c) operator(public.=) ('(,'::public.citext)) and ((t.i) < (4))))) as less`,
  ],
  [
    `(ROW(a, b, f(c, 'x')) OPERATOR("My s".>=) ROW(x, ARRAY[1, 2], z))`,
    `((((a) operator("My s".>) (x)) or (((a) operator("My s".=) (x)) and (((b) > (ARRAY[1, 2])) or (((b) = (ARRAY[1, 2])) and ((f(c, 'x')) >= (z)))))))`,
  ],
  [
    `(NOT ((x.c, x.i) OPERATOR(public.=) ANY ( SELECT y.d, y.i FROM o.t y)))`,
    `(NOT (true = ANY (select (((x.c) operator(public.=) ("compared row".c1)) and ((x.i) = ("compared row".c2))) from ( SELECT y.d, y.i FROM o.t y) as "compared row" (c1, c2))))`,
  ],
  [
    `((c, i) OPERATOR(public.<>) ALL ( SELECT d, i FROM o.t))`,
    `(true = ALL (select (((c) operator(public.<>) ("compared row".c1)) or ((i) <> ("compared row".c2))) from ( SELECT d, i FROM o.t) as "compared row" (c1, c2)))`,
  ],
  [
    `((i, c) IN ( SELECT i, d FROM o.t))`,
    `(true = ANY (select (((i) = ("compared row".c1)) and ((c) = ("compared row".c2))) from ( SELECT i, d FROM o.t) as "compared row" (c1, c2)))`,
  ],
  [
    `((c, i) OPERATOR(public.<) ( SELECT d, i FROM o.t))`,
    `((select (((c) operator(public.<) ("compared row".c1)) or (((c) operator(public.=) ("compared row".c1)) and ((i) < ("compared row".c2)))) from ( SELECT d, i FROM o.t) as "compared row" (c1, c2)))`,
  ],
])('%s is written out column by column', (printed, written) => {
  expect(comparesRows(printed)).toBe(true)
  expect(rowsByColumn(printed, [])).toBe(written)
})

test.each([
  `((t.c)::public.citext OPERATOR(public.=) 'a'::public.citext)`,
  `((x) OPERATOR(public.=) ANY (ARRAY['a'::public.citext, 'b'::public.citext]))`,
  `(f(a, b) OPERATOR(public.=) ANY ( SELECT d FROM o.t))`,
  `(ROW(a, b) = ROW(1, 2))`,
  `(ROW(a, b) = ANY (ARRAY[ROW(1, 2)]))`,
  `(sum(x) OVER (PARTITION BY a, b) < ( SELECT d FROM o.t))`,
  `(a = ') OPERATOR(public.<) ROW(')`,
])('%s compares no rows by the operator of their first columns', (printed) => {
  expect(comparesRows(printed)).toBe(false)
  expect(rowsByColumn(printed, [])).toBe(printed)
})

test('a comparison within another is written out as well', () => {
  const inner = 'EXISTS ( SELECT WHERE (ROW(c, i) OPERATOR(public.<) ROW(d, j)))'
  const written = rowsByColumn(`(ROW(c, ${inner}) < ROW(d, true))`, []) ?? ''
  expect(written).not.toContain('ROW')
  expect(written.match(/EXISTS/g)).toHaveLength(1)
})

test.each([
  [`((max(c), i) OPERATOR(public.=) ANY ( SELECT d, i FROM o.t))`, false],
  [`((c, rank() OVER (ORDER BY i)) IN ( SELECT d, i FROM o.t))`, false],
  [`((c, "Sum"(i)) IN ( SELECT d, i FROM o.t))`, false],
  [`((lower(c), i) IN ( SELECT d, i FROM o.t))`, true],
])('%s is taken into a subquery only if it is none of its own', (printed, isTaken) => {
  expect(rowsByColumn(printed, ['max']) !== null).toBe(isTaken)
})
