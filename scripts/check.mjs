// npm run check: every gate, the quick ones first. A red gate does not keep the others from running.
// --without NAME leaves one out.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { install, main, npm, root, runInFront, seconds } from './checkout.mjs'

const gates = ['format', 'lint', 'types', 'layers', 'unused', 'build', 'package', 'gates', 'test']

/** Which gates were green, for `.ci/run`. */
const report = join(root, 'node_modules/.tidemark-gates.json')

await main(async () => {
  const args = process.argv.slice(2)
  const without = args.filter((_, at) => args[at - 1] === '--without')
  await install(process.stdout)
  rmSync(report, { force: true })
  const results = []
  for (const name of gates.filter((gate) => !without.includes(gate))) {
    const started = performance.now()
    const [program, words] = npm('run', '--silent', name)
    const status = await runInFront(program, words)
    results.push({ name, passed: status === 0, took: seconds(started) })
    if (status !== 0) process.stdout.write(`gate ${name} is red\n`)
  }
  for (const { name, passed, took } of results) {
    process.stdout.write(`${passed ? 'green' : 'RED  '}  ${name.padEnd(8)} ${took.padStart(8)}\n`)
  }
  writeFileSync(report, JSON.stringify(results))
  return results.every(({ passed }) => passed) ? 0 : 1
})
