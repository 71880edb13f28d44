import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../../../test/support/database.ts'
import { createTestDatabase } from '../../../test/support/database.ts'
import type { Assembly, Part } from './assemble.ts'
import { executeText, listText, newAssembly, partOf, valueText } from './assemble.ts'

let db: TestDatabase

beforeAll(async () => {
  db = await createTestDatabase()
})
afterAll(() => db.drop())

/** The text that a program executes. */
async function executed(assembly: Assembly, sql: string): Promise<string | undefined> {
  const expression = executeText(assembly, sql, 'found').slice('execute '.length)
  const [row] = await db.sql<{ text: string }>(
    `select ${expression.replace(/\ninto found$/, '')} as text`,
  )
  return row?.text
}

const part = (assembly: Assembly, gate: boolean, sql: string): Part =>
  partOf(assembly, [String(gate)], () => sql)

test.each([
  { first: true, second: false, terms: 'select 1' },
  { first: false, second: true, terms: 'select 2' },
  { first: true, second: true, terms: 'select 1\n    union all\n    select 2' },
])('terms without rows are left out: $first, $second', async ({ first, second, terms }) => {
  const assembly = newAssembly()
  const parts = [part(assembly, first, 'select 1'), part(assembly, second, 'select 2')]
  const union = listText(assembly, parts, '\nunion all\n')
  expect(await executed(assembly, `with x as (\n    ${union}\n)\ntable x`)).toBe(
    `with x as (\n    ${terms}\n)\ntable x`,
  )
})

test('what is within a part goes with it', async () => {
  for (const gate of [true, false]) {
    const assembly = newAssembly()
    const parts = [part(assembly, true, 'p'), part(assembly, false, 'q')]
    const within = part(assembly, gate, `(${listText(assembly, parts, ' + ')})`)
    const text = listText(assembly, [within, { gate: null, sql: 'r' }], ' * ')
    expect(await executed(assembly, text)).toBe(gate ? '(p) * r' : 'r')
  }
})

test('variables are handed over by number, each once', () => {
  const assembly = newAssembly()
  const sql = `select ${valueText(assembly, 'x')}, ${valueText(assembly, 'y')}, ${valueText(assembly, 'x')}`
  expect(executeText(assembly, sql, 'a, b, c')).toBe(
    'execute $sql$select $1, $2, $1$sql$\ninto a, b, c\nusing x, y',
  )
})

test('a statement that stands as it is has its gates as conditions, and its variables by name', () => {
  const gated = partOf(null, ['a > 0', null, 'a > 0'], (gates) => `select where ${gates.join()}`)
  const sql = `${listText(null, [gated, gated], ' union all ')} ${valueText(null, 'x')}`
  expect(executeText(null, sql, 'found')).toBe(
    'select where a > 0 union all select where a > 0 x\ninto found',
  )
})
