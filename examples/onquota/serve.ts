import pg from 'pg'
import { redis } from 'tidemark/cache'
import { serve } from '../serve.ts'
import { apiOf } from './api.ts'
import { dashboardOf, openCache } from './caches.ts'
import type { Database, Transactions } from './database.ts'

const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] })

const queryOf =
  (client: Pick<pg.ClientBase, 'query'>): Database['query'] =>
  async <Row extends object>(sql: string, values: readonly unknown[] = []) => {
    const { rows } = await client.query(sql, [...values])
    return rows as Row[]
  }

const database: Transactions = {
  query: queryOf(pool),
  async transaction(work) {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const result = await work({ query: queryOf(client) })
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  },
}

const store = redis(process.env['REDIS_URL'] ?? 'redis://localhost:6379')
const cache = openCache({ store, log: console })
const dashboard = dashboardOf(cache, database)
await cache.start()
await serve(apiOf(cache, database, dashboard), Number(process.env['PORT'] ?? 3000))
