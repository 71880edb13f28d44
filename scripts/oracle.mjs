// npm run oracle -- --minutes N --seed S [--queries N] [--construct NAME] [--json]: random schemas, queries and
// histories; each maintained view is compared with its query after every refresh. Exits 1 on a mismatch, with the
// case made small in test/regressions.
import { join } from 'node:path'
import { main, prepare, root, runInFront } from './checkout.mjs'

await main(async () => {
  await prepare(process.stderr)
  const file = join(root, 'test/oracle/hunt.ts')
  return runInFront(process.execPath, ['--import', 'jiti/register', file, ...process.argv.slice(2)])
})
