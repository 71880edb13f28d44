// npm run bench -- NAME [--json]: runs bench/NAME.ts from its source.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { StepFailed, main, prepare, root, runInFront } from './checkout.mjs'

await main(async () => {
  const [name, ...args] = process.argv.slice(2)
  const folder = join(root, 'bench')
  const names = (existsSync(folder) ? readdirSync(folder) : [])
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -'.ts'.length))
  if (!names.includes(name)) {
    throw new StepFailed(
      `${name === undefined ? 'Which bench?' : `There is no bench named ${name}.`}\n` +
        `npm run bench -- NAME [--json], with NAME one of: ${names.join(', ')}`,
    )
  }
  await prepare(process.stderr)
  const file = join(folder, `${name}.ts`)
  return runInFront(process.execPath, ['--import', 'jiti/register', file, ...args])
})
