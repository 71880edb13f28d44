/**
 * The faults that a caller can mend, by code. `docs/errors.md` lists the same codes; a test holds
 * both equal in both directions. A fault of Tidemark itself is an `assert`, not an entry here.
 */
export const errorCatalogue = {
  TIDEMARK_CONFIG_NOT_FOUND: 'No configuration file was found.',
  TIDEMARK_CONFIG_INVALID: 'The configuration has a value that Tidemark cannot use.',
  TIDEMARK_CONFIG_UNREADABLE: 'The configuration file could not be loaded.',
  TIDEMARK_VARIABLE_MISSING: 'An environment variable that the configuration reads is not set.',
  TIDEMARK_DATABASE_URL_MISSING: 'No database was named.',
  TIDEMARK_DATABASE_UNREACHABLE: 'The database did not answer.',
  TIDEMARK_DATABASE_REFUSED: 'The database refused the connection.',
  TIDEMARK_DATABASE_TOO_OLD: 'The server is older than PostgreSQL 14.',
  TIDEMARK_NOT_INSTALLED: 'The database has no Tidemark schema.',
  TIDEMARK_SCHEMA_NEWER: 'The schema in the database is newer than this program.',
  TIDEMARK_SCHEMA_OLDER: 'The schema in the database is older than this program.',
  TIDEMARK_SCHEMA_CHANGED: 'A migration that was applied differs from the one shipped.',
  TIDEMARK_PRIVILEGE_MISSING: 'The role lacks a privilege that this step needs.',
  TIDEMARK_RELATION_UNKNOWN: 'No such table or view.',
  TIDEMARK_RELATION_UNSUPPORTED: 'This kind of relation cannot be used here.',
  TIDEMARK_VIEW_UNKNOWN: 'No view of this name is declared.',
  TIDEMARK_SCHEDULE_UNKNOWN: 'No schedule of this name or number exists.',
  TIDEMARK_RUN_UNKNOWN: 'No run has this number, or it has ended.',
  TIDEMARK_SQL_INVALID: 'PostgreSQL does not accept this SQL.',
  TIDEMARK_SQL_NOT_A_QUERY: 'The SQL of a view, or of a cached query, must be one SELECT.',
  TIDEMARK_EVENT_CONDITION_REFUSED: 'This condition could fail inside a writer.',
  TIDEMARK_CRON_INVALID: 'This is not a cron expression that ever fires.',
  TIDEMARK_ZONE_UNKNOWN: 'No such time zone.',
  TIDEMARK_VIEW_CYCLE: 'The views depend on one another in a circle.',
  TIDEMARK_NAME_TAKEN: 'The name is taken by something that Tidemark does not manage.',
  TIDEMARK_KEY_NOT_UNIQUE: 'The declared key of a view is not unique in its result.',
  TIDEMARK_TABLE_UNWRITABLE: 'A refresh could not write the table that a view is.',
  TIDEMARK_ROW_SECURITY: 'Row-level security hides rows from the role that computes the view.',
  TIDEMARK_NOT_INCREMENTAL: 'The view cannot be maintained incrementally.',
  TIDEMARK_NOT_PARTITIONED: 'The view cannot be maintained partition by partition.',
  TIDEMARK_CACHE_UNKNOWN: 'No cache of this name is declared.',
  TIDEMARK_CACHE_BLIND: 'Commits that concern a cache are not seen at present.',
  TIDEMARK_CACHE_KEY_INVALID: 'A cache cannot tell changes apart by this column.',
  TIDEMARK_CACHE_RULE_INVALID: 'A rule of a cache table does not fit its tables.',
  TIDEMARK_CACHE_QUERY_REFUSED:
    'The result of this query may change without a commit that a cache is told of.',
  TIDEMARK_FILL_UNFENCED: 'A row of a cache table was written without a fill.',
  TIDEMARK_PLAN_STALE: 'The database has changed since this plan was made.',
  TIDEMARK_PLAN_INVALID: 'This file is not a plan of this version.',
  TIDEMARK_DESTRUCTIVE_REFUSED: 'The plan would drop what a user owns.',
  TIDEMARK_APPLY_FAILED: 'A step of the plan failed.',
  TIDEMARK_LOCK_TIMEOUT: 'A lock was not granted in time.',
  TIDEMARK_STANDBY: 'The server is a standby and cannot be written.',
  TIDEMARK_DATABASE_COPIED: 'The database was copied, restored or promoted since it was set up.',
  TIDEMARK_VIEW_PAUSED: 'The view is paused.',
  TIDEMARK_REFRESH_FORBIDDEN: 'The role may not refresh this view by hand.',
  TIDEMARK_REFRESH_LIMITED: 'The hourly limit of manual refreshes is used up.',
  TIDEMARK_REFRESH_FAILED: 'The refresh ran and failed.',
  TIDEMARK_NOT_TOP_LEVEL: 'The procedure was called inside a transaction.',
  TIDEMARK_PORT_TAKEN: 'The port is used by another program.',
  TIDEMARK_FOLDER_TAKEN: 'The data folder belongs to a server that runs, or to something else.',
  TIDEMARK_EMBEDDED_FAILED: 'The embedded PostgreSQL did not start.',
  TIDEMARK_HTTP_UNAUTHORIZED: 'The request does not bear the secret.',
  TIDEMARK_HTTP_FAILED: 'A request could not be answered, by a fault that has no code of its own.',
  TIDEMARK_CACHE_TIMEOUT: 'What was asked of a cache did not come in time.',
  TIDEMARK_CACHE_LOAD_FAILED: 'A load of a cache that other processes waited for failed.',
  TIDEMARK_CACHE_INVALID: 'A cache was declared or called in a way that cannot work.',
  TIDEMARK_CACHE_UNREACHABLE: 'What the nodes of a cache share does not answer.',
  TIDEMARK_USAGE: 'The command line has a word that it cannot use.',
} as const

/** The code of a fault that a caller can mend. Stable: users match on it. */
export type ErrorCode = keyof typeof errorCatalogue

/** What a {@link TidemarkError} is made of. */
export interface Fault {
  readonly code: ErrorCode
  /** What is so, in one sentence, naming the thing. */
  readonly what: string
  /** What the reader can do about it, in one sentence; a command or a line to write, if there is one. */
  readonly mend: string
  /** Where: a path in the configuration, a place in the SQL, a file. */
  readonly place?: string
  readonly cause?: unknown
  /** Further faults found in the same look; each is told on a line of its own. */
  readonly also?: readonly Fault[]
}

/** A fault in one line: what is so, where, the code, the mend. */
function sentence(fault: Fault): string {
  const at = fault.place === undefined ? '' : ` at ${fault.place}`
  return `${fault.what.replace(/\.$/, '')}${at} (${fault.code}). ${fault.mend}`
}

/**
 * A fault that the caller can mend. The message holds what is so, the code and the mend, in this
 * order, so that a log line alone is enough. Never carries a password: causes are kept, not printed.
 */
export class TidemarkError extends Error {
  readonly code: ErrorCode
  readonly what: string
  readonly mend: string
  readonly place: string | undefined
  readonly also: readonly Fault[]

  constructor(fault: Fault) {
    const faults = [fault, ...(fault.also ?? [])]
    super(faults.map(sentence).join('\n'), { cause: fault.cause })
    this.name = 'TidemarkError'
    this.code = fault.code
    this.what = fault.what
    this.mend = fault.mend
    this.place = fault.place
    this.also = fault.also ?? []
  }
}

const isCode = (text: string): text is ErrorCode => text in errorCatalogue

/**
 * What a reader can mend, of an error: of our own, or one that the functions in the database raised with its code in the words.
 * Null for an error that nobody expected.
 */
export function faultIn(error: unknown): Fault | null {
  if (error instanceof TidemarkError) {
    const { code, what, mend, place, also } = error
    return { code, what, mend, also, ...(place === undefined ? {} : { place }) }
  }
  if (!(error instanceof Error)) return null
  const [, what = '', code = '', mend = ''] =
    /^([^]*?)\s*\((TIDEMARK_[A-Z_]+)\)[.:]?\s*([^]*)$/.exec(error.message) ?? []
  if (!isCode(code)) return null
  const hint: unknown = Reflect.get(error, 'hint')
  const told = mend === '' && typeof hint === 'string' ? hint : mend
  return { code, what, mend: told === '' ? errorCatalogue[code] : told }
}
