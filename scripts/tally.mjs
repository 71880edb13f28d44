// The closing line of .ci/run: `N passed, N failed`, over the tests and the gates of the last run.
// The argument is the status of the whole: when it is not 0, at least one failed.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './checkout.mjs'

const tests = read('.tidemark-tests.json') ?? { passed: 0, failed: 1 }
const gates = read('.tidemark-gates.json') ?? [{ passed: false }]
const green = gates.filter(({ passed }) => passed).length
const red = gates.length - green
const failedMin = process.argv[2] === '0' ? 0 : 1

write(`tests: ${tests.passed} green, ${tests.failed} red; gates: ${green} green, ${red} red`)
write(`${tests.passed + green} passed, ${Math.max(tests.failed + red, failedMin)} failed`)

function read(name) {
  const file = join(root, 'node_modules', name)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined
}

function write(line) {
  process.stdout.write(`${line}\n`)
}
