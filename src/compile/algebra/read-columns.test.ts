import { expect, test } from 'vitest'
import { integerTables } from '../../../test/support/integer-tables.ts'
import { bindQuery } from '../bind/query.ts'
import { parseQuery } from '../syntax/parse.ts'
import { withReadColumns } from './read-columns.ts'
import { scansIn } from './relation.ts'
import type { Stage } from './stages.ts'
import { stagesOf } from './stages.ts'

const facts = integerTables({ line: ['id', 'part', 'day', 'quantity'] }, ['count', 'max', 'sum'])

const stagesFor = async (sql: string): Promise<readonly Stage[]> => {
  const { relation } = bindQuery((await parseQuery(sql)).select, facts)
  return withReadColumns(stagesOf({ relation }, facts))
}

const grouped =
  '(select part, day, sum(quantity) as total, count(*) as lines, max(id) as last from public.line group by part, day)'

test.each([
  [
    'groups of groups',
    `select part, sum(total) from ${grouped} as d group by part`,
    ['part', 'total'],
  ],
  [
    'a filter of groups',
    `select part from ${grouped} as d group by part having max(lines) > 1`,
    ['part', 'lines'],
  ],
  [
    'a window, which orders rows by their text',
    `select part, rank() over (partition by part order by total) from (select part, total from ${grouped} as d) as e`,
    ['part', 'total'],
  ],
  ['rows that are counted', `select count(*) from ${grouped} as d`, ['part']],
])('of a stage under %s only what is read is stored', async (_, sql, expected) => {
  const [first, second] = await stagesFor(sql)
  const stored = first?.outputs.map(({ id }) => id.replace(/_\d+$/, ''))
  expect(stored).toEqual(expected)
  const [scan] = second === undefined ? [] : scansIn(second.core)
  expect(scan?.columns.map(({ name }) => name)).toEqual(first?.outputs.map(({ id }) => id))
  expect(first?.key).toHaveLength(2)
})

test('what is shown and ordered by is one column', async () => {
  const [first] = await stagesFor(
    'select part, sum(quantity) as total from public.line group by part order by total desc, part limit 10',
  )
  expect(first?.outputs).toHaveLength(2)
})
