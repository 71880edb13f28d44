import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Explanation, StageMethod } from '../../src/engine/explain.ts'
import { explainFile } from '../../src/engine/explain.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { featureSchema, features } from './features.ts'

let db: TestDatabase
let folder: string

beforeAll(async () => {
  db = await createTestDatabase()
  await db.sql(featureSchema)
  folder = await mkdtemp(join(tmpdir(), 'tidemark-features-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await db.drop()
})

/** The dearest way in which a part of a query is kept, in the words of the manual. */
const methods: readonly (readonly [StageMethod, string])[] = [
  ['all', 'a part is computed afresh altogether'],
  ['first', 'the first rows are kept, and some after them'],
  ['keys', 'keys where something changed are computed afresh'],
  ['weights', 'by adding what came and taking away what went'],
  ['changes', 'from the changes alone'],
]

function cellsOf({ strategy, stages, reasons, error }: Explanation): readonly string[] {
  if (error !== null) return ['–', error.what]
  if (strategy === 'full') return ['full', reasons.map(({ reason }) => reason).join('; ')]
  const [, how = ''] = methods.find(([method]) => stages.some((one) => one.method === method)) ?? []
  return ['incremental', how]
}

test("the manual's table of constructs says what explain says of an example of each", async () => {
  const all = Object.entries(features).flatMap(([chapter, list]) =>
    list.map(([construct, sql]) => ({ chapter, construct, sql })),
  )
  await writeFile(join(folder, 'features.sql'), all.map(({ sql }) => `${sql};\n`).join(''))
  const { queries } = await explainFile(db.database, { folder, path: 'features.sql' })
  expect(queries).toHaveLength(all.length)
  const rows = all.map(({ chapter, construct }, at) => {
    const found = queries[at]
    const cells = found === undefined ? [] : cellsOf(found)
    return `| ${[all[at - 1]?.chapter === chapter ? '' : chapter, construct, ...cells].join(' | ')} |`
  })
  const manual = await readFile(new URL('../../docs/incremental.md', import.meta.url), 'utf8')
  const told = manual.split('\n').filter((line) => /^\|.*\| (incremental|full|–) \|/.test(line))
  expect(told).toEqual(rows)
})
