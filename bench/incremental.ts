/**
 * What does a refresh cost after so many changed rows? Seven views over order lines, each maintained by
 * Tidemark and as a materialized view that is refreshed CONCURRENTLY and plainly, in the same run.
 *
 *   npm run bench -- incremental [--rows 1000000] [--changed 1,100,10000,100000] [--repeats N]
 *                                [--full-repeats 3] [--views total_by_day,top_10] [--json]
 *
 * Changed rows are spread over the table at random: of ten, six are updates (two of which move a line to
 * another customer), two inserts, two deletes; a single one is an update of an amount. After each
 * measurement of all three the view is compared with its twin. Medians are of seven refreshes, and of
 * twenty-one where few rows changed: the first ones pay for what the full refreshes left of the buffers.
 */
import { parseArgs } from 'node:util'
import type { Database } from '../src/postgres/connection.ts'
import { onBenchServer } from './measure/bench-server.ts'
import type { Row } from './measure/compare.ts'
import { declared, maintainViews } from './measure/maintain-views.ts'
import {
  expectEqual,
  headLine,
  lineOf,
  makeTwins,
  noTimes,
  refreshConcurrently,
  refreshIncrementally,
  refreshPlain,
  rowOf,
  methodsOf,
} from './measure/compare.ts'
import { changeLines, loadOrderLines, orderLineViews } from './measure/order-lines.ts'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    changed: { type: 'string', default: '1,100,10000,100000' },
    repeats: { type: 'string' },
    'full-repeats': { type: 'string', default: '3' },
    views: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

const rowCount = Number(values.rows)
const fullRepeats = Number(values['full-repeats'])
const wanted = values.views?.split(',')
const views = orderLineViews.filter(({ name }) => wanted === undefined || wanted.includes(name))

const tell = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

async function prepare(database: Database): Promise<void> {
  await loadOrderLines(database, rowCount)
  await makeTwins(database, views)
  await maintainViews(database, declared(views, { maintain: 'incremental' }))
  tell(`loaded and applied ${rowCount} rows`)
}

const repeatsOf = (changed: number): number => Number(values.repeats ?? (changed <= 100 ? 21 : 7))

/** One size of change: all views after each change, the full refreshes after the first few only. */
async function measure(database: Database, changed: number, salt: number): Promise<readonly Row[]> {
  const times = new Map(views.map(({ name }) => [name, noTimes()]))
  const repeats = Math.max(repeatsOf(changed), fullRepeats)
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    await changeLines(database, { rowCount, changed, salt: salt + repeat })
    for (const view of views) {
      const of = times.get(view.name) ?? noTimes()
      of.incremental.push(await refreshIncrementally(database, view))
      if (repeat >= fullRepeats) continue
      of.concurrently.push(await refreshConcurrently(database, view))
      of.plain.push(await refreshPlain(database, view))
      await expectEqual(database, view)
      tell(lineOf(rowOf(view.name, changed, of)))
    }
    await database.query('call tidemark.clean()')
  }
  return views.map(({ name }) => rowOf(name, changed, times.get(name) ?? noTimes()))
}

await onBenchServer(async (database) => {
  await prepare(database)
  const rows: Row[] = []
  for (const [index, changed] of values.changed.split(',').map(Number).entries())
    rows.push(...(await measure(database, changed, index * 1000)))
  // The last word: each view once more, after changes that were measured without a look at the twin.
  for (const view of views) {
    await refreshPlain(database, view)
    await expectEqual(database, view)
  }
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ rows })}\n`)
    return
  }
  process.stdout.write(`${rowCount} order lines\n${headLine}\n`)
  for (const row of rows)
    process.stdout.write(`${lineOf(row)}   ${await methodsOf(database, row.view)}\n`)
})
