import { spawn } from 'node:child_process'
import { copyFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installPackages } from '../support/private-packages.ts'

const toolsFolder = fileURLToPath(new URL('.', import.meta.url))
const modules = join(toolsFolder, 'node_modules')
const asAPerson = new URL('as-a-person.mjs', import.meta.url).href

/** The files that start the tools. */
const programs = {
  drizzle: 'drizzle-kit/bin.cjs',
  prisma: 'prisma/build/index.js',
  supabase: 'supabase/dist/supabase.js',
} as const

/** What a run of a tool left; `said` is both of its streams without colours. */
export interface ToolRun {
  readonly status: number | null
  readonly said: string
}

/**
 * Installs the tools, unless they are there. Prisma's install script would fetch binaries of its engines; in place of them
 * its own WebAssembly build is used.
 */
export function installTools(): void {
  installPackages(new URL('.', import.meta.url), 'Drizzle, Prisma and Supabase for tests')
}

/** Gives a project the tools' packages and the configuration of Prisma. */
export function equip(project: string): void {
  symlinkSync(modules, join(project, 'node_modules'), 'junction')
  copyFileSync(join(toolsFolder, 'prisma.config.mjs'), join(project, 'prisma.config.mjs'))
}

/**
 * Runs a tool in a project to its end, as on a terminal of a person who has answered nothing.
 * What it would keep in the home folder goes into the project.
 */
export async function runTool(
  tool: keyof typeof programs,
  words: readonly string[],
  project: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<ToolRun> {
  const child = spawn(
    process.execPath,
    ['--import', asAPerson, join(modules, programs[tool]), ...words],
    {
      cwd: project,
      env: {
        PATH: process.env['PATH'],
        HOME: project,
        NO_COLOR: '1',
        DO_NOT_TRACK: '1',
        CHECKPOINT_DISABLE: '1',
        // Any file: the engines that Prisma looks for here are not the one that it runs.
        PRISMA_QUERY_ENGINE_LIBRARY: process.execPath,
        PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  return { status, said }
}
