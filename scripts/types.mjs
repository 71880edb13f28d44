// npm run types: checks the types of the sources, of the examples, and of the suites that have packages of their own, where
// `npm test` has installed these.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { main, root, runInFront } from './checkout.mjs'

const tsc = join(root, 'node_modules/typescript/bin/tsc')

/** Each with what is there once it can be checked. */
const suites = {
  'test/orms': 'generated/.made-of',
  'test/web': 'node_modules/.tidemark-installed',
}

await main(async () => {
  const statuses = []
  for (const project of ['.', 'examples']) {
    statuses.push(await runInFront(process.execPath, [tsc, '-p', project]))
  }
  for (const [suite, mark] of Object.entries(suites)) {
    if (existsSync(join(root, suite, mark))) statuses.push(statusOf(suite))
    else
      process.stdout.write(`${suite} is not installed, and so not checked: npm test installs it\n`)
  }
  return Math.max(...statuses)
})

/** The sources are left out, for they are written for other types of Node than these packages bring. */
function statusOf(suite) {
  const { stdout } = spawnSync(
    process.execPath,
    [tsc, '-p', suite, '--noEmit', '--pretty', 'false'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  )
  const own = stdout.split('\n').filter((line) => line.startsWith(suite))
  for (const line of own) process.stdout.write(`${line}\n`)
  return own.length === 0 ? 0 : 1
}
