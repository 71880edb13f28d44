import { fileURLToPath } from 'node:url'

export default {
  cacheComponents: true,
  partialPrefetching: true,
  distDir: 'node_modules/.app',
  turbopack: { root: fileURLToPath(new URL('.', import.meta.url)) },
  cacheHandler: fileURLToPath(new URL('isr-handler.mjs', import.meta.url)),
  cacheHandlers: { default: fileURLToPath(new URL('cache-handler.mjs', import.meta.url)) },
  experimental: { turbopackFileSystemCacheForBuild: false },
}
