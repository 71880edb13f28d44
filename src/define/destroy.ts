import { TidemarkError } from '../model/errors.ts'
import type { Plan, PlanStep } from '../model/plan.ts'
import type { Actual, Measures } from './actual.ts'
import { nothingDesired } from './desired.ts'
import { diff } from './diff.ts'
import type { AskedIndex } from './index-look.ts'
import { stepOf } from './view-steps.ts'

/**
 * The plan that leaves the database as it was found: adopted views become the materialized views that
 * they were, created ones go, tables lose their triggers, Tidemark's schemas go last. Indexes that were asked for are
 * of the tables that they are on, and stay.
 * Throws `TIDEMARK_DESTRUCTIVE_REFUSED` when something of a user's would go with them.
 */
export function destroyPlan(
  actual: Actual,
  measures: Measures,
  indexes: readonly AskedIndex[],
): Plan {
  const plan = diff(nothingDesired, actual, measures)
  if (actual.version === null) return plan
  if (actual.outsiders.length > 0) {
    throw new TidemarkError({
      code: 'TIDEMARK_DESTRUCTIVE_REFUSED',
      what: `What others made uses the schema tidemark: ${actual.outsiders.join('; ')}`,
      mend: 'Drop these first; destroy takes away only what Tidemark made.',
    })
  }
  const schemas = stepOf({
    kind: 'drop',
    noun: 'schema',
    name: 'tidemark',
    detail: 'schemas tidemark and tidemark_state with the run log; nothing of Tidemark remains',
    expectedMs: 100,
    // The state schema without cascade: what somebody else has put there is not ours to drop.
    sql: ['drop schema tidemark_state', 'drop schema tidemark cascade'],
  })
  return { ...plan, steps: [...plan.steps, schemas, ...indexes.map(stayingIndex)] }
}

const stayingIndex = ({ name, table, dropSql }: AskedIndex): PlanStep =>
  stepOf({
    kind: 'warn',
    noun: 'index',
    name,
    detail: `stays: it was asked for, and is of ${table} now; without it: ${dropSql}`,
    sql: [],
  })
