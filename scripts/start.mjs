// npm start: makes the checkout ready, then runs the demonstration on an embedded PostgreSQL.
// package.json says `exec node`, since a shell in between would keep npm's SIGINT to itself.
import { join } from 'node:path'
import { main, prepare, root, runInFront } from './checkout.mjs'

await main(async () => {
  const args = process.argv.slice(2)
  // With --json the last line of stdout is the result; what we say on the way goes beside it.
  await prepare(args.includes('--json') ? process.stderr : process.stdout)
  return runInFront(process.execPath, [join(root, 'dist/cli/main.js'), 'demo', ...args])
})
