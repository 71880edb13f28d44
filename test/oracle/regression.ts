import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { OracleCase, ViewOutcome } from './case.ts'

/** Cases that once failed: plain SQL, run again by every `npm test`. */
const regressionsFolder: string = fileURLToPath(new URL('../regressions/', import.meta.url))

/** A case that was found, and what was wrong with it. */
export interface Regression extends OracleCase {
  /** Where it came from: seed and view. */
  readonly found: string
  /** How it failed then. */
  readonly wrong: string
}

/** Writes a failing case and returns its path. */
export async function writeRegression(
  name: string,
  found: string,
  { given, outcome }: { readonly given: OracleCase; readonly outcome: ViewOutcome },
): Promise<string> {
  await mkdir(regressionsFolder, { recursive: true })
  const path = `${regressionsFolder}${name}.json`
  const regression: Regression = {
    found,
    wrong: `${outcome.outcome} at refresh ${outcome.refresh}: ${outcome.detail}`,
    schema: given.schema,
    data: given.data,
    views: given.views,
    histories: given.histories,
  }
  await writeFile(path, `${JSON.stringify(regression, null, 2)}\n`)
  return path
}

/** The names and cases of all that were kept. */
export async function readRegressions(): Promise<(readonly [string, Regression])[]> {
  const files = await readdir(regressionsFolder).catch(() => [])
  return Promise.all(
    files
      .filter((file) => file.endsWith('.json'))
      .sort()
      .map(async (file) => {
        const text = await readFile(`${regressionsFolder}${file}`, 'utf8')
        // Written by writeRegression and nobody else.
        return [file.slice(0, -'.json'.length), JSON.parse(text) as Regression] as const
      }),
  )
}
