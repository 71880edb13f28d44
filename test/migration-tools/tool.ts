import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const toolsFolder = fileURLToPath(new URL('.', import.meta.url))
const modules = join(toolsFolder, 'node_modules')
const asAPerson = new URL('as-a-person.mjs', import.meta.url).href
const installedStamp = join(modules, '.tidemark-installed')

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
 * Installs the tools, unless they are there. Their install scripts are not run: Prisma's fetches
 * binaries of its engines, in place of which its own WebAssembly build is used.
 */
export function installTools(): void {
  const lock = readFileSync(join(toolsFolder, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex')
  if (existsSync(installedStamp) && readFileSync(installedStamp, 'utf8') === digest) return
  process.stderr.write(`Installing Drizzle, Prisma and Supabase for tests into ${toolsFolder} …\n`)
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund']
  const npm = spawnSync('npm', ['ci', '--prefix', toolsFolder, ...flags], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (npm.status !== 0) throw new Error(`npm ci failed in ${toolsFolder}:\n${npm.stderr}`)
  writeFileSync(installedStamp, digest)
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
