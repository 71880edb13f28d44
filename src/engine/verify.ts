import { pause } from '../base/clock.ts'
import { faultIn, TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import { viewNames } from '../model/names.ts'
import { compositeFields } from '../postgres/composite.ts'
import type { Database, Queryable, Session } from '../postgres/connection.ts'
import { identifier, qualified } from '../postgres/identifier.ts'
import { connectionLost, retrySoon, sqlstateOf } from '../postgres/sqlstate.ts'

/** What a view and its query, run afresh at the same snapshot, have to do with one another. */
export interface Verified {
  readonly view: RelationName
  /** `unfilled`: there is nothing to compare, for the view was never refreshed. */
  readonly outcome: 'equal' | 'differs' | 'unfilled'
  /** `exact`: the query with everything chosen that SQL leaves open; `source`: the query as it stands. */
  readonly comparedWith: 'exact' | 'source'
  /** Rows of the view. */
  readonly rows: number
  /** Rows of the query that the view has not, and rows of the view that the query has not. */
  readonly missing: number
  readonly surplus: number
  readonly columns: readonly string[]
  readonly firstMissing: readonly DifferingRow[]
  readonly firstSurplus: readonly DifferingRow[]
  /** It was refreshed first, in the same transaction. */
  readonly refreshed: boolean
  /** Commits since the last refresh count as differences; why they had to. Null: they do not. */
  readonly commitsCount: string | null
  /** The view was marked, so that its next refresh computes it afresh. */
  readonly marked: boolean
  readonly timeDependent: boolean
}

/** The values of a row as text, in the order of the columns. */
export type DifferingRow = readonly (string | null)[]

/** Rows of either side that are shown. */
const shownMax = 5
const attemptsMax = 150
const againAfterMs = 200

/**
 * Compares a view with its query at one snapshot.
 *
 * Guarantees: nothing is a difference that a commit since the last refresh explains, unless `commitsCount` says so: a
 * view that does not reflect every commit is refreshed in the transaction that compares. Readers and writers are not
 * blocked. A difference that no commit explains marks the view, as one that a refresh finds does: its state is
 * `unknown`, and its next refresh computes it afresh.
 * Throws what a refresh throws, `TIDEMARK_REFRESH_FAILED` too where its query cannot be run, and
 * `TIDEMARK_PRIVILEGE_MISSING`.
 */
export async function verifyView(database: Database, view: RelationName): Promise<Verified> {
  try {
    return await verifiedNow(database, view)
  } catch (error) {
    const state = sqlstateOf(error)
    if (faultIn(error) !== null || state === undefined || connectionLost.includes(state))
      throw error
    throw new TidemarkError({
      code: 'TIDEMARK_REFRESH_FAILED',
      what: `The query of ${view} could not be run to compare with: ${error instanceof Error ? error.message : String(error)}`,
      mend: `A refresh fails alike: 'tidemark why ${view}' tells more.`,
      cause: error,
    })
  }
}

function verifiedNow(database: Database, view: RelationName): Promise<Verified> {
  return database.session(async (session) => {
    const facts = await factsOf(session, view)
    const asItIs = await comparedAsItIs(session, facts, null)
    if (asItIs !== null) return asItIs
    const refusal = await refusalOr(session, facts)
    if (typeof refusal !== 'string') return refusal
    const compared = await comparedAsItIs(session, facts, refusal)
    if (compared !== null) return compared
    throw new Error('a comparison without a condition was made')
  })
}

interface ViewFacts {
  readonly view: RelationName
  readonly state: string
  readonly maintain: string
  readonly timeDependent: boolean
  /** The view of the query, qualified and quoted. */
  readonly query: string
  readonly comparedWith: Verified['comparedWith']
  readonly columns: readonly string[]
}

async function factsOf(session: Queryable, view: RelationName): Promise<ViewFacts> {
  const exact = qualified('tidemark_state', viewNames.exact(view))
  const source = qualified('tidemark_state', viewNames.fallback(view))
  const [row] = await session.query<{
    state: string
    maintain: string
    time_dependent: boolean
    has_exact: boolean
    columns: readonly string[]
  }>(
    `select v.state, v.maintain, v.time_dependent, to_regclass($2) is not null as has_exact,
            array(select a.attname::text from pg_attribute a
                   where a.attrelid = coalesce(to_regclass($2), to_regclass($3))
                     and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns
       from tidemark.view v where v.name = $1`,
    [view, exact, source],
  )
  if (row === undefined || row.columns.length === 0) {
    throw new TidemarkError({
      code: 'TIDEMARK_RELATION_UNKNOWN',
      what: `The query of ${view} is not there to compare with: ${source} was dropped`,
      mend: "Run 'tidemark apply': it makes it again.",
    })
  }
  return {
    view,
    state: row.state,
    maintain: row.maintain,
    timeDependent: row.time_dependent,
    query: row.has_exact ? exact : source,
    comparedWith: row.has_exact ? 'exact' : 'source',
    columns: row.columns,
  }
}

/**
 * Compares what is stored with the query, where the view reflects every commit that the snapshot shows, or where
 * `commitsCount` says why it does not matter. Null: a refresh has to come first.
 */
function comparedAsItIs(
  session: Session,
  facts: ViewFacts,
  commitsCount: string | null,
): Promise<Verified | null> {
  return inSnapshot(session, async (transaction) => {
    // Before there is a snapshot, and with everything that the query reads: a table that was truncated after the
    // snapshot was taken would be empty.
    await transaction.query(`lock table ${facts.query}, ${facts.state} in access share mode`)
    const [row] = await transaction.query<{ populated: boolean; reflects: boolean }>(
      `select coalesce((select populated from tidemark.view_state where view = $1), false) as populated,
              case when has_function_privilege('tidemark.nothing_changed(text)', 'execute')
                   then tidemark.nothing_changed($1) else false end as reflects`,
      [facts.view],
    )
    if (row?.reflects !== true && commitsCount === null) return null
    if (row?.populated !== true) return unfilled(facts, commitsCount)
    const compared = await compare(transaction, facts)
    const counted = row.reflects ? null : commitsCount
    const marked = counted === null && (await mark(transaction, facts, compared))
    return { ...verified(facts, compared), commitsCount: counted, marked }
  })
}

/** Refuses only where a refresh by hand is refused; why, in a sentence. */
async function refusalOr(session: Session, facts: ViewFacts): Promise<Verified | string> {
  for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
    try {
      const result = await refreshedAndCompared(session, facts)
      if (result !== null) return result
    } catch (error) {
      const refusal = refusalIn(error)
      if (refusal !== null) return refusal
      throw error
    }
    await pause(againAfterMs, new AbortController().signal)
  }
  return 'somebody else refreshes it all the time'
}

const refusals =
  /\((TIDEMARK_(?:VIEW_PAUSED|REFRESH_FORBIDDEN|REFRESH_LIMITED|DATABASE_COPIED|PRIVILEGE_MISSING|STANDBY))\)/

function refusalIn(error: unknown): string | null {
  if (!(error instanceof Error) || !refusals.test(error.message)) return null
  const [first = ''] = error.message.split(/\s*\(TIDEMARK_/)
  return first
}

/** A refresh and the comparison in one transaction; null when somebody else is at it, or was faster. */
async function refreshedAndCompared(session: Session, facts: ViewFacts): Promise<Verified | null> {
  const [request] = await session.query<{ id: string | null; token: string | null }>(
    `select request_id::text as id, token::text
       from tidemark.claim_manual($1, 'verify', $2, session_user)`,
    [facts.view, `tidemark verify, process ${String(process.pid)}`],
  )
  const { id, token } = request ?? {}
  if (id === null || id === undefined) return null
  try {
    const result = await inSnapshot(session, async (transaction) => {
      await transaction.query('select tidemark.perform($1::bigint, $2::bigint)', [id, token])
      const compared = await compare(transaction, facts)
      const marked = await mark(transaction, facts, compared)
      return { ...verified(facts, compared), refreshed: true, marked }
    })
    await settle(session, { id, token, state: null, message: null })
    return result
  } catch (error) {
    const state = sqlstateOf(error) ?? 'XX000'
    const message = error instanceof Error ? error.message : String(error)
    await settle(session, { id, token, state, message })
    if (retrySoon.includes(state)) return null
    throw new TidemarkError({
      code: 'TIDEMARK_REFRESH_FAILED',
      what: `The refresh of ${facts.view} that comes before the comparison failed: ${message}`,
      mend: `'tidemark history ${facts.view} --failed' tells more.`,
      cause: error,
    })
  }
}

interface Settling {
  readonly id: string
  readonly token: string | null | undefined
  readonly state: string | null
  readonly message: string | null
}

async function settle(session: Queryable, { id, token, state, message }: Settling): Promise<void> {
  await session.query('select tidemark.settle($1::bigint, $2::bigint, $3, $4)', [
    id,
    token,
    state,
    message,
  ])
}

const inSnapshot = <Result>(
  session: Session,
  body: (transaction: Queryable) => Promise<Result>,
): Promise<Result> => session.transaction(body, { isolation: 'repeatable read' })

interface Compared {
  readonly rows: number
  readonly missing: number
  readonly surplus: number
  readonly firstMissing: readonly string[]
  readonly firstSurplus: readonly string[]
}

/** Counts rows by their text, as the checks of refreshes do, under the settings of the maintenance program. */
async function compare(transaction: Queryable, facts: ViewFacts): Promise<Compared> {
  await transaction.query(
    `select set_config(substring(setting from '^[^=]+'), substring(setting from '=(.*)$'), true)
       from pg_proc p, unnest(p.proconfig) as setting
      where p.oid = to_regprocedure($1 || '(boolean, pg_snapshot, timestamptz)')`,
    [facts.maintain],
  )
  const image = `row(${facts.columns.map((name) => `r.${identifier(name)}`).join(', ')})::text collate "C"`
  const first = (sign: '>' | '<'): string =>
    `array(select image from balances where balance ${sign} 0 order by image limit ${String(shownMax)})`
  const [compared] = await transaction.query<Compared>(
    `with balances as materialized (
       select image, sum(side) as balance
       from (
         select ${image} as image, 1 as side from ${facts.query} as r
         union all
         select ${image}, -1 from ${facts.state} as r
       ) as sides
       group by image
       having sum(side) <> 0
     )
     select (select count(*) from ${facts.state}) as rows,
            (select coalesce(sum(balance), 0)::bigint from balances where balance > 0) as missing,
            (select coalesce(-sum(balance), 0)::bigint from balances where balance < 0) as surplus,
            ${first('>')} as "firstMissing", ${first('<')} as "firstSurplus"`,
  )
  if (compared === undefined) throw new Error('a count gives a row')
  return compared
}

/** What no commit explains is told to whoever looks, and mended by the next refresh. */
async function mark(
  transaction: Queryable,
  { view, timeDependent }: ViewFacts,
  { missing, surplus }: Compared,
): Promise<boolean> {
  if (missing + surplus === 0 || timeDependent) return false
  await transaction.query('savepoint mark')
  try {
    await transaction.query(
      `update tidemark.view_state set let_go_reason = format('verification_failed: %s rows differ from the query', $2::bigint)
        where view = $1`,
      [view, missing + surplus],
    )
    return true
  } catch {
    // The role may not, or a refresh is at it: the answer is the same.
    await transaction.query('rollback to savepoint mark')
    return false
  }
}

const unfilled = (facts: ViewFacts, commitsCount: string | null): Verified => ({
  ...verified(facts, { rows: 0, missing: 0, surplus: 0, firstMissing: [], firstSurplus: [] }),
  outcome: 'unfilled',
  commitsCount,
})

function verified(facts: ViewFacts, compared: Compared): Verified {
  const { view, comparedWith, columns, timeDependent } = facts
  return {
    view,
    outcome: compared.missing + compared.surplus === 0 ? 'equal' : 'differs',
    comparedWith,
    rows: compared.rows,
    missing: compared.missing,
    surplus: compared.surplus,
    columns,
    firstMissing: compared.firstMissing.map((image) => compositeFields(image)),
    firstSurplus: compared.firstSurplus.map((image) => compositeFields(image)),
    refreshed: false,
    commitsCount: null,
    marked: false,
    timeDependent,
  }
}
