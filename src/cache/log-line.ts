import type { CacheEvent } from './cache-event.ts'

/** A line for a log file, and how loud it is. */
export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

/** What a log file says of an event; null for what it leaves out. */
export function logLine(event: CacheEvent): LogLine | null {
  switch (event.event) {
    case 'answered':
      return answeredLine(event)
    case 'loaded':
      return event.stored
        ? { level: 'info', text: `Cache set: ${event.key} (TTL ${event.ttlMs / 1_000} s)` }
        : { level: 'info', text: `Cache not set: ${event.key} (invalidated while it was loaded)` }
    case 'load_failed':
      return { level: 'error', text: `Cache load failed: ${event.key}: ${String(event.error)}` }
    case 'hit_rate': {
      const { kind, low, rate, min, answers } = event
      const percent = (share: number): string => `${Math.round(share * 100)} %`
      const counts = `${percent(rate)} of ${answers} answers, bound ${percent(min)}`
      return low
        ? { level: 'warn', text: `Cache hit rate low: ${kind} (${counts})` }
        : { level: 'info', text: `Cache hit rate back: ${kind} (${counts})` }
    }
    case 'warming':
      return warmingLine(event)
    case 'invalidated': {
      const what = [...event.keys, ...event.tags.map(told)].join(', ')
      return {
        level: 'info',
        text: `Invalidated cache ${event.verb === 'expire' ? '(expired) ' : ''}${what}`,
      }
    }
    case 'invalidation_failed':
      return { level: 'error', text: `Cache invalidation: ${String(event.error)}` }
    case 'foreign_deleted':
      return { level: 'info', text: `Deleted foreign keys ${event.glob ?? event.keys.join(', ')}` }
    case 'flushed':
      return { level: 'warn', text: 'Cache flushed: what was invalidated meanwhile cannot be told' }
    case 'unreachable': {
      const why = event.error instanceof Error ? `: ${event.error.message}` : ''
      return { level: 'error', text: `Cache ${event.what} does not answer${why}` }
    }
  }
}

function answeredLine({ key, state }: CacheEvent & { readonly event: 'answered' }): LogLine {
  switch (state) {
    case 'hit':
      return { level: 'info', text: `Cache hit: ${key}` }
    case 'miss':
      return { level: 'warn', text: `Cache miss: ${key}` }
    case 'stale':
      return { level: 'warn', text: `Cache stale: ${key}` }
    case 'fallback':
      return { level: 'error', text: `Cache fallback: ${key}` }
  }
}

function warmingLine(event: CacheEvent & { readonly event: 'warming' }): LogLine | null {
  const { kind, why, progress, loaded, ready, failed, complete, ms, error } = event
  if (progress === 'began') return null
  const reason = error instanceof Error ? `: ${error.message}` : ''
  if (progress === 'skipped') {
    return { level: 'info', text: `Cache not warmed: ${kind}${reason || ': another node does it'}` }
  }
  const counts = `${loaded} loaded, ${ready} ready, ${failed} failed, ${Math.round(ms)} ms`
  const going = progress === 'going' ? 'Cache is being warmed' : 'Cache warmed'
  const cut = complete ? '' : ', not all'
  return {
    level: failed > 0 || !complete ? 'warn' : 'info',
    text: `${going}: ${kind} at ${why} (${counts}${cut})${reason}`,
  }
}

/** A tag as its pattern, where it is one. */
function told(tag: string): string {
  if (tag === 'all') return 'pattern: *'
  return tag.startsWith('key:') ? `pattern: ${tag.slice('key:'.length)}:*` : `tag: ${tag}`
}
