import { readFileSync, statSync } from 'node:fs'
import { dirname, extname, resolve } from 'node:path'
import { createJiti } from 'jiti'
import type { Configuration } from '../../model/declaration.ts'
import { errorCatalogue, TidemarkError } from '../../model/errors.ts'
import { checkConfig } from './config-schema.ts'
import { quoted, withoutPasswords } from './config-problems.ts'
import { defineConfig } from './define-config.ts'
import { env } from './env.ts'
import { fillConfiguration } from './fill-configuration.ts'

/** Where a configuration is looked for, in this order. */
export const configFileNames = [
  'tidemark.config.ts',
  'tidemark.config.mts',
  'tidemark.config.js',
  'tidemark.config.mjs',
  'tidemark.config.json',
] as const

/**
 * What `import … from 'tidemark'` gives inside a configuration file: this program's own values, so
 * that a file in an empty folder loads and its errors are ours. A test holds it equal to src/index.ts.
 */
export const configModule: Readonly<Record<string, unknown>> = {
  defineConfig,
  env,
  errorCatalogue,
  TidemarkError,
}

const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ?? false

/**
 * Finds the configuration file: the one that was named, else the first of {@link configFileNames}
 * in the folder. Throws `TIDEMARK_CONFIG_NOT_FOUND` with what was looked for.
 */
export function findConfigFile(folder: string, named?: string): string {
  if (named !== undefined) {
    const path = resolve(folder, named)
    if (isFile(path)) return path
    throw new TidemarkError({
      code: 'TIDEMARK_CONFIG_NOT_FOUND',
      what: `No file ${quoted(named)}`,
      mend: `Name a file that exists after --config, or leave it out to use tidemark.config.ts here.`,
      place: named,
    })
  }
  const found = configFileNames.map((name) => resolve(folder, name)).find(isFile)
  if (found !== undefined) return found
  throw new TidemarkError({
    code: 'TIDEMARK_CONFIG_NOT_FOUND',
    what: `No ${configFileNames.join(', ')} in this folder`,
    mend: `Write one with 'tidemark init', or name another file with --config PATH.`,
  })
}

const unreadable = (path: string, why: string, cause: unknown): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CONFIG_UNREADABLE',
    what: `The configuration file cannot be loaded: ${why}`,
    mend: 'Mend the file at the place that is told, then try again.',
    place: path,
    cause,
  })

/** JSON.parse quotes what it cannot read, which may hold a password; only the place is kept of it. */
function readJson(path: string): unknown {
  const text = readFileSync(path, 'utf8')
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    const at = /at position (\d+)/.exec(cause instanceof Error ? cause.message : '')?.[1]
    const before = at === undefined ? [] : text.slice(0, Number(at)).split('\n')
    const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`
    throw unreadable(path, `it is not JSON${at === undefined ? '' : ` (${place})`}`, cause)
  }
}

/** In one line, without passwords, and with the path only where `place` does not tell it. */
function whyNotLoaded(path: string, cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause)
  const [told = ''] = message.replaceAll(`${path}:`, 'at ').split('\nRequire stack')
  return withoutPasswords(told.replaceAll(/\s+/g, ' ').trim())
}

async function importModule(path: string): Promise<unknown> {
  // No caches: a file that was edited is read anew, and nothing is written beside it.
  const jiti = createJiti(path, {
    virtualModules: { tidemark: configModule },
    fsCache: false,
    moduleCache: false,
    interopDefault: false,
  })
  try {
    return await jiti.import(path)
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause
    throw unreadable(path, whyNotLoaded(path, cause), cause)
  }
}

/** The value of a configuration file: its default export, or what CommonJS exports. */
async function readConfigFile(path: string): Promise<unknown> {
  if (extname(path) === '.json') return readJson(path)
  const module = await importModule(path)
  const exported = typeof module === 'object' && module !== null ? module : {}
  const value: unknown = 'default' in exported ? await exported.default : exported
  if (typeof value === 'object' && value !== null && Object.keys(value).length > 0) return value
  throw new TidemarkError({
    code: 'TIDEMARK_CONFIG_INVALID',
    what: 'The configuration file exports no configuration',
    mend: `Write export default defineConfig({ views: { … } }) in it.`,
    place: path,
  })
}

/** Text of a file beside the configuration; null when there is none, or it is no file. */
const readTextFrom =
  (folder: string) =>
  (path: string): string | null => {
    const absolute = resolve(folder, path)
    return isFile(absolute) ? readFileSync(absolute, 'utf8') : null
  }

/**
 * Checks a configuration given as a value and fills in its defaults; files that it names are read
 * relative to `folder`. Throws a {@link TidemarkError} that tells every fault with its place.
 */
export const configurationOf = (value: unknown, folder: string): Configuration =>
  fillConfiguration(checkConfig(value), { path: null, readText: readTextFrom(folder) })

/**
 * Finds, loads, checks and fills in the configuration of a folder, or of the file named by `--config`.
 * Throws a {@link TidemarkError}: `TIDEMARK_CONFIG_NOT_FOUND`, `TIDEMARK_CONFIG_UNREADABLE`,
 * `TIDEMARK_VARIABLE_MISSING` or `TIDEMARK_CONFIG_INVALID`. Reads files only; asks no database.
 */
export async function loadConfiguration(folder: string, named?: string): Promise<Configuration> {
  const path = findConfigFile(folder, named)
  const config = checkConfig(await readConfigFile(path))
  return fillConfiguration(config, { path, readText: readTextFrom(dirname(path)) })
}
