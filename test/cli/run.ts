import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../../src/cli/program.ts'
import type { Surroundings } from '../../src/cli/surroundings.ts'

/** What a call of the command line left. */
export interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** A folder and an environment in which the command line is called, as in a shell without a terminal. */
export interface Shell {
  readonly folder: string
  readonly run: (words: readonly string[], change?: Partial<Surroundings>) => Promise<Ran>
  /** Writes a file into the folder. */
  readonly write: (name: string, text: string) => Promise<void>
  readonly remove: () => Promise<void>
}

/** Opens a shell; `databaseUrl` is its TIDEMARK_DATABASE_URL. */
export async function openShell(databaseUrl?: string): Promise<Shell> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'))
  const environment = databaseUrl === undefined ? {} : { TIDEMARK_DATABASE_URL: databaseUrl }
  return {
    folder,
    async run(words, change = {}) {
      let out = ''
      let err = ''
      const status = await runCli(words, {
        environment,
        folder,
        clock: () => new Date(),
        out: (text) => {
          out += text
        },
        err: (text) => {
          err += text
        },
        interactive: false,
        width: () => null,
        confirm: null,
        openTerminal: null,
        onStop: () => () => undefined,
        ...change,
      })
      return { status, out, err }
    },
    write: (name, text) => writeFile(join(folder, name), text),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** The last line of JSON that a call printed. */
export function jsonOf({ out }: Ran): Record<string, unknown> {
  const line = out.trimEnd().split('\n').at(-1) ?? ''
  return JSON.parse(line) as Record<string, unknown>
}
