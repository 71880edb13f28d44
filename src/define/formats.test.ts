import { describe, expect, test } from 'vitest'
import { relationName } from '../model/ids.ts'
import type { Plan, PlanStep } from '../model/plan.ts'
import { migrationFiles } from './formats.ts'
import { readPlan, writePlan } from './plan-file.ts'

const step = (name: string, more: Partial<PlanStep> = {}): PlanStep => ({
  kind: 'create',
  noun: 'view',
  name,
  detail: 'kept',
  lock: null,
  expectedMs: null,
  destructive: false,
  sql: [`create view ${name} as select 1`, `comment on view ${name} is 'x' -- why`],
  ownTransaction: false,
  ...more,
})

const plan: Plan = {
  version: 1,
  catalog: 'abc',
  relations: [relationName('public', 'a')],
  steps: [
    step('a'),
    step('b'),
    step('c', { ownTransaction: true }),
    step('d'),
    step('w', { kind: 'warn', sql: [] }),
  ],
  feasibility: [],
  indexes: [],
}
const at = new Date('2026-11-22T05:45:59.500Z')

const paths = (format: Parameters<typeof migrationFiles>[1]): readonly string[] =>
  migrationFiles(plan, format, { at }).map(({ path }) => path)

describe('migrationFiles', () => {
  test('sql is one file with a transaction for each of the plan', () => {
    const [file, ...more] = migrationFiles(plan, 'sql', { at })
    expect(more).toEqual([])
    expect(file?.path).toBe('20261122054559_tidemark.sql')
    expect(file?.text.match(/^(begin|commit);$/gm)).toHaveLength(6)
    expect(file?.text).toContain("is 'x' -- why\n;")
  })

  test('other tools get a migration for each transaction, in the order of their names', () => {
    expect(paths('supabase')).toEqual([
      'supabase/migrations/20261122054559_tidemark.sql',
      'supabase/migrations/20261122054600_tidemark_2.sql',
      'supabase/migrations/20261122054601_tidemark_3.sql',
    ])
    expect(paths('prisma')).toEqual([
      'prisma/migrations/20261122054559_tidemark/migration.sql',
      'prisma/migrations/20261122054600_tidemark_2/migration.sql',
      'prisma/migrations/20261122054601_tidemark_3/migration.sql',
    ])
  })

  test('who opens a transaction by itself gets none, who does not gets one in each file', () => {
    const opened = (format: Parameters<typeof migrationFiles>[1]): readonly number[] =>
      migrationFiles(plan, format, { at })
        .filter(({ path }) => path.endsWith('.sql'))
        .map(({ text }) => text.match(/^(begin|commit);$/gm)?.length ?? 0)
    expect(opened('prisma')).toEqual([0, 0, 0])
    expect(opened('drizzle')).toEqual([0, 0, 0])
    expect(opened('supabase')).toEqual([2, 2, 2])
  })

  test('the files of a plan come after those that are there, also within the same second', () => {
    const present = ['20261122054601_tidemark_3.sql', '20261122054559_tidemark.sql', 'README.md']
    expect(migrationFiles(plan, 'supabase', { at, present }).map(({ path }) => path)).toEqual([
      'supabase/migrations/20261122054602_tidemark.sql',
      'supabase/migrations/20261122054603_tidemark_2.sql',
      'supabase/migrations/20261122054604_tidemark_3.sql',
    ])
  })

  test('drizzle finds its statements and its journal', () => {
    const journal = JSON.stringify({
      version: '7',
      dialect: 'postgresql',
      entries: [
        { idx: 3, version: '7', when: at.getTime() + 5000, tag: '0003_theirs', breakpoints: true },
      ],
    })
    const files = migrationFiles(plan, 'drizzle', { at, journal })
    expect(files.map(({ path }) => path)).toEqual([
      'drizzle/0004_tidemark.sql',
      'drizzle/0005_tidemark_2.sql',
      'drizzle/0006_tidemark_3.sql',
      'drizzle/meta/_journal.json',
    ])
    expect(files[0]?.text.split('--> statement-breakpoint')).toHaveLength(6)
    const after = JSON.parse(files[3]?.text ?? '') as { entries: { tag: string; when: number }[] }
    expect(after.entries.map(({ tag }) => tag)).toEqual([
      '0003_theirs',
      '0004_tidemark',
      '0005_tidemark_2',
      '0006_tidemark_3',
    ])
    expect(after.entries[1]?.when).toBeGreaterThan(at.getTime() + 5000)
  })

  test('a plan without changes gives no files', () => {
    expect(migrationFiles({ ...plan, steps: [] }, 'prisma', { at })).toEqual([])
  })
})

describe('a plan as a file', () => {
  test('is read as it was written', () => {
    expect(readPlan(writePlan(plan), 'plan.json')).toEqual(plan)
  })

  test.each(['', '{', '{"version":2}', '[]', JSON.stringify({ ...plan, steps: [{}] })])(
    'is refused when it is %j',
    (text) => {
      expect(() => readPlan(text, 'plan.json')).toThrow(/TIDEMARK_PLAN_INVALID/)
    },
  )
})
