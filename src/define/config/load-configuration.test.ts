import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import * as publicEntry from '../../index.ts'
import {
  configFileNames,
  configModule,
  configurationOf,
  findConfigFile,
  loadConfiguration,
} from './load-configuration.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-config-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string): void => writeFileSync(join(folder, name), text)

/** Files of each kind that declare the same configuration. */
const kinds: Readonly<Record<string, string>> = {
  'tidemark.config.ts': `import { defineConfig, type TidemarkConfig } from 'tidemark'
    const views: TidemarkConfig['views'] = { v: { sql: 'select 1 as one', target: '1m' } }
    export default defineConfig({ views })`,
  'tidemark.config.mts': `import { defineConfig } from 'tidemark'
    export default await Promise.resolve(defineConfig({ views: { v: { sql: 'select 1 as one', target: '1m' } } }))`,
  'tidemark.config.js': `const { defineConfig } = require('tidemark')
    module.exports = defineConfig({ views: { v: { sql: 'select 1 as one', target: '1m' } } })`,
  'tidemark.config.mjs': `import { defineConfig } from 'tidemark'
    export default defineConfig({ views: { v: { sql: 'select 1 as one', target: '1m' } } })`,
  'tidemark.config.json': `{ "$schema": "./node_modules/tidemark/schema/tidemark.config.schema.json",
    "views": { "v": { "sql": "select 1 as one", "target": "1m" } } }`,
}

describe('a configuration file in an otherwise empty folder', () => {
  test.each(configFileNames)('%s loads, and may import tidemark', async (name) => {
    write(name, kinds[name] ?? '')
    const loaded = await loadConfiguration(folder)
    expect(loaded.path).toBe(join(folder, name))
    expect(loaded.views[0]).toMatchObject({ name: 'public.v', targetMs: 60_000 })
    expect({ ...loaded, path: null }).toEqual(
      configurationOf({ views: { v: { sql: 'select 1 as one', target: '1m' } } }, folder),
    )
  })

  test('the first in the order of search is taken, another only by its name', async () => {
    for (const [name, text] of Object.entries(kinds)) write(name, text)
    expect(findConfigFile(folder)).toBe(join(folder, 'tidemark.config.ts'))
    const named = await loadConfiguration(folder, 'tidemark.config.json')
    expect(named.path).toBe(join(folder, 'tidemark.config.json'))
  })

  test('a file that was edited is read anew', async () => {
    write('tidemark.config.ts', `export default { views: {}, engine: { workers: 3 } }`)
    expect((await loadConfiguration(folder)).engine.workers).toBe(3)
    write('tidemark.config.ts', `export default { views: {}, engine: { workers: 4 } }`)
    expect((await loadConfiguration(folder)).engine.workers).toBe(4)
  })

  test('it may be split into files, and name SQL files beside it', async () => {
    mkdirSync(join(folder, 'sql'))
    write('sql/y.sql', 'select 2 as two')
    write('views.ts', `export const y: { file: string } = { file: 'sql/y.sql' }`)
    write('tidemark.config.ts', `import { y } from './views.ts'\nexport default { views: { y } }`)
    const { views } = await loadConfiguration(
      join(folder, '..'),
      join(folder, 'tidemark.config.ts'),
    )
    expect(views[0]?.definition).toEqual({
      kind: 'file',
      path: 'sql/y.sql',
      sql: 'select 2 as two',
    })
  })

  test('law: tidemark is the same module inside a configuration file as for everybody', () => {
    expect({ ...publicEntry }).toEqual(configModule)
  })

  test('env reads a secret of the environment', async () => {
    process.env['TIDEMARK_TEST_URL'] = 'postgres://me:pw@db/shop'
    write(
      'tidemark.config.ts',
      `import { env } from 'tidemark'
      export default { database: { url: env('TIDEMARK_TEST_URL') }, views: {} }`,
    )
    expect((await loadConfiguration(folder)).databaseUrl).toBe('postgres://me:pw@db/shop')
    delete process.env['TIDEMARK_TEST_URL']
  })

  test('the example of the manual is a configuration', async () => {
    const manual = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8')
    const [, example = ''] = /```ts\n(.*?)```/s.exec(manual) ?? []
    process.env['SHOP_DATABASE_URL'] = 'postgres://localhost/shop'
    mkdirSync(join(folder, 'sql'))
    write('sql/big-orders.sql', 'select 1 as one')
    write('tidemark.config.ts', example)
    const { views } = await loadConfiguration(folder)
    expect(views.map(({ definition }) => definition.kind)).toEqual(['sql', 'file', 'adopt'])
    delete process.env['SHOP_DATABASE_URL']
  })
})
