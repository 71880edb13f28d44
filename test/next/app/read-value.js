/* global fetch */
import { cacheLife, cacheTag } from 'next/cache'

export async function readValue() {
  'use cache'
  cacheTag('value')
  cacheLife({ stale: 600, revalidate: 1800, expire: 3600 })
  const response = await fetch(process.env.SOURCE_URL)
  return response.text()
}
