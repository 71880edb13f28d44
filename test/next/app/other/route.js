/* global Response */
import { connection } from 'next/server'
import { readValue } from '../read-value.js'

export async function GET() {
  await connection()
  return new Response(await readValue())
}
