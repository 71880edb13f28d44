import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { draftIncremental } from '../../src/compile/incremental.ts'
import { seed } from '../support/random.ts'
import { casesOf } from '../support/shares.ts'
import type { ViewOutcome } from './case.ts'
import { historyStatementsMin } from './case.ts'
import { generateCase } from './generate-case.ts'
import { constructs, isHonest } from './constructs.ts'
import { maintainDirectly } from './maintain-directly.ts'
import { randomOf } from './random.ts'
import { runCase } from './run-batch.ts'
import { shrink } from './shrink.ts'
import { simplerQueries } from './shrink-query.ts'
import { Steering } from './steering.ts'
import type { TestOracle } from './test-oracle.ts'
import { createTestOracle } from './test-oracle.ts'

const casesMin = casesOf(500)
const queries = 36
const histories = 8

let on: TestOracle

beforeAll(async () => {
  on = await createTestOracle()
})
afterAll(() => on.close())

const told = ({ view, outcome, detail }: ViewOutcome): string =>
  `${outcome}: ${view.name} (${view.featured})\n${view.sql}\n${detail}`

const isWrong = ({ outcome, detail }: ViewOutcome): boolean =>
  outcome === 'mismatch' || outcome === 'failed' || (outcome === 'refused' && !isHonest(detail))

describe('the oracle', () => {
  test(`law 3: every view equals its query after every refresh of random histories (seed ${seed})`, async () => {
    const maintainers = [maintainDirectly(draftIncremental, 'generic'), maintainDirectly()] as const
    const wrong: string[] = []
    let cases = 0
    for (let batch = 0; cases < casesMin; batch += 1) {
      const maintainer = maintainers[batch % 2 === 0 ? 0 : 1]
      const given = await generateCase(on, { seed: seed + batch, queries, histories })
      const { views, facts } = await runCase({ on, maintainer }, given)
      expect(facts.writtenMin).toBeGreaterThanOrEqual(historyStatementsMin)
      expect(facts.refreshesBesideOpen).toBeGreaterThan(0)
      const bad = views.filter(isWrong)
      wrong.push(...bad.map((each) => `seed ${seed + batch}, ${told(each)}`))
      const incremental = views.filter(({ strategy }) => strategy === 'incremental')
      cases += incremental.reduce((sum, each) => sum + each.histories, 0)
    }
    expect(wrong).toEqual([])
    expect(cases).toBeGreaterThanOrEqual(casesMin)
  }, 300_000)

  test('a row that is wrong in a maintained view is noticed, and the case made small', async () => {
    const given = await generateCase(on, { seed, queries: 3, histories: 1 })
    const target = given.views.find(({ choice, sql }) => !choice && !sql.includes('o.v'))
    if (target === undefined) throw new Error('the seed gives no view to spoil')
    const bench = {
      on,
      maintainer: maintainDirectly(),
      spoil: ({ name }: { readonly name: string }) =>
        name === target.name
          ? `create or replace view ${name} as select * from (${target.sql}) q offset 1`
          : null,
    }
    const { views } = await runCase(bench, given)
    const found = views.find(({ view }) => view.name === target.name)
    expect(found?.outcome).toBe('mismatch')
    if (found === undefined) return
    const small = await shrink(bench, { given, outcome: found }, 5_000)
    expect(small?.given.views).toHaveLength(1)
    expect(small?.given.histories.flat().length).toBeLessThan(3)
    expect(small?.outcome.outcome).toBe('mismatch')
  }, 120_000)

  test('every construct comes in turn', () => {
    const steering = new Steering(randomOf(seed))
    const asked = [1, 2, 3, 4, 5].flatMap(() => steering.next(40, 8))
    expect(constructs.filter((name) => !asked.includes(name))).toEqual([])
  })

  test('simpler queries are queries', async () => {
    const simpler = await simplerQueries(
      'select a, count(*) from t join u using (id) where b > 1 group by a order by a limit 3',
    )
    expect(simpler).toContain(
      'SELECT a, count(*) FROM t JOIN u USING (id) GROUP BY a ORDER BY a LIMIT 3',
    )
    expect(simpler).toContain('SELECT a, count(*) FROM t WHERE b > 1 GROUP BY a ORDER BY a LIMIT 3')
  })
})
