// npm test: makes the checkout and the services ready, then runs the whole suite.
// npm run test:long: the same with the seeds and durations of the issue (TIDEMARK_LONG=1).
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { main, prepare, root, runInFront, seconds } from './checkout.mjs'
import { provideServices } from './services.mjs'

/** Where the numbers of the last run lie, for `.ci/run`. */
const report = join(root, 'node_modules/.tidemark-tests.json')

await main(async () => {
  const started = performance.now()
  const args = process.argv.slice(2).filter((arg) => arg !== '--long')
  const long = process.argv.includes('--long')
  await prepare(process.stdout)
  const absent = await provideServices(process.stdout)
  const excluded = [...new Set(absent.flatMap(({ suites }) => suites))]
  rmSync(report, { force: true })
  const status = await runInFront(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      ...(args.some((arg) => arg.startsWith('--reporter'))
        ? []
        : ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]),
      ...excluded.map((suite) => `--exclude=${suite}`),
      ...args,
    ],
    long ? { TIDEMARK_LONG: '1' } : {},
  )
  if (absent.length > 0) {
    const names = absent.map(({ name }) => name).join(', ')
    process.stdout.write(`Not run, for want of ${names}: ${excluded.join(' ')}\n`)
  }
  process.stdout.write(`The suite took ${seconds(started)}.\n`)
  return status === 0 && absent.length > 0 ? 1 : status
})
