import { expect, test } from 'vitest'
import { integerTables } from '../../../test/support/integer-tables.ts'
import { bindQuery } from '../bind/query.ts'
import { parseQuery } from '../syntax/parse.ts'
import { reduced } from './reduce.ts'
import { stagesOf } from './stages.ts'

const facts = integerTables(
  {
    part: ['id', 'kind', 'maker'],
    line: ['id', 'part', 'quantity'],
    maker: ['id', 'country'],
  },
  ['count', 'max'],
)

const firstStage = async (sql: string): Promise<string> => {
  const { relation, binding } = bindQuery((await parseQuery(sql)).select, facts)
  const stages = stagesOf({ relation: reduced(relation, { facts, fresh: binding.fresh }) }, facts)
  return JSON.stringify(stages[0]?.core)
}

const grouped = '(select part, count(*) as n from public.line group by part)'

const fewer: readonly (readonly [what: string, sql: string])[] = [
  ['a subquery for each row', 'select (select count(*) from public.line l where l.part = p.id) from public.part p where p.kind = 1'],
  ['groups that are joined', `select l.n from public.part p join ${grouped} l on l.part = p.id where p.kind in (1, 2)`],
['groups that are joined on the left', `select l.n from public.part p left join ${grouped} l on l.part = p.id where p.kind = any (array[1, 2])`],
  ['groups that are looked for', `select p.id from public.part p where p.kind = 1 and p.id in (select part from public.line group by part having count(*) > 2)`],
  ['rows numbered by the key', 'select l.t from public.part p join (select part, rank() over (partition by part order by id) as t from public.line) l on l.part = p.id where p.kind = 1'],
  ['the first rows of a key', 'select l.id from public.part p cross join lateral (select id from public.line where part = p.id order by id limit 1) l where p.kind = 1'],
['a filter by another table', 'select p.id from public.part p where p.maker in (select id from public.maker where country = 1) and p.kind > (select count(*) from public.line l where l.part = p.id)'],
] // prettier-ignore

test.each(fewer)('%s: only of the keys that a filtered table asks for', async (_, sql) => {
  expect(await firstStage(sql)).toContain('"kind":"match","anti":false')
})

const whole: readonly (readonly [what: string, sql: string])[] = [
  ['no filter', `select l.n from public.part p join ${grouped} l on l.part = p.id`],
  ['a filter that may leave most', `select l.n from public.part p join ${grouped} l on l.part = p.id where p.kind <> 1 and p.maker is not null`],
  ['a key that several rows may have', `select l.n from public.part p join ${grouped} l on l.part = p.maker where p.kind = 1`],
  ['another comparison', `select l.n from public.part p join ${grouped} l on l.part < p.id where p.kind = 1`],
  ['a column that is not the key', `select l.n from public.part p join ${grouped} l on l.n = p.id where p.kind = 1`],
  ['a filter of the groups', `select l.n from public.part p left join ${grouped} l on l.part = p.id where l.part = 1`],
  ['a full join', `select l.n from (select id from public.part where kind = 1) p full join ${grouped} l on l.part = p.id`],
  ['IN as a value, where NULL is told from false', `select p.id in (select part from public.line group by part) from public.part p where p.kind = 1`],
  ['groups that are asked for twice', `with l as ${grouped} select l.n, (select max(n) from l) from public.part p join l on l.part = p.id where p.kind = 1`],
] // prettier-ignore

test.each(whole)('%s: of every key', async (_, sql) => {
  expect(await firstStage(sql)).not.toContain('"kind":"match"')
})
