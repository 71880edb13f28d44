import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestDatabase } from '../../test/support/database.ts'
import { createTestDatabase } from '../../test/support/database.ts'
import { relationName } from '../model/ids.ts'
import { identifier, literal, qualifiedName } from './identifier.ts'

let testDatabase: TestDatabase

beforeAll(async () => {
  testDatabase = await createTestDatabase()
})

afterAll(() => testDatabase.drop())

/** PostgreSQL stores any text but the sign U+0000; half a surrogate pair is no text. */
const anyText = fc
  .oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom("'", '"', '\\', '$', '--', '\n', 'a', 'é', '/*') }),
  )
  .filter((text) => !text.includes('\0'))

test('law: a literal is read back as it was written, with standard strings and without', async () => {
  await fc.assert(
    fc.asyncProperty(anyText, fc.constantFrom('on', 'off'), async (text, standard) => {
      const rows = await testDatabase.sql(
        `set standard_conforming_strings = ${standard}; select ${literal(text)} as text`,
      )
      expect(rows).toEqual([{ text }])
    }),
  )
  await testDatabase.sql('reset standard_conforming_strings')
})

test('law: an identifier of up to 63 bytes is read back as it was written', async () => {
  const name = anyText.filter((text) => text.length > 0 && Buffer.byteLength(text) <= 63)
  await fc.assert(
    fc.asyncProperty(name, async (text) => {
      const [row] = await testDatabase.sql(`select 1 as ${identifier(text)}`)
      expect(Object.keys(row ?? {})).toEqual([text])
    }),
  )
})

test('a qualified name finds its relation whatever it is called', async () => {
  await testDatabase.sql(
    `create schema "Sales ""x"""; create table "Sales ""x"""."a.b; drop" (n int)`,
  )
  const name = qualifiedName(relationName('Sales "x"', 'a.b; drop'))
  expect(await testDatabase.sql(`select count(*) as n from ${name}`)).toEqual([{ n: 0 }])
})
