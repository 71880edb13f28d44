import { createHash } from 'node:crypto'
import type { Timing } from '../../base/timing.ts'
import { LateError, within } from '../../base/timing.ts'
import type { Cache } from '../../cache/cache.ts'
import type { EntryAddress, EntryRequest, EntryTerms, Loaded } from '../../cache/entry-request.ts'
import { closed, journalFault } from '../../cache/cache-errors.ts'
import { undeclared } from '../../cache/postgres-journal.ts'
import { queryReads } from '../../compile/query-reads.ts'
import { selectText } from '../../compile/syntax/parse.ts'
import type { QueryMeaning } from '../../define/understand-query.ts'
import { readVersions, understandQuery } from '../../define/understand-query.ts'
import type { DependentKind } from '../../invalidate/concerned.ts'
import type { SourceRule } from '../../invalidate/dependency.ts'
import { keyMaker } from '../../invalidate/entry-key.ts'
import { tagsOfKey } from '../../invalidate/pattern.ts'
import type { Dependences, ToldRules } from '../../invalidate/query-dependence.ts'
import {
  dependencesOf,
  dependenceText,
  ruleOf,
  tagsOfDependence,
} from '../../invalidate/query-dependence.ts'
import { namedTag } from '../../invalidate/tags.ts'
import type { Answer } from '../../model/answer.ts'
import type { ErrorCode } from '../../model/errors.ts'
import { TidemarkError } from '../../model/errors.ts'
import type { Tag } from '../../model/invalidation.ts'
import type { Database } from '../../postgres/connection.ts'
import { openDatabase } from '../../postgres/connection.ts'
import { parseToken } from '../../model/write-token.ts'
import type { TermOptions } from './cache-options.ts'
import { termOptions } from './cache-options.ts'
import { requireQuestion } from './requirements.ts'
import { requireKnown, termsOf } from './settings.ts'

/** How the result of a query is kept. One that asks the clock has to say its `ttl`. */
export interface QueryOptions extends TermOptions {
  /** Names by which results can be invalidated together. */
  readonly tags?: readonly string[]
  /** A token of a write that the result has to have; see `Kind.after`. */
  readonly after?: string
}

/** The names of {@link QueryOptions}. */
const queryOptions: readonly (keyof QueryOptions)[] = [...termOptions, 'tags', 'after']

/** What the result of a query depends on. */
export interface QueryExplanation {
  /** A line for each place at which a table or maintained view is read. */
  readonly dependsOn: readonly string[]
  /** What else the result hangs on, of which no commit tells. */
  readonly notes: readonly string[]
}

/** The kind that results of queries are counted under, and that patterns name them by. */
export const queryKind = 'query'

/** What {@link Queries} looks up. */
interface Question {
  readonly sql: string
  readonly values: readonly unknown[]
  readonly options: QueryOptions
}

/** Queries whose meaning is remembered, by their text. */
const plansMax = 1_000

/** What is known of a query. */
interface QueryPlan {
  readonly meaning: QueryMeaning
  readonly dependences: Dependences
}

/** A query of which is found out what it means. */
interface Planning {
  readonly plan: Promise<QueryPlan>
  isMade: boolean
}

/** What {@link Queries} are made of. */
export interface QueriesParts {
  readonly namespace: string
  readonly cache: Cache
  /** The database of the cache; undefined: there is none to ask. */
  readonly url: string | undefined
  readonly ttlMs: number
  readonly timing: Timing
}

/**
 * Results of queries as entries: what they depend on is told from their own text.
 *
 * Law: an entry has the tags of all rows that its result is computed from, so that a commit that changes the result
 * invalidates it. A result that was read while an object of the query was altered is not kept.
 */
export class Queries {
  readonly #parts: QueriesParts
  readonly #plans = new Map<string, Planning>()
  /** What results rely on, each once. */
  readonly #rules: SourceRule[] = []
  /** The kind that they are entries of. */
  readonly kind: DependentKind = {
    kind: queryKind,
    tenantForm: null,
    tags: new Set(),
    rules: this.#rules,
    byFirst: new Map(),
  }
  #opened: Database | undefined
  #closed = false

  constructor(parts: QueriesParts) {
    this.#parts = parts
  }

  /** The rows of the query. */
  async read<Row extends object>(
    sql: string,
    values: readonly unknown[],
    options: QueryOptions,
  ): Promise<Answer<readonly Row[]>> {
    requireQuestion(sql, values, options)
    const address = this.#address(sql, values)
    const hit = options.after === undefined ? this.#parts.cache.hit(address) : undefined
    const answer = hit ?? (await this.#ask(address, { sql, values, options }))
    // The rows of a query are what the database gave for it.
    return answer as Answer<readonly Row[]>
  }

  /** What the result depends on. */
  async explain(sql: string): Promise<QueryExplanation> {
    requireQuestion(sql, [], {})
    const { meaning, dependences } = await this.#plan(sql)
    const { clock, settings } = meaning
    return {
      dependsOn: [...new Set(dependences.on.map(dependenceText))],
      notes: [
        ...clock.map((name) => `${name} moves as time passes; the result is as old as its ttl`),
        ...settings.map((name) => `${name} may depend on settings of the session`),
      ],
    }
  }

  /** Ends the connections that were made for queries. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#opened?.close()
  }

  get #database(): Database {
    const { url, namespace } = this.#parts
    if (url === undefined) {
      throw new TidemarkError({
        code: 'TIDEMARK_CACHE_INVALID',
        what: `The cache ${namespace} has no database to ask.`,
        mend: `Name it: createCache({ database: process.env.DATABASE_URL }).`,
      })
    }
    if (this.#closed) throw closed()
    return (this.#opened ??= openDatabase(url))
  }

  async #ask(address: EntryAddress, question: Question): Promise<Answer<unknown>> {
    const { cache, ttlMs, timing } = this.#parts
    const { sql, options } = question
    requireKnown(options, queryOptions, 'query()')
    const terms = termsOf(options, { ttlMs, place: 'query()' })
    const until = timing.now() + terms.hardMs
    if (options.after !== undefined) await cache.reach(parseToken(options.after), terms.hardMs)
    // Half of the time is left for what is known without the database.
    const plan = await this.#planWithin(sql, (until - timing.now()) / 2)
    const left = { ...terms, hardMs: until - timing.now() }
    const request = this.#requestOf(address, question, plan)
    return cache.read(address, () => request(left))
  }

  /** What is known of a query; null while the database is away. */
  async #planWithin(sql: string, ms: number): Promise<QueryPlan | null> {
    if (this.#parts.cache.isAway && this.#plans.get(sql)?.isMade !== true) return null
    return this.#planIn(sql, ms).catch(async (error: unknown) => {
      if (await this.#isAway(error)) return null
      throw error
    })
  }

  /** Whether an error says that nobody has answered; what a database answers to a query is about the query. */
  async #isAway(error: unknown): Promise<boolean> {
    if (error instanceof LateError) return true
    if (error instanceof TidemarkError) return awayCodes.includes(error.code)
    // Said in other words, as of a database that lets nobody in: then nor can the journal be read.
    return this.#parts.cache.look().then(
      () => false,
      () => true,
    )
  }

  #planIn(sql: string, ms: number): Promise<QueryPlan> {
    return within(this.#parts.timing, this.#plan(sql), ms).catch((error: unknown) => {
      // The database that was asked may never answer.
      if (error instanceof LateError) this.#plans.delete(sql)
      throw error
    })
  }

  /** Of a query of which nothing is known its load finds out on what the result depends: that is behind the same fences. */
  #requestOf(
    address: EntryAddress,
    question: Question,
    plan: QueryPlan | null,
  ): (terms: EntryTerms) => EntryRequest {
    const { sql, options } = question
    const named = (options.tags ?? []).map(namedTag)
    const tags = [...tagsOfKey(queryKind, null), ...named]
    const depends = plan === null ? [] : tagsOfPlan(plan, question)
    return (terms) => ({
      ...address,
      terms,
      tags: [...new Set([...tags, ...depends])],
      load: async () => {
        if (plan !== null) return this.#load(question, plan)
        const made = await this.#planIn(sql, terms.hardMs)
        const late = tagsOfPlan(made, question).filter((tag) => !tags.includes(tag))
        return { ...(await this.#load(question, made)), tags: [...new Set(late)] }
      },
      sharesFailures: true,
    })
  }

  async #load({ sql, values }: Question, { meaning }: QueryPlan): Promise<Loaded> {
    const database = this.#database
    const value = await database.query(sql, values)
    const { objects } = meaning
    const store = (await readVersions(database, objects)) === objects.versions
    // Somebody altered what it reads: it is asked again what it means, and this result is given and not kept.
    if (!store) this.#plans.delete(sql)
    return { value, tags: [], ttlMs: null, store }
  }

  #plan(sql: string): Promise<QueryPlan> {
    const known = this.#plans.get(sql)
    if (known !== undefined) return known.plan
    const planning = { plan: this.#makePlan(sql), isMade: false }
    const [oldest] = this.#plans.keys()
    if (this.#plans.size >= plansMax && oldest !== undefined) this.#plans.delete(oldest)
    this.#plans.set(sql, planning)
    planning.plan.then(
      () => (planning.isMade = true),
      () => {
        if (this.#plans.get(sql) === planning) this.#plans.delete(sql)
      },
    )
    return planning.plan
  }

  async #makePlan(sql: string): Promise<QueryPlan> {
    const { namespace } = this.#parts
    const database = this.#database
    const text = await selectText(sql)
    const [row] = await database
      .query<{ rules: ToldRules | null }>('select rules from tidemark.poll_invalidations($1)', [
        namespace,
      ])
      .catch((error: unknown) => {
        throw journalFault(error, namespace)
      })
    const told = row?.rules ?? {}
    // With the blanks before it, so that a place in what the server was given is that place in what was written.
    const written = sql.slice(0, sql.indexOf(text) + text.length)
    const meaning = await understandQuery(database, written, Object.keys(told))
    const dependences = dependencesOf(await queryReads(meaning.query), told)
    if (dependences.lacking.length > 0) throw undeclared(namespace, dependences.lacking)
    for (const rule of dependences.on.map(ruleOf)) {
      const same = (other: SourceRule): boolean =>
        other.source === rule.source && other.columns.join() === rule.columns.join()
      if (!this.#rules.some(same)) this.#rules.push(rule)
    }
    return { meaning, dependences }
  }

  #address(sql: string, values: readonly unknown[]): EntryAddress {
    const { namespace } = this.#parts
    const keyOf = keyMaker({ prefix: namespace, kind: queryKind, digest: digestOf(sql) }, digestOf)
    return { kind: queryKind, tenant: null, key: keyOf(null, values) }
  }
}

/** Texts of queries are many, so their digests are long. */
const digestOf = (text: string): string =>
  createHash('sha256').update(text).digest('hex').slice(0, 24)

/**
 * The rows that a result depends on, of this question.
 *
 * @throws TidemarkError where no commit tells of all of them, or it has not as many values as the query has parameters.
 */
function tagsOfPlan(
  { meaning, dependences }: QueryPlan,
  { values, options }: Question,
): readonly Tag[] {
  const { parameters } = meaning.query
  if (values.length !== parameters.length) throw miscounted(parameters.length, values.length)
  if (meaning.clock.length > 0 && options.ttl === undefined) throw clockRefused(meaning.clock)
  return dependences.on.flatMap((on) => tagsOfDependence(on, { values, parameters }))
}

/** What is said of a database that does not answer. */
const awayCodes: readonly ErrorCode[] = [
  'TIDEMARK_DATABASE_UNREACHABLE',
  'TIDEMARK_DATABASE_REFUSED',
]

const miscounted = (parameters: number, values: number): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: `The query has ${parameters === 1 ? '1 parameter' : `${parameters} parameters`}, and ${values === 1 ? '1 value' : `${values} values`} came.`,
    mend:
      parameters === 0
        ? 'Leave the values out, or write $1 in the SQL where one belongs.'
        : `Give a list with a value for each, $1 first: cache.query(sql, [${listOf(parameters)}]).`,
  })

const listOf = (count: number): string =>
  ['a', 'b', 'c'].slice(0, count).join(', ') + (count > 3 ? ', …' : '')

const clockRefused = (clock: readonly string[]): TidemarkError =>
  new TidemarkError({
    code: 'TIDEMARK_CACHE_QUERY_REFUSED',
    what: `The result of this query changes as time passes, by ${clock.join(', ')}, and no commit tells of it.`,
    mend: `Say how long it may be kept: cache.query(sql, params, { ttl: '1m' }); or give the time as a parameter.`,
  })
