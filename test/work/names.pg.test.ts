import { expect, test } from 'vitest'
import { relationName } from '../../src/model/ids.ts'
import { captureNames, objectName } from '../../src/model/names.ts'
import { createInstalledDatabase } from '../support/database.ts'

test('long names are cut alike in TypeScript and in SQL', async () => {
  const db = await createInstalledDatabase()
  const names = [
    'public.orders',
    `capture public.${'orders_'.repeat(12)}`,
    `log 0 public.${'ñandú '.repeat(12)}`,
    `image ${'表'.repeat(30)}.${'x'.repeat(63)}`,
  ]
  for (const name of names) {
    const [row] = await db.sql<{ cut: string }>('select tidemark.object_name($1) as cut', [name])
    expect(row?.cut).toBe(objectName(name))
    expect(Buffer.byteLength(objectName(name))).toBeLessThanOrEqual(63)
  }
  await db.drop()
})

test('the functions of capture triggers are called alike in TypeScript and in SQL', async () => {
  const db = await createInstalledDatabase()
  for (const source of [
    relationName('public', 'orders'),
    relationName('public', 'orders_'.repeat(9).slice(0, 63)),
  ]) {
    const [row] = await db.sql<{ names: readonly string[] }>(
      'select tidemark.capture_functions($1)::text[] as names',
      [source],
    )
    expect(row?.names).toEqual(captureNames.triggers(source))
  }
  await db.drop()
})
