import { expect, test } from 'vitest'
import { integerTables } from '../../test/support/integer-tables.ts'
import { bindQuery } from './bind/query.ts'
import { deltaLines, relationLines, stageLines, syntaxLines } from './explain.ts'
import { parseQuery } from './syntax/parse.ts'
import { stagesOf } from './algebra/stages.ts'

const columns = { orders: ['id', 'customer_id', 'total'], customers: ['id', 'region'] }

const facts = integerTables(columns, ['count', 'sum', 'max'])

const lines = async (
  sql: string,
  weights = false,
): Promise<{ readonly bound: string; readonly relation: string; readonly delta: string }> => {
  const bound = bindQuery((await parseQuery(sql)).select, facts)
  const stages = stagesOf(bound, facts)
  return {
    bound: relationLines(bound.relation).join('\n'),
    relation: stages
      .flatMap((stage) => stageLines(stage, `stage ${String(stage.number)}`))
      .join('\n'),
    delta: stages
      .flatMap((stage) => deltaLines(stage, { title: `stage ${String(stage.number)}`, weights }))
      .join('\n'),
  }
}

const joined = `select c.region, sum(o.total) as total from public.orders o join public.customers c on c.id = o.customer_id group by c.region`

test('a bound query is a tree, what it is made of indented below it', async () => {
  const { bound } = await lines(joined)
  expect(bound.split('\n').map((line) => /^ *[a-z]+/.exec(line)?.[0])).toEqual([
    'project',
    '  aggregate',
    '    product',
    '      scan',
    '      scan',
  ])
})

test('a stage says what it stores, by which key, of what', async () => {
  const { relation } = await lines(joined)
  expect(relation).toMatch(/^stage 1\n {2}stores .*\n {2}by key c_region_1\n {2}aggregate by /)
})

test('a part that is not linear is a stage of its own', async () => {
  const { relation } = await lines(
    `select x.n, count(*) as c from (${joined}) as x (r, n) group by x.n`,
  )
  expect(relation.match(/^stage \d/gm)).toEqual(['stage 1', 'stage 2'])
  expect(relation).toContain('scan stage 1')
})

const deltas: readonly (readonly [what: string, sql: string, formula: RegExp])[] = [
  ['a join', joined, /Δr1 = Δorders ⋈ customers \+ orders ⋈ Δcustomers − Δorders ⋈ Δcustomers/],
  ['a condition', 'select o.id from public.orders o where o.total > 5', /rows of Δorders that meet the condition/],
  ['a left join', 'select c.id, o.id from public.customers c left join public.orders o on o.customer_id = c.id', /Δcustomers with partners in orders or NULLs \+ \(customers − Δcustomers\) ⋈ Δorders ± /],
  ['NOT EXISTS', 'select c.id from public.customers c where not exists (select from public.orders o where o.customer_id = c.id)', /without a partner in .* ± rows of \(customers − Δcustomers\)/],
  ['UNION ALL', 'select o.id from public.orders o union all select c.id from public.customers c', /Δr\d = Δr\d \+ Δr\d/],
  ['keys', joined, /keys = c_region_1 of Δr1\n {2}Δ = rows with one of these keys, computed afresh/],
  ['no key', 'select o.id, count(*) over (order by o.total) as n from public.orders o', /Δ = all rows, computed afresh, less what is stored, where Δorders is not empty/],
] // prettier-ignore

test.each(deltas)('what changes in %s is a formula', async (_, sql, formula) => {
  expect((await lines(sql)).delta).toMatch(formula)
})

test('groups that are kept by weight say so', async () => {
  const { delta } = await lines(joined, true)
  expect(delta).toMatch(
    /Δgroups = counts, sums and extremes of Δr1 by c_region_1, each by its weight/,
  )
})

test('a syntax tree is a node a line, without places', async () => {
  const { select } = await parseQuery('select a from t where b > 1')
  const tree = syntaxLines(select)
  expect(tree[0]).toMatch(/^SelectStmt /)
  expect(tree.join('\n')).toMatch(/\n {4}RangeVar relname="t"/)
  expect(tree.join('\n')).not.toContain('location')
})
