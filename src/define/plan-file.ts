import { z } from 'zod'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { Plan } from '../model/plan.ts'

/** Names as this program printed them. */
const relation = z.custom<RelationName>((value) => typeof value === 'string')

const step = z.strictObject({
  kind: z.enum(['create', 'change', 'replace', 'drop', 'warn']),
  noun: z.string(),
  name: z.string(),
  detail: z.string(),
  lock: z.string().nullable(),
  expectedMs: z.number().nullable(),
  destructive: z.boolean(),
  sql: z.array(z.string()),
  ownTransaction: z.boolean(),
})

const feasibility = z.strictObject({
  view: relation,
  targetMs: z.number(),
  expectedMs: z.number().nullable(),
  feasible: z.boolean().nullable(),
  advice: z.string(),
})

const index = z.strictObject({
  table: relation,
  columns: z.array(z.string()),
  sql: z.string(),
  uses: z.array(z.string()),
  rows: z.number().nullable(),
})

const plan = z.strictObject({
  version: z.literal(1),
  catalog: z.string(),
  relations: z.array(relation),
  steps: z.array(step),
  feasibility: z.array(feasibility),
  indexes: z.array(index),
})

/** A plan as a file, for `plan --out`. */
export const writePlan = (made: Plan): string => `${JSON.stringify(made, null, 2)}\n`

/** Reads what {@link writePlan} wrote. Throws `TIDEMARK_PLAN_INVALID` for anything else. */
export function readPlan(text: string, path: string): Plan {
  const parsed = plan.safeParse(json(text))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new TidemarkError({
    code: 'TIDEMARK_PLAN_INVALID',
    what: `${path} is not a plan of this version: ${issue?.message ?? 'not JSON'}`,
    mend: "Make a new one: 'tidemark plan --out plan.json'.",
    ...(issue === undefined || issue.path.length === 0 ? {} : { place: issue.path.join('.') }),
    cause: parsed.error,
  })
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
