export type { Answer, AnswerState, AnswerTier } from './model/answer.ts'
export type { CacheEvent, CacheListener, WarmingCause } from './cache/cache-event.ts'
export type { WarmingReport } from './cache/warming.ts'
export type { ExplainedInvalidation, ExplainedState, Explanation } from './cache/explanation.ts'
export type { CacheStatistics, CacheStats } from './cache/statistics.ts'
export { createCache } from './engine/caches/create-cache.ts'
export type { CacheManager } from './engine/caches/create-cache.ts'
export { cached, postgres, redis } from './engine/caches/cache-options.ts'
export type {
  Cached,
  CachedOptions,
  CacheOptions,
  KindOptions,
  HitRateOptions,
  InvalidationOf,
  StoreOption,
  TermOptions,
  WarmOptions,
} from './engine/caches/cache-options.ts'
export type {
  Committing,
  Invalidates,
  InvalidatesOptions,
  Invalidating,
} from './engine/caches/invalidates.ts'
export type { OnWrite } from './engine/caches/table-writes.ts'
export type { RowPart, TableWrite } from './invalidate/table-write.ts'
export type { Kind, Load, PreparedEntry } from './engine/caches/kind.ts'
export type { QueryExplanation, QueryOptions } from './engine/caches/query.ts'
export type { Foreign, ForeignOptions } from './engine/caches/foreign.ts'
