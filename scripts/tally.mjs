// The closing line of .ci/run: `N passed, N failed`, over the tests and the gates of the last run.
// The first argument is the status of the whole: when it is not 0, at least one failed.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './checkout.mjs'

const read = (name) => {
  const file = join(root, 'node_modules', name)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

const tests = read('.tidemark-tests.json')
const gates = read('.tidemark-gates.json') ?? []
const gatesPassed = gates.filter(({ passed }) => passed).length
const passed = (tests?.numPassedTests ?? 0) + gatesPassed
const failed = (tests?.numFailedTests ?? 1) + gates.length - gatesPassed
const failedAtLeast = process.argv[2] === '0' ? 0 : 1

process.stdout.write(
  `tests: ${tests?.numPassedTests ?? 'no report'} passed, gates: ${gatesPassed} of ${gates.length}\n`,
)
process.stdout.write(`${passed} passed, ${Math.max(failed, failedAtLeast)} failed\n`)
