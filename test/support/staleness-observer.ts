import { openDatabase, openSession } from '../../src/postgres/connection.ts'
import type { Database, Session } from '../../src/postgres/connection.ts'
import { tick } from '../../src/queue/tick.ts'
import { work } from '../../src/queue/work.ts'

/** A commit as its writer saw it: it became visible between these two instants. */
interface KnownCommit {
  readonly sentAt: number
  readonly doneAt: number
}

/** One comparison of what Tidemark says with what the observer knows. Milliseconds. */
export interface Comparison {
  readonly reportedMs: number
  /** The truth lies between these two. */
  readonly truthMinMs: number
  readonly truthMaxMs: number
}

/** How an observation runs. */
export interface Observation {
  readonly databaseUrl: string
  readonly durationMs: number
  readonly writesPerSecond: number
  /** Time between two looks of the engine. */
  readonly pollMs: number
  /** A transaction that writes one row at the start and commits after this long; null for none. */
  readonly openForMs: number | null
}

/** What an observation found. */
export interface Observed {
  readonly writes: number
  readonly comparisons: readonly Comparison[]
  /** Comparisons in which something was not reflected: only these can understate. */
  readonly stale: number
  readonly understated: number
  readonly overstatedMsMax: number
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Compares the staleness that Tidemark reports with the truth, while writers write.
 *
 * Needs a table `public.observed(id int)` captured and a view `public.seen` of `select id from
 * public.observed`, so that what is reflected can be read off the view. Both are read in one
 * snapshot with the freshness. Clocks are of one machine.
 */
export async function observeStaleness(observation: Observation): Promise<Observed> {
  const database = openDatabase(observation.databaseUrl, { connectionsMax: 6 })
  const ending = new AbortController()
  const commits = new Map<number, KnownCommit>()
  try {
    const loops = [
      repeat(ending.signal, observation.pollMs, () => tick(database)),
      repeat(ending.signal, observation.pollMs, () =>
        work(database, { worker: 'observer', groupsMax: 10, laneMax: 'background' }),
      ),
      ...[0, 1, 2, 3].map((writer) => write(observation, commits, writer, ending.signal)),
    ]
    if (observation.openForMs !== null) loops.push(holdOpen(observation, commits))
    const comparisons: Comparison[] = []
    const until = Date.now() + observation.durationMs
    while (Date.now() < until) {
      const comparison = await compare(database, commits)
      if (comparison !== null) comparisons.push(comparison)
      await pause(37)
    }
    ending.abort()
    await Promise.all(loops)
    return judged(commits.size, comparisons)
  } finally {
    ending.abort()
    await database.close()
  }
}

function judged(writes: number, comparisons: readonly Comparison[]): Observed {
  return {
    writes,
    comparisons,
    stale: comparisons.filter((c) => c.truthMinMs > 0).length,
    understated: comparisons.filter((c) => c.reportedMs < c.truthMinMs).length,
    overstatedMsMax: Math.max(0, ...comparisons.map((c) => c.reportedMs - c.truthMaxMs)),
  }
}

async function repeat(
  signal: AbortSignal,
  everyMs: number,
  body: () => Promise<unknown>,
): Promise<void> {
  for (;;) {
    if (signal.aborted) return
    await body()
    await pause(everyMs)
  }
}

async function write(
  observation: Observation,
  commits: Map<number, KnownCommit>,
  writer: number,
  signal: AbortSignal,
): Promise<void> {
  const session = await openSession(observation.databaseUrl)
  const everyMs = (4 * 1000) / observation.writesPerSecond
  let next = Date.now()
  for (let n = 0; ; n += 1) {
    if (signal.aborted) break
    await insert(session, commits, writer + 4 * n)
    next += everyMs
    await pause(Math.max(0, next - Date.now()))
  }
  await session.close()
}

async function insert(
  session: Session,
  commits: Map<number, KnownCommit>,
  id: number,
): Promise<void> {
  await session.query('begin')
  await session.query('insert into public.observed values ($1)', [id])
  const sentAt = Date.now()
  await session.query('commit')
  commits.set(id, { sentAt, doneAt: Date.now() })
}

async function holdOpen(
  observation: Observation,
  commits: Map<number, KnownCommit>,
): Promise<void> {
  const session = await openSession(observation.databaseUrl)
  await session.query('begin')
  await session.query('insert into public.observed values (-1)')
  await pause(observation.openForMs ?? 0)
  const sentAt = Date.now()
  await session.query('commit')
  commits.set(-1, { sentAt, doneAt: Date.now() })
  await session.close()
}

/** Null when the view is not populated yet. */
async function compare(
  database: Database,
  commits: ReadonlyMap<number, KnownCommit>,
): Promise<Comparison | null> {
  const before = Date.now()
  const { missing, reported, state } = await database.transaction(
    async (transaction) => {
      // One snapshot for all three: what is committed, what the view reflects, what Tidemark says.
      const unseen = await transaction.query<{ id: number }>(
        'select id from public.observed except select id from public.seen',
      )
      const [freshness] = await transaction.query<{ state: string; staleness_ms: number | null }>(
        'select state, staleness_ms from tidemark.freshness_of()',
      )
      return {
        missing: unseen.map((row) => row.id),
        reported: freshness?.staleness_ms ?? null,
        state: freshness?.state,
      }
    },
    { isolation: 'repeatable read' },
  )
  const after = Date.now()
  if (state === 'never_populated' || reported === null) return null
  // A commit whose writer has not heard yet: visible since at most now.
  await pause(5)
  const known = missing.map((id) => commits.get(id) ?? { sentAt: before, doneAt: after })
  if (known.length === 0) return { reportedMs: reported, truthMinMs: 0, truthMaxMs: after - before }
  return {
    reportedMs: reported,
    truthMinMs: before - Math.min(...known.map((commit) => commit.doneAt)),
    truthMaxMs: after - Math.min(...known.map((commit) => commit.sentAt)),
  }
}
