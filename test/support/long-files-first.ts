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

/** Vitest's own order, with the long files before all others. */
export class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = long.findIndex((part) => moduleId.includes(part))
      return found === -1 ? long.length : found
    }
    return (await super.sort(files)).sort((one, other) => rank(one) - rank(other))
  }
}
