// npm run race -- --histories N --seed S [--workers N] [--database | --peer NAME [--calm]] [--json]: plays random histories of readers,
// writers and faults over several nodes of the cache and a real Redis, and checks each. Exits 1 if a read returned what was no
// longer true. --database: what writers commit to a real PostgreSQL is what counts. --peer: the same over another cache,
// whose violations are counted; --calm: without faults.
import { join } from 'node:path'
import { main, prepare, root, runInFront } from './checkout.mjs'

await main(async () => {
  await prepare(process.stderr)
  const file = join(root, 'test/race/hunt.ts')
  return runInFront(process.execPath, ['--import', 'jiti/register', file, ...process.argv.slice(2)])
})
