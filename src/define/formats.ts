import type { Plan, PlanStep } from '../model/plan.ts'
import { batchesOf, titleOf } from './apply.ts'

/** Layouts in which a plan can be written as migration files. */
export const migrationFormats = ['sql', 'supabase', 'drizzle', 'prisma'] as const

/** A layout in which a plan can be written as migration files. */
export type MigrationFormat = (typeof migrationFormats)[number]

/** Where the migrations of each layout are, in the folder of the project. */
export const migrationFolders: Readonly<Record<MigrationFormat, string>> = {
  sql: '.',
  supabase: 'supabase/migrations',
  drizzle: 'drizzle',
  prisma: 'prisma/migrations',
}

/** A file to write, its path relative to the folder of the project. */
export interface MigrationFile {
  readonly path: string
  readonly text: string
}

/** What a layout depends on besides the plan. */
export interface MigrationContext {
  /** When the migration is made; names of files begin with it. */
  readonly at: Date
  /** Names of what is in {@link migrationFolders} already; whatever time they bear, ours come after. */
  readonly present?: readonly string[]
  /** `drizzle/meta/_journal.json` as it is; null when there is none. */
  readonly journal?: string | null
}

/**
 * Writes a plan as migration files of a tool. Every transaction of the plan is a migration of its
 * own: Prisma runs a migration in one transaction, Drizzle all that wait, Supabase none, and so its
 * files have `begin` and `commit`. `sql` is one file with all of them. Applied, the database is as after `tidemark apply --no-populate`: requests to fill the
 * views wait for the engine. A plan without steps gives no files.
 */
export function migrationFiles(
  plan: Plan,
  format: MigrationFormat,
  context: MigrationContext,
): readonly MigrationFile[] {
  const batches = batchesOf(plan.steps.filter(({ kind }) => kind !== 'warn'))
  if (batches.length === 0) return []
  const at = timeAfter(context.present ?? [], context.at)
  switch (format) {
    case 'sql':
      return [{ path: `${stamp(at, 0)}_tidemark.sql`, text: oneScript(batches) }]
    case 'supabase':
      return batches.map((batch, i) => ({
        path: `${migrationFolders.supabase}/${stamp(at, i)}_${nameOf(i)}.sql`,
        text: `${header}\n\n${transaction(batch)}\n`,
      }))
    case 'prisma':
      return batches.map((batch, i) => ({
        path: `${migrationFolders.prisma}/${stamp(at, i)}_${nameOf(i)}/migration.sql`,
        text: script(batch),
      }))
    case 'drizzle':
      return drizzleFiles(batches, context)
  }
}

const nameOf = (i: number): string => (i === 0 ? 'tidemark' : `tidemark_${i + 1}`)

/** `20261122054500`, a second later for every further file, so that their order is that of their names. */
function stamp(at: Date, i: number): string {
  const iso = new Date(at.getTime() + i * 1000).toISOString()
  return iso.slice(0, 19).replaceAll(/[^0-9]/g, '')
}

/** The present, or a second after the youngest of the names: the files of a plan take a second each. */
function timeAfter(names: readonly string[], now: Date): Date {
  const times = names.flatMap((name) => {
    const [, year, month, day, hour, minute, second] =
      /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)_/.exec(name) ?? []
    return year === undefined
      ? []
      : [Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) + 1000]
  })
  return new Date(Math.max(now.getTime(), ...times.filter(Number.isFinite)))
}

const header = '-- Made by tidemark plan; what it changes is seen by tidemark plan as done.'

function statementsOf(batch: readonly PlanStep[]): readonly string[] {
  return batch.flatMap((step) =>
    step.sql.map((sql, i) =>
      i === 0 ? `-- ${titleOf(step)}: ${step.detail}\n${ended(sql)}` : ended(sql),
    ),
  )
}

/** A statement with its semicolon, on a line of its own where a comment would swallow it. */
function ended(sql: string): string {
  const text = sql.trimEnd().replace(/;$/, '')
  return text.slice(text.lastIndexOf('\n') + 1).includes('--') ? `${text}\n;` : `${text};`
}

function oneScript(batches: readonly (readonly PlanStep[])[]): string {
  const parts = batches.map(transaction)
  return `${header}\n-- Run it with: psql -v ON_ERROR_STOP=1 -f FILE\n\n${parts.join('\n\n')}\n`
}

/** For those who open no transaction by themselves: psql, and Supabase since its CLI 3. */
const transaction = (batch: readonly PlanStep[]): string =>
  ['begin;', "set local lock_timeout = '5s';", ...statementsOf(batch), 'commit;'].join('\n\n')

/** Without `begin`: the tool opens the transaction, in which `set local` may come too late. */
const script = (batch: readonly PlanStep[]): string =>
  `${[header, "set lock_timeout = '5s';", ...statementsOf(batch), 'reset lock_timeout;'].join('\n\n')}\n`

interface JournalEntry {
  readonly idx: number
  readonly version: string
  readonly when: number
  readonly tag: string
  readonly breakpoints: boolean
}

interface Journal {
  readonly version: string
  readonly dialect: string
  readonly entries: readonly JournalEntry[]
}

/** Custom migrations, as `drizzle-kit generate --custom` makes them, with their entries in the journal. */
function drizzleFiles(
  batches: readonly (readonly PlanStep[])[],
  { at, journal }: MigrationContext,
): readonly MigrationFile[] {
  const before: Journal =
    typeof journal === 'string'
      ? (JSON.parse(journal) as Journal)
      : { version: '7', dialect: 'postgresql', entries: [] }
  const last = before.entries.at(-1)
  const first = last === undefined ? 0 : last.idx + 1
  // The migrator runs what is younger than the youngest that it ran.
  const when = Math.max(at.getTime(), (last?.when ?? 0) + 1)
  const entries = batches.map((_, i): JournalEntry => ({
    idx: first + i,
    version: '7',
    when: when + i,
    tag: `${String(first + i).padStart(4, '0')}_${nameOf(i)}`,
    breakpoints: true,
  }))
  const files = batches.map((batch, i) => ({
    path: `drizzle/${entries[i]?.tag ?? ''}.sql`,
    text: `${header}\n${["set lock_timeout = '5s';", ...statementsOf(batch), 'reset lock_timeout;'].join('\n--> statement-breakpoint\n')}\n`,
  }))
  const after = { ...before, entries: [...before.entries, ...entries] }
  return [
    ...files,
    { path: 'drizzle/meta/_journal.json', text: `${JSON.stringify(after, null, 2)}\n` },
  ]
}
