// npm test: makes the checkout and the services ready, then runs the whole suite on the embedded
// PostgreSQL 18 and once more, as far as it uses a database, on Debian's 15.
// npm test -- WORDS: hands the words to vitest and runs once.
// npm run test:long: the whole with the seeds and durations of the issue (TIDEMARK_LONG=1).
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, prepare, root, runInFront, seconds } from './checkout.mjs'
import { provideServices } from './services.mjs'

/** The numbers of the last whole run, for `.ci/run`. */
const tallyFile = join(root, 'node_modules/.tidemark-tests.json')
const reportFile = join(root, 'node_modules/.tidemark-vitest.json')

/** Suites that start servers of their own, of the same versions whatever the default is: once is enough. */
const ownServers = [
  'src/cli/demo/**',
  'src/postgres/binaries*',
  'src/postgres/embedded*',
  'test/define/versions*',
  'test/migration-tools/**',
  'test/outages/copies-debian*',
  'test/outages/every-version*',
  'test/outages/pgbouncer*',
  'test/outages/power-loss*',
  'test/outages/tickers-pg-cron*',
  'test/outages/unlogged*',
  'test/scan/scan-pg-cron*',
  'test/support/servers*',
]

await main(async () => {
  const started = performance.now()
  const args = process.argv.slice(2).filter((arg) => arg !== '--long')
  const env = process.argv.includes('--long') ? { TIDEMARK_LONG: '1' } : {}
  await prepare(process.stdout)
  const absent = await provideServices(process.stdout)
  const notRun = [...new Set(absent.flatMap(({ suites }) => suites))]
  const words = [...notRun.map((suite) => `--exclude=${suite}`), ...args]

  rmSync(tallyFile, { force: true })
  if (args.length > 0) {
    const status = await vitest(words, env)
    return tellAbsent(absent, notRun) || status
  }
  const runs = [await counted(words, env)]
  if (absent.some(({ isServer }) => isServer)) {
    notRun.push("the second run, on Debian's PostgreSQL 15")
  } else {
    process.stdout.write("\nOnce more on Debian's PostgreSQL 15:\n")
    const onDebian = { ...env, TIDEMARK_TEST_SERVER: 'debian15' }
    const once = ownServers.map((suite) => `--exclude=${suite}`)
    runs.push(await counted([...words, ...once, '--project=pg'], onDebian))
  }
  const tally = {
    passed: runs.reduce((sum, run) => sum + run.passed, 0),
    failed: runs.reduce((sum, run) => sum + run.failed, 0),
  }
  writeFileSync(tallyFile, JSON.stringify(tally))
  process.stdout.write(
    `The suite took ${seconds(started)}: ${tally.passed} tests are green, ${tally.failed} red.\n`,
  )
  return tellAbsent(absent, notRun) || (runs.every(({ status }) => status === 0) ? 0 : 1)
})

function vitest(words, env) {
  const program = join(root, 'node_modules/vitest/vitest.mjs')
  return runInFront(process.execPath, [program, 'run', ...words], env)
}

/** Runs vitest and counts; a file that could not be run counts as one failure. */
async function counted(words, env) {
  rmSync(reportFile, { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`]
  const status = await vitest([...reporters, ...words], env)
  const { passed, failed } = countsOf(reportFile)
  return { status, passed, failed: status === 0 ? failed : Math.max(1, failed) }
}

function countsOf(file) {
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(file, 'utf8'))
    return { passed: numPassedTests, failed: numFailedTests }
  } catch {
    // vitest ended before it could report.
    return { passed: 0, failed: 1 }
  }
}

/** Status 1 after naming what did not run; 0 when everything did. */
function tellAbsent(absent, notRun) {
  if (absent.length === 0) return 0
  const names = absent.map(({ name }) => name).join(', ')
  process.stdout.write(`Not run, for want of ${names}: ${notRun.join(', ')}\n`)
  return 1
}
