import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config'
import { decorators } from './test/support/decorators.ts'
import { LongFilesFirst } from './test/support/long-files-first.ts'

const needsPostgres = ['src/**/*.pg.test.ts', 'test/**/*.pg.test.ts']

/** Suites that need programs of Debian's PostgreSQL 15, and run on that server alone. */
const needsDebian = 'test/**/*-debian.pg.test.ts'

/** Suites that start servers of their own, the same ones whatever the default is: once is enough. */
const ownServers = [
  'src/cli/demo/**',
  'src/postgres/binaries*',
  'src/postgres/embedded*',
  // Redis is the server of these.
  'test/cache/*.redis.pg*',
  'test/define/versions*',
  'test/examples/electro-isla*',
  'test/examples/onquota*',
  'test/migration-tools/**',
  'test/orms/**',
  'test/outages/every-version*',
  'test/outages/pgbouncer*',
  'test/outages/power-loss*',
  'test/outages/tickers-pg-cron*',
  'test/outages/unlogged*',
  'test/race/**',
  'test/scan/scan-pg-cron*',
  'test/support/servers*',
]

/**
 * Suites of the command line, of planning and of waiting: what they ask of the server, others ask of both. `npm run test:long` runs them
 * on both.
 */
const asksLittle = [
  'test/cli/bad-input*',
  'test/cli/explain*',
  'test/cli/flows*',
  'test/cli/indexes*',
  'test/cli/up*',
  'test/define/plan*',
  'test/examples/campaign-progress*',
  'test/examples/conversations*',
  'test/outages/frozen-engine*',
  'test/outages/network*',
  'test/outages/open-transactions*',
  'test/work/idle*',
  'test/work/staleness*',
]

const onceIsEnough =
  process.env['TIDEMARK_LONG'] === '1' ? ownServers : [...ownServers, ...asksLittle]

/**
 * Three projects, so that tests without a database never wait for a server, and those with one run on two servers: `pg`
 * on the embedded PostgreSQL 18, `pg15` on Debian's 15. All in one run, which keeps the workers busy to its end.
 */
const config: ViteUserConfig = defineConfig({
  plugins: [decorators()],
  // Examples import `tidemark` by its name.
  resolve: { tsconfigPaths: true },
  test: {
    // Two cores, and a third worker while one waits for a clock or a disk.
    maxWorkers: 3,
    // Tests keep nothing between files, and to load the program anew for each took a seventh of the time.
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // A state comes when it comes, on a machine that others use as well; only one that does not come is a fault.
    expect: { poll: { timeout: 30_000 } },
    sequence: { sequencer: LongFilesFirst },
    // One that is left alone by hand would keep all others of its file from running.
    allowOnly: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...needsPostgres],
        },
      },
      {
        extends: true,
        test: {
          name: 'pg',
          include: needsPostgres,
          exclude: [...configDefaults.exclude, needsDebian],
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'pg15',
          include: needsPostgres,
          exclude: [...configDefaults.exclude, ...onceIsEnough],
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
    ],
  },
})

export default config
