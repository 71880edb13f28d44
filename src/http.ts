export { cacheCleaner } from './engine/http/cleaner.ts'
export type { CacheCleaner, CacheCleanerOptions } from './engine/http/cleaner.ts'
