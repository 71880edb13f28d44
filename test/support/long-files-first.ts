import type { TestSpecification } from 'vitest/node'
import { BaseSequencer } from 'vitest/node'

/** The files that take longest, longest first: one that began last would keep one worker waiting for it. */
const long = [
  'test/migration-tools/',
  'test/next/',
  'src/cli/demo/demo.',
  'test/incremental/partition',
  'test/incremental/as-table',
  'test/incremental/constructs',
  'test/define/plan',
  'test/orms/',
  'test/web/',
  'test/cli/flows',
  'test/incremental/',
  'test/oracle/',
  'test/work/crashes',
  'test/cli/up',
  'test/examples/',
  'test/define/adoption',
  'test/outages/',
  'test/capture/replay',
  'src/schedule/cron-slots',
  'test/cache-tables/',
  'test/tpch/',
  'src/compile/compile-view',
]

/** How long a file takes: its place in the list above, or behind all of it. */
const rankOf = ({ moduleId }: TestSpecification): number => {
  const found = long.findIndex((part) => moduleId.includes(part))
  return found === -1 ? long.length : found
}

/**
 * Project after project: a worker goes on to the next file when that is of the same project, and is ended and another one
 * started when it is not, which takes longer than many a file. Tests without a database come last, being the shortest, but
 * for the long ones among them.
 */
const projects = ['pg', 'pg15', 'unit']

const turnOf = (file: TestSpecification): number =>
  file.project.name === 'unit' && rankOf(file) < long.length
    ? -1
    : projects.indexOf(file.project.name)

/** Vitest's own order within a project, with the long files before all others. */
export class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort(
      (one, other) => turnOf(one) - turnOf(other) || rankOf(one) - rankOf(other),
    )
  }
}
