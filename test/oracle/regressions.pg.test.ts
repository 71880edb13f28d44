import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { draftIncremental } from '../../src/compile/incremental.ts'
import { isHonest } from './constructs.ts'
import { maintainByPlan } from './maintain-by-plan.ts'
import { maintainDirectly } from './maintain-directly.ts'
import { prunedWrongly } from './oracle-database.ts'
import type { Regression } from './regression.ts'
import { readRegressions } from './regression.ts'
import type { Maintainer } from './maintainer.ts'
import { runCase } from './run-batch.ts'
import type { TestOracle } from './test-oracle.ts'
import { createTestOracle } from './test-oracle.ts'

const regressions = await readRegressions()
let on: TestOracle

beforeAll(async () => {
  on = await createTestOracle()
})
afterAll(() => on.close())

/** With plans of both kinds, as the hunt has them; what reads a maintained view goes the whole way. */
const maintainersFor = ({ views }: Regression): readonly Maintainer[] =>
  views.length === 1
    ? [maintainDirectly(draftIncremental, 'generic'), maintainDirectly()]
    : [maintainByPlan('incremental')]

describe.skipIf(regressions.length === 0)('cases that once failed', () => {
  test.each(regressions)('%s', async (_name, given) => {
    const runs = maintainersFor(given).map((maintainer) => () => runCase({ on, maintainer }, given))
    const views = []
    for (const run of runs) views.push(...(await run()).views)
    const wrong = views.filter(
      ({ outcome, strategy, detail }) =>
        (outcome !== 'exact' && detail !== prunedWrongly) ||
        (strategy !== 'incremental' && !isHonest(detail)),
    )
    expect(wrong.map(({ view, outcome, detail }) => ({ sql: view.sql, outcome, detail }))).toEqual(
      [],
    )
  })
})
