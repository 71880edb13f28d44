import { expect, test } from 'vitest'
import { serverVersion } from '../../src/postgres/connection.ts'
import { createInstalledDatabase } from './database.ts'
import { debianInstalled, serverNames } from './servers.ts'

const names = serverNames.filter((name) => name !== '15-debian' || debianInstalled())

test.for(names)('Tidemark is installed on PostgreSQL %s', { timeout: 300_000 }, async (server) => {
  const { database, drop } = await createInstalledDatabase({ server })
  expect(Math.floor((await serverVersion(database)) / 10_000)).toBe(Number.parseInt(server))
  await drop()
})
