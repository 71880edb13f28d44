import type { TestSpecification } from 'vitest/node'
import { BaseSequencer } from 'vitest/node'

/** The files that take longest, longest first: one that began last would keep one worker waiting for it. */
const long = [
  'test/migration-tools/',
  'test/define/plan',
  'test/incremental/time',
  'test/oracle/oracle',
  'src/cli/demo/demo.',
  'test/incremental/objects',
  'test/capture/replay',
  'test/outages/copies',
  'test/cli/flows',
  'src/schedule/cron-slots',
  'test/work/crashes',
  'test/define/adoption',
  'src/compile/maintain',
  'test/incremental/',
  'test/outages/',
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
