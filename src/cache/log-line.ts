import type { TagName } from '../model/tag-name.ts'
import { tagName } from '../model/tag-name.ts'
import type { CacheEvent, NotStored } from './cache-event.ts'

/** A line for a log file, and how loud it is. */
export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
}

/** So many names of one kind are a line each, or stand in one; of more only the number is told. */
const namesMax = 20

/** What a log file says of an event; nothing of what it leaves out. */
function logLines(event: CacheEvent): readonly LogLine[] {
  if (event.event === 'invalidated') return invalidatedLines(event)
  const line = logLine(event)
  return line === null ? [] : [line]
}

/** A failure that lasts is told so often, not by each look: with a short `maxLag` there are twenty a second. */
const repeatMs = 5_000

/** {@link logLines}, of which those of one failure that lasts are told once in a while. */
export function sparingLogLines(now: () => number): (event: CacheEvent) => readonly LogLine[] {
  const last = new Map<string, { readonly text: string; readonly at: number }>()
  return (event) => {
    const lines = logLines(event)
    if (event.event !== 'unreachable') return lines
    const at = now()
    const text = lines.map((line) => line.text).join()
    const before = last.get(event.what)
    if (before?.text === text && at - before.at < repeatMs) return []
    last.set(event.what, { text, at })
    return lines
  }
}

function logLine(event: Exclude<CacheEvent, { readonly event: 'invalidated' }>): LogLine | null {
  switch (event.event) {
    case 'answered':
      return answeredLine(event)
    case 'loaded':
      return loadedLine(event)
    case 'not_shared':
      return { level: 'warn', text: `Cache not shared: ${event.key} (${event.part})` }
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
    case 'depends_on_all': {
      const { kind, source } = event
      return {
        level: 'info',
        text: `Cache kind ${kind}: any change of ${source} invalidates it all`,
      }
    }
    case 'invalidation_failed':
      return { level: 'error', text: `Cache invalidation: ${String(event.error)}` }
    case 'foreign_deleted':
      return { level: 'info', text: `Deleted foreign keys ${event.glob ?? event.keys.join(', ')}` }
    case 'foreign_waits': {
      const { of, ms } = event
      const seconds = Math.round(ms / 1_000)
      return {
        level: 'warn',
        text: `Foreign keys wait: another node has been at work for ${seconds} s (${of})`,
      }
    }
    case 'flushed':
      return { level: 'warn', text: 'Cache flushed: what was invalidated meanwhile cannot be told' }
    case 'unreachable': {
      const why = event.error instanceof Error ? `: ${event.error.message}` : ''
      return { level: 'error', text: `Cache ${event.what} does not answer${why}` }
    }
  }
}

const notStored: Readonly<Record<NotStored, string>> = {
  invalidated: 'invalidated while it was loaded',
  overtaken: 'another load of it came first',
  skipped: 'its load or its kind does not keep it',
  undated: 'loaded while the journal tells nothing',
}

function loadedLine(event: CacheEvent & { readonly event: 'loaded' }): LogLine {
  const text =
    event.notStored === null
      ? `Cache set: ${event.key} (TTL ${event.ttlMs / 1_000} s)`
      : `Cache not set: ${event.key} (${notStored[event.notStored]})`
  return { level: 'info', text }
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

/** Patterns and keys are what somebody looks for in a log: a line each. Tags come by the hundred, from tables. */
function invalidatedLines(event: CacheEvent & { readonly event: 'invalidated' }): LogLine[] {
  const named = event.tags.map(tagName)
  const of = (what: TagName['what']): string[] =>
    named.filter((each) => each.what === what).map(({ name }) => name)
  const line = (text: string): LogLine => ({
    level: 'info',
    text: `Invalidated cache ${event.verb === 'expire' ? '(expired) ' : ''}${text}`,
  })
  const tags = of('tag')
  return [
    ...shortened(of('pattern')).map((pattern) => line(`pattern: ${pattern}`)),
    ...shortened(of('tenant')).map((tenant) => line(`tenant: ${tenant}`)),
    ...(tags.length === 0 ? [] : [line(`tag: ${shortened(tags).join(', ')}`)]),
    ...shortened(event.keys).map(line),
  ]
}

const shortened = (names: readonly string[]): readonly string[] =>
  names.length <= namesMax
    ? names
    : [...names.slice(0, namesMax), `and ${names.length - namesMax} more`]
