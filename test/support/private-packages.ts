import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Installs packages that only a test or a bench needs, in a folder of their own with a lock, unless they are there. Install
 * scripts are not run.
 */
export function installPackages(folder: URL, what: string): void {
  const path = fileURLToPath(folder)
  const stamp = join(path, 'node_modules/.tidemark-installed')
  const lock = readFileSync(join(path, 'package-lock.json'))
  const digest = createHash('sha256').update(lock).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return
  process.stderr.write(`Installing ${what} into ${path} …\n`)
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund']
  const npm = spawnSync('npm', ['ci', '--prefix', path, ...flags], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (npm.status !== 0) throw new Error(`npm ci failed in ${path}:\n${npm.stderr}`)
  writeFileSync(stamp, digest)
}
