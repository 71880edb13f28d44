// npm test: makes the checkout and the services ready, then runs the whole suite, what uses a database both on the
// embedded PostgreSQL 18 and on Debian's 15.
// npm test -- WORDS: hands the words to vitest.
// npm run test:long: the whole with the seeds and durations of the issue (TIDEMARK_LONG=1).
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, prepare, root, runInFront, seconds } from './checkout.mjs'
import { provideServices } from './services.mjs'

/** The numbers of the last whole run, for `.ci/run`. */
const tallyFile = join(root, 'node_modules/.tidemark-tests.json')
const reportFile = join(root, 'node_modules/.tidemark-vitest.json')

await main(async () => {
  const started = performance.now()
  const args = process.argv.slice(2).filter((arg) => arg !== '--long')
  const env = process.argv.includes('--long') ? { TIDEMARK_LONG: '1' } : {}
  await prepare(process.stdout)
  const absent = await provideServices(process.stdout)
  const suites = [...new Set(absent.flatMap((service) => service.suites))]
  const projects = absent.some(({ isServer }) => isServer) ? ['unit', 'pg'] : []
  const notRun =
    projects.length === 0 ? suites : [...suites, "all of them on Debian's PostgreSQL 15"]
  const words = [
    ...suites.map((suite) => `--exclude=${suite}`),
    ...(args.some((arg) => arg.startsWith('--project'))
      ? []
      : projects.map((name) => `--project=${name}`)),
    ...args,
  ]

  rmSync(tallyFile, { force: true })
  if (args.length > 0) {
    const status = await vitest(words, env)
    return tellAbsent(absent, notRun) || status
  }
  const { status, passed, failed } = await counted(words, env)
  writeFileSync(tallyFile, JSON.stringify({ passed, failed }))
  process.stdout.write(
    `The suite took ${seconds(started)}: ${passed} tests are green, ${failed} red.\n`,
  )
  return tellAbsent(absent, notRun) || (status === 0 ? 0 : 1)
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
