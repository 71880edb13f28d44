import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { configJsonSchema } from './config-schema.ts'

const pathOf = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url))

const readSchema = (): unknown =>
  JSON.parse(readFileSync(pathOf('schema/tidemark.config.schema.json'), 'utf8'))

/** Every key of every object that the schema knows. */
function keysOf(schema: unknown): string[] {
  const { definitions } = z
    .object({
      definitions: z.record(
        z.string(),
        z.object({ properties: z.record(z.string(), z.unknown()).default({}) }),
      ),
    })
    .parse(schema)
  return Object.values(definitions).flatMap(({ properties }) => Object.keys(properties))
}

test('the JSON schema for editors is up to date', () => {
  expect(() =>
    execFileSync(process.execPath, [pathOf('scripts/write-config-schema.mjs'), '--check']),
  ).not.toThrow()
})

test('the JSON schema knows the keys that are checked', () => {
  expect(keysOf(readSchema()).toSorted()).toEqual(keysOf(configJsonSchema()).toSorted())
})

test('the manual tells of every key', () => {
  const manual = readFileSync(pathOf('docs/configuration.md'), 'utf8')
  const untold = keysOf(configJsonSchema()).filter((key) => !manual.includes(`\`${key}\``))
  expect([...new Set(untold)]).toEqual([])
})
