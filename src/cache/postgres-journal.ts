import { must } from '../base/assert.ts'
import type { Timing } from '../base/timing.ts'
import { passing } from '../base/timing.ts'
import { TidemarkError } from '../model/errors.ts'
import type {
  EntryKey,
  Invalidation,
  InvalidationRequest,
  News,
  Position,
  Tag,
  Verb,
} from '../model/invalidation.ts'
import { listen, openDatabase } from '../postgres/connection.ts'
import { journalFault } from './cache-errors.ts'
import type { Journal } from './journal.ts'

/** How the journal in a database is read. */
export interface PostgresJournalOptions {
  readonly url: string
  /** Nodes answer from memory for this long after a look; all nodes of a namespace agree on it. */
  readonly maxLagMs: number
  readonly timing: Timing
  /** What the kinds of the cache depend on: what the journal does not tell of, nobody would ever hear of. */
  readonly wanted: () => readonly WantedRule[]
}

/** Rows of a source that entries depend on, told apart by columns; by none, if any change counts. */
export interface WantedRule {
  readonly source: string
  readonly columns: readonly string[]
}

/** What `tidemark.poll_invalidations` answers; docs/caches-in-the-database.md tells what each part means. */
interface PollRow {
  readonly epoch: string
  readonly position: Position
  readonly complete: boolean
  readonly more: boolean
  readonly snapshot: string
  readonly problem: string | null
  readonly invalidations: readonly (readonly [
    position: Position,
    kind: 'tag' | 'key',
    name: string,
    verb: Verb,
    firstXid: string,
    lastXid: string,
  ])[]
  /** What is told of which source; null: as before. */
  readonly rules: DeclaredRules | null
}

type DeclaredRules = Readonly<Record<string, readonly (readonly string[])[]>>

/** One look, one append and no queue behind them: who waits longer than a look may take, has failed. */
const connectionsMax = 4
const answerWithinMs = 10_000

/**
 * The journal of a namespace in PostgreSQL: committed changes of the tables and views that it depends on, and what code asks for.
 *
 * A look rejects while some of them are not captured: what they changed is then told by nobody. Nodes are not asked
 * what they have taken in: an invalidation is settled when `maxLagMs` have passed, in which each has looked again or may no longer
 * answer from memory.
 */
export function postgresJournal(
  namespace: string,
  { url, maxLagMs, timing, wanted }: PostgresJournalOptions,
): Journal {
  const database = openDatabase(url, { connectionsMax, answerWithinMs })
  const listeners = new Set<() => void>()
  const ended = new AbortController()
  let listening: Promise<void> | undefined
  let epoch: string | null = null
  let declared: DeclaredRules = {}
  const ask = <Row extends object>(text: string, values: readonly unknown[]): Promise<Row[]> =>
    database.query<Row>(text, values).catch((error: unknown) => {
      throw journalFault(error, namespace)
    })
  const poll = async (since: Position | null): Promise<PollRow> => {
    const [row] = await ask<PollRow>(
      `select epoch, position, complete, more, snapshot::text as snapshot, problem, invalidations, rules
       from tidemark.poll_invalidations($1, $2, $3)`,
      [namespace, since, since === null ? null : epoch],
    )
    const found = must(row, 'a poll answers one row')
    declared = found.rules ?? declared
    return found
  }
  return {
    async look(since) {
      let row = await poll(since)
      const invalidations = [...row.invalidations]
      const complete = row.complete
      while (row.more) {
        row = await poll(row.position)
        // Forgotten between two answers: what came before it does not matter then.
        if (!row.complete) return newsOf({ ...row, more: false }, [])
        invalidations.push(...row.invalidations)
      }
      if (row.problem !== null) throw blind(namespace, row.problem)
      const lacking = wanted().filter((rule) => !isDeclared(rule, declared))
      if (lacking.length > 0) throw undeclared(namespace, lacking)
      epoch = row.epoch
      return newsOf({ ...row, complete }, invalidations)
    },
    hearsBack: false,
    async append({ verb, tags, keys }: InvalidationRequest) {
      await ask('select tidemark.invalidate($1, $2, $3, $4)', [namespace, tags, verb, keys])
      // Whoever is told this position is told of the above.
      return (await poll(null)).position
    },
    settled: () => passing(timing, maxLagMs),
    async snapshot() {
      const [row] = await database.query<{ snapshot: string }>(
        'select pg_current_snapshot()::text as snapshot',
      )
      return row?.snapshot ?? null
    },
    onHint(listener) {
      listeners.add(listener)
      listening ??= listen({
        url,
        channel: `tidemark_${namespace}`,
        signal: ended.signal,
        onNotify() {
          for (const each of listeners) each()
        },
      })
      return () => void listeners.delete(listener)
    },
    async close() {
      ended.abort()
      await Promise.all([listening, database.close()])
    },
  }
}

const newsOf = (row: PollRow, invalidations: PollRow['invalidations']): News => ({
  position: row.position,
  epoch: row.epoch,
  complete: row.complete,
  invalidations: invalidations.map(invalidationOf),
  snapshot: row.snapshot,
})

const invalidationOf = ([
  position,
  kind,
  name,
  verb,
  first,
  last,
]: PollRow['invalidations'][number]): Invalidation => ({
  position,
  verb,
  of: kind === 'tag' ? { kind, tag: name as Tag } : { kind, key: name as EntryKey },
  xids: { first, last },
})

const blind = (namespace: string, problem: string): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_BLIND',
    what: `Not every commit that concerns the cache ${namespace} is seen: ${problem}`,
    mend: `Look at it with 'tidemark doctor'; until then the cache loads what it is asked for.`,
  })

const isDeclared = ({ source, columns }: WantedRule, declared: DeclaredRules): boolean =>
  declared[source]?.some((rule) => rule.join() === columns.join()) ?? false

/** What a kind depends on and the configuration does not declare. */
export function undeclared(namespace: string, lacking: readonly WantedRule[]): TidemarkError {
  const lists = new Map<string, string[]>()
  for (const { source, columns } of lacking) {
    const list = `[${columns.map((column) => `'${column}'`).join(', ')}]`
    lists.set(source, [...new Set([...(lists.get(source) ?? []), list])])
  }
  const words = lacking.map(({ source, columns }) =>
    columns.length === 0 ? `${source} as a whole` : `${source} by ${columns.join(', ')}`,
  )
  const lines = [...lists].map(([source, rules]) => `'${source}': [${rules.join(', ')}]`).join(', ')
  return new TidemarkError({
    code: 'TIDEMARK_CACHE_BLIND',
    what: `The database does not tell the cache ${namespace} of ${[...new Set(words)].join('; of ')}.`,
    mend: `Add to the lists that stand in the configuration: caches: { ${namespace}: { dependsOn: { ${lines} } } }, and run 'tidemark apply'.`,
  })
}
