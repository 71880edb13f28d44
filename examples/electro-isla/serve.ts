import pg from 'pg'
import { serve } from '../serve.ts'
import type { Ask } from './cache.ts'
import { logTo, openCaches } from './cache.ts'
import { estadisticas } from './endpoints.ts'

const url = process.env['DATABASE_URL'] ?? 'postgres://localhost:5432/postgres'
const pool = new pg.Pool({ connectionString: url })
const ask: Ask = async <Row extends object>(sql: string, values: readonly unknown[] = []) => {
  const { rows } = await pool.query(sql, [...values])
  return rows as Row[]
}

const caches = openCaches(ask, { database: url, log: logTo('cache.log') })
await caches.cache.start()
const rolOf = (request: Request) => request.headers.get('x-rol')
await serve(estadisticas(caches, rolOf), Number(process.env['PORT'] ?? 3000))
