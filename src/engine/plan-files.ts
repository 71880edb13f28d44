import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { migrationFiles, migrationFolders } from '../define/formats.ts'
import type { MigrationFormat } from '../define/formats.ts'
import { readPlan, writePlan } from '../define/plan-file.ts'
import { TidemarkError } from '../model/errors.ts'
import type { Plan } from '../model/plan.ts'

export { titleOf } from '../define/apply.ts'
export type { ApplyProgress } from '../define/apply.ts'
export { planExitCode } from '../define/diff.ts'
export { migrationFormats } from '../define/formats.ts'
export type { MigrationFormat } from '../define/formats.ts'
export type { Populated } from '../define/populate.ts'

/** Writes a plan for {@link readPlanFile}. Throws `TIDEMARK_USAGE` where the file cannot be written. */
export function writePlanFile(folder: string, path: string, plan: Plan): void {
  writeTextFile(folder, path, writePlan(plan))
}

/** Reads a plan. Throws `TIDEMARK_PLAN_INVALID` for a file that is not there or is no plan. */
export function readPlanFile(folder: string, path: string): Plan {
  let text: string
  try {
    text = readFileSync(resolve(folder, path), 'utf8')
  } catch (cause) {
    throw new TidemarkError({
      code: 'TIDEMARK_PLAN_INVALID',
      what: `The plan ${path} cannot be read: ${reasonOf(cause)}`,
      mend: `Write one with 'tidemark plan --out ${path}'.`,
      cause,
    })
  }
  return readPlan(text, path)
}

/** Where the migration of a plan goes. */
export interface MigrationPlace {
  readonly format: MigrationFormat
  /** The folder of the project. */
  readonly folder: string
  readonly now: Date
}

/** Writes a plan as the migration of a tool, and returns the files, relative to the folder. */
export function writeMigration(
  plan: Plan,
  { format, folder, now }: MigrationPlace,
): readonly string[] {
  const migrations = join(folder, migrationFolders[format])
  const journal = join(folder, 'drizzle/meta/_journal.json')
  const files = migrationFiles(plan, format, {
    at: now,
    present: existsSync(migrations) ? readdirSync(migrations) : [],
    journal: existsSync(journal) ? readFileSync(journal, 'utf8') : null,
  })
  for (const { path, text } of files) writeTextFile(folder, path, text)
  return files.map(({ path }) => path)
}

/** Writes a file, and the folders above it. Throws `TIDEMARK_USAGE` where that cannot be done. */
export function writeTextFile(folder: string, path: string, text: string): void {
  const absolute = resolve(folder, path)
  try {
    mkdirSync(dirname(absolute), { recursive: true })
    writeFileSync(absolute, text)
  } catch (cause) {
    throw new TidemarkError({
      code: 'TIDEMARK_USAGE',
      what: `The file ${path} cannot be written: ${reasonOf(cause)}`,
      mend: 'Name a file in a folder that you may write.',
      cause,
    })
  }
}

/** `ENOENT: no such file or directory`, without the path that follows. */
const reasonOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).replace(/, \w+ '[^]*$/, '')
