import { resolve } from 'node:path'
import { planConfiguration } from '../../engine/define.ts'
import {
  migrationFormats,
  planExitCode,
  writeMigration,
  writePlanFile,
} from '../../engine/plan-files.ts'
import type { MigrationFormat } from '../../engine/plan-files.ts'
import { nearest } from '../../base/nearest.ts'
import type { Plan } from '../../model/plan.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import { usage } from '../option-values.ts'
import { renderPlan, renderPlanSql } from '../render/plan.ts'

interface PlanOptions {
  readonly out?: string
  readonly sql?: boolean
  readonly format?: string
  readonly dir?: string
}

/** `tidemark plan`: what apply would do. Changes nothing. */
export const planCommand: CommandMaker = makeCommand<PlanOptions>({
  name: 'plan',
  summary: 'show what apply would do, with locks, durations and feasibility; changes nothing',
  examples: [
    ['tidemark plan', 'status 0: nothing to do, 1: error, 2: there are changes'],
    ['tidemark plan --out plan.json', 'keep it, for tidemark apply plan.json'],
    ['tidemark plan --sql', 'the statements'],
    ['tidemark plan --format prisma', 'write a migration of Prisma instead of applying'],
  ],
  arrange: (command) => {
    command
      .option('--out <file>', 'write the plan to a file, for apply')
      .option('--sql', 'print the statements')
      .option('--format <tool>', `write a migration file: ${migrationFormats.join(', ')}`)
      .option('--dir <folder>', 'folder of the project that the migration is for; else this one')
  },
  run: async (call) => {
    const format = formatOf(call.options)
    const configuration = await call.configuration()
    const plan = await call.database(
      (database) => planConfiguration(database, configuration),
      configuration,
    )
    const { out, sql } = call.options
    const { folder } = call.surroundings
    if (out !== undefined) writePlanFile(folder, out, plan)
    if (format !== null) return writeFiles(call, plan, format)
    call.answer('plan', plan, (style) =>
      sql === true ? renderPlanSql(plan) : renderPlan(plan, style),
    )
    return planExitCode(plan)
  },
})

const isFormat = (text: string): text is MigrationFormat =>
  migrationFormats.some((format) => format === text)

function formatOf({ format, dir }: PlanOptions): MigrationFormat | null {
  if (format === undefined) {
    if (dir === undefined) return null
    throw usage(
      '--dir says where a migration file goes, and none is asked for',
      'Add --format sql.',
    )
  }
  if (isFormat(format)) return format
  const near = nearest(format, migrationFormats)
  throw usage(
    `There is no format ${format}`,
    `Write ${near === undefined ? `one of ${migrationFormats.join(', ')}` : `--format ${near}`}.`,
  )
}

function writeFiles(call: Call<PlanOptions>, plan: Plan, format: MigrationFormat): number {
  const { dir = '.' } = call.options
  const { clock } = call.surroundings
  const folder = resolve(call.surroundings.folder, dir)
  const status = planExitCode(plan)
  const files = writeMigration(plan, { format, folder, now: clock() })
  call.answer('migration', { format, files }, () =>
    files.length === 0
      ? ['Nothing to do: the database is as declared. No file was written.']
      : [
          ...files.map((file) => `wrote ${file}`),
          "Run it with your tool, then start 'tidemark up'.",
        ],
  )
  return status
}
