// The Debian packages that suites need, and how they come to be there.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { StepFailed, runQuietly, step } from './checkout.mjs'

/**
 * One line per package: the file that shows it is there, and what cannot run without it: suites by
 * the names of their files, and whether the whole suite runs on it a second time.
 */
export const services = [
  {
    name: 'postgresql-15',
    file: '/usr/lib/postgresql/15/bin/postgres',
    suites: ['**/*debian*.pg.test.ts', '**/*pg-cron*.pg.test.ts'],
    isServer: true,
  },
  {
    name: 'postgresql-15-cron',
    file: '/usr/share/postgresql/15/extension/pg_cron.control',
    suites: ['**/*pg-cron*.pg.test.ts'],
  },
  {
    name: 'pgbouncer',
    file: '/usr/sbin/pgbouncer',
    suites: ['**/*pgbouncer*.pg.test.ts'],
  },
  {
    name: 'redis-server',
    file: '/usr/bin/redis-server',
    suites: ['**/*.redis.test.ts', '**/*.redis.pg.test.ts'],
  },
]

/** While packages are installed: no cluster is made and no service started that nobody asked for. */
const quietFiles = {
  '/etc/postgresql-common/createcluster.d/tidemark-tests.conf': 'create_main_cluster = false\n',
  '/usr/sbin/policy-rc.d': '#!/bin/sh\nexit 101\n',
}

/**
 * Installs the packages that are missing when we may (root on Debian), and returns those that are
 * missing still, after saying the one command that mends it.
 */
export async function provideServices(out) {
  const wanted = missing()
  if (wanted.length === 0) return []
  const names = wanted.map(({ name }) => name).join(' ')
  const command = `apt-get install -y --no-install-recommends ${names}`
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    try {
      await installQuietly(out, command.split(' '))
    } catch (fault) {
      if (!(fault instanceof StepFailed)) throw fault
      out.write(`${fault.message}\n`)
    }
  }
  const left = missing()
  if (left.length > 0) {
    out.write(`Some suites need packages of Debian that are not here. To run them too:\n`)
    out.write(`  sudo apt-get update && sudo ${command}\n`)
  }
  return left
}

function missing() {
  return services.filter(({ file }) => !existsSync(file))
}

async function installQuietly(out, [program, ...args]) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const written = Object.entries(quietFiles).filter(([file]) => !existsSync(file))
  for (const [file, content] of written) {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content, { mode: 0o755 })
  }
  try {
    await step(out, 'apt-get update', () => runQuietly('apt-get', ['update', '-q'], env))
    await step(out, [program, ...args].join(' '), () => runQuietly(program, args, env))
  } finally {
    for (const [file] of written) rmSync(file, { force: true })
  }
}
