import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config'

const needsPostgres = ['src/**/*.pg.test.ts', 'test/**/*.pg.test.ts']

/** Two projects, so that tests without a database never wait for the servers to start. */
const config: ViteUserConfig = defineConfig({
  test: {
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
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
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
    ],
  },
})

export default config
