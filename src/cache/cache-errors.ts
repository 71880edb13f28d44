import { faultIn, TidemarkError } from '../model/errors.ts'
import type { EntryKey } from '../model/invalidation.ts'
import type { LoadFailure } from './load-failure.ts'

/** No entry can be made ready while the journal does not answer. */
export const blind = (cause: unknown): TidemarkError =>
  unreachable('What was invalidated cannot be found out now, so no entry can be made ready.', {
    mend: 'See whether the store and the database answer.',
    cause,
  })

/** An invalidation holds here, and nobody else was told in time. */
export const untold = (cause: unknown): TidemarkError =>
  unreachable('The invalidation holds in this process; other nodes could not be told in time.', {
    mend: 'It is tried again in the background. See whether the store and the database answer.',
    cause,
  })

function unreachable(
  what: string,
  because: { readonly mend: string; readonly cause: unknown },
): TidemarkError {
  return new TidemarkError({ code: 'TIDEMARK_CACHE_UNREACHABLE', what, ...because })
}

/** The write of a token was not seen in time. */
export const unseen = (ms: number): TidemarkError =>
  late(
    `The write of the token could not be seen within ${Math.round(ms)} ms`,
    'Commit before the token is used, and give the token of this database.',
  )

/** Keys of another program were not deleted in time. */
export const undeleted = (of: string, ms: number): TidemarkError =>
  late(
    `What everything visible concerns (${of}) was not deleted within ${Math.round(ms)} ms`,
    'Another node is at work, or a server does not answer: it goes on in the background. See the events foreign_waits and unreachable.',
  )

/** Nothing came for an entry within the hard limit, and there is nothing older that may be served. */
export const tooLate = (key: EntryKey, hardMs: number): TidemarkError =>
  late(
    `Nothing came for '${key}' within ${Math.round(hardMs)} ms, and nothing older may be served.`,
    `Find out why the load takes so long, or raise 'hardTimeout' of this kind.`,
  )

/** The load that this process waited for failed in another one. `cause` is the name and code of that error. */
export const failedElsewhere = (key: EntryKey, { name, code }: LoadFailure): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_LOAD_FAILED',
    what: `The load of '${key}' failed in another process, with ${code === null ? name : `${name} ${code}`}.`,
    mend: `The event load_failed of that process has the error; who asks again loads anew. With 'shareFailures: false' each process loads for itself.`,
    cause: { name, code },
  })

/** An entry that was to be renewed or set was not there within the hard limit. */
export const unready = (key: EntryKey, hardMs: number): TidemarkError =>
  late(
    `The entry '${key}' could not be made ready within ${Math.round(hardMs)} ms.`,
    `Find out why the load takes so long, or raise 'hardTimeout' of this kind.`,
  )

/** What is asked for takes a connection that has ended. */
export const closed = (cause?: unknown): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: 'The cache is closed, and its connections have ended.',
    mend: 'Close it at the end, after whatever asks it or invalidates.',
    cause,
  })

/**
 * What the database said to a cache that asked its journal: that there is no such cache, or that the role may not ask, with what to do
 * about it; any other error as it was.
 */
export function journalFault(error: unknown, namespace: string): unknown {
  const fault = faultIn(error)
  const isForbidden = fault?.code === 'TIDEMARK_PRIVILEGE_MISSING'
  if (fault === null || (error instanceof TidemarkError && !isForbidden)) return error
  const mend = isForbidden
    ? `Name the role that the cache connects as in the configuration, caches: { ${namespace}: { roles: ['…'] } }, and run 'tidemark apply'.`
    : fault.mend
  return new TidemarkError({ ...fault, mend, cause: error })
}

function late(what: string, mend: string): TidemarkError {
  return new TidemarkError({ code: 'TIDEMARK_CACHE_TIMEOUT', what, mend })
}
