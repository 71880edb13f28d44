import { expect, test } from 'vitest'
import { parseQuery } from '../syntax/parse.ts'
import { sqlOf } from './expression.ts'

test.each([
  '(CASE WHEN a THEN b ELSE c END).x',
  '(COALESCE(b, (CASE WHEN a THEN b END).y)).x',
  '(GREATEST(b, c)).x',
  '(ARRAY[a, b])[1]',
  '(COALESCE(a, b))[(ARRAY[1, 2])[c]]',
  '((ARRAY[b, c])[1]).x',
  '(b).x',
])('a part of a value is printed as it is read: %s', async (sql) => {
  const { select } = await parseQuery(`select ${sql}`)
  const [target] = select.targetList ?? []
  const written = target !== undefined && 'ResTarget' in target ? target.ResTarget.val : undefined
  expect(written === undefined ? '' : sqlOf(written).replaceAll(/\s+/g, ' ')).toBe(sql)
})
