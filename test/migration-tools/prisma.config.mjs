// Prisma's engine in WebAssembly, which comes in its package, on its own adapter for pg. Two things
// the adapter lacks that the native engine has: columns of the catalog of type name are read as text,
// and a migration is one string of statements, not cut at its semicolons.
import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { defineConfig } from 'prisma/config'

const url = process.env.DATABASE_URL

const readAs = new Map([
  [pg.types.builtins.CHAR, pg.types.builtins.TEXT],
  [19, pg.types.builtins.TEXT],
  [1003, 1009],
])

class ReadingNames extends pg.Pool {
  async query(...args) {
    const result = await super.query(...args)
    for (const field of result.fields ?? []) {
      field.dataTypeID = readAs.get(field.dataTypeID) ?? field.dataTypeID
    }
    return result
  }
}

async function open(connectionString, close = async () => {}) {
  const pool = new ReadingNames({ connectionString, allowExitOnIdle: true })
  const adapter = await new PrismaPg(pool).connect()
  adapter.executeScript = async (script) => void (await pool.query(script))
  adapter.dispose = async () => {
    await pool.end()
    await close()
  }
  return adapter
}

async function openShadow() {
  const name = `prisma_shadow_${randomUUID()}`
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await admin.query(`create database "${name}"`)
  const shadow = new URL(url)
  shadow.pathname = `/${name}`
  return open(shadow.href, async () => {
    await admin.query(`drop database "${name}" with (force)`)
    await admin.end()
  })
}

export default defineConfig({
  experimental: { adapter: true },
  engine: 'js',
  schema: 'prisma/schema.prisma',
  adapter: async () => ({
    provider: 'postgres',
    adapterName: '@prisma/adapter-pg',
    connect: () => open(url),
    connectToShadowDb: openShadow,
  }),
})
