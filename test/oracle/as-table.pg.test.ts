import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database } from '../../src/postgres/connection.ts'
import { toldBy } from '../support/decoded.ts'
import { seed } from '../support/random.ts'
import { casesOf } from '../support/shares.ts'
import { generateCase } from './generate-case.ts'
import { maintainByPlan } from './maintain-by-plan.ts'
import type { Maintainer } from './maintainer.ts'
import { runCase } from './run-batch.ts'
import type { TestOracle } from './test-oracle.ts'
import { createTestOracle } from './test-oracle.ts'

let on: TestOracle

beforeAll(async () => {
  on = await createTestOracle()
})
afterAll(() => on.close())

type Bag = Map<string, number>

const textOf = (values: readonly (string | null)[]): string => JSON.stringify(values)

function put(bag: Bag, row: string, weight: number): void {
  const count = (bag.get(row) ?? 0) + weight
  if (count === 0) bag.delete(row)
  else bag.set(row, count)
}

/** Rows of the tables as one has them who knows nothing but what the publication has told. */
class Subscriber {
  readonly #database: Database
  readonly #slot: string
  readonly #bags = new Map<string, Bag>()
  changes = 0

  constructor(database: Database, slot: string) {
    this.#database = database
    this.#slot = slot
  }

  async subscribe(tables: readonly string[]): Promise<void> {
    await this.#database.query(`create publication told for table ${tables.join(', ')}`)
    await this.#database.query('select pg_create_logical_replication_slot($1, $2)', [
      this.#slot,
      'pgoutput',
    ])
    for (const table of tables) this.#bags.set(table, await this.#bagOf(table))
  }

  /** Tables that differ from what was told of them, by name. */
  async differing(): Promise<readonly string[]> {
    for (const { table, sign, values, old } of await toldBy(this.#database, this.#slot, 'told')) {
      const bag = this.#bags.get(table) ?? new Map<string, number>()
      this.changes += 1
      if (sign === '0') bag.clear()
      if (sign === '-') put(bag, textOf(values), -1)
      if (sign === '+' || sign === '~') put(bag, textOf(values), 1)
      if (old !== null) put(bag, textOf(old), -1)
    }
    const differing: string[] = []
    for (const [table, bag] of this.#bags) {
      const sorted = (one: Bag): string => JSON.stringify([...one].toSorted())
      if (sorted(bag) !== sorted(await this.#bagOf(table))) differing.push(table)
    }
    return differing
  }

  async unsubscribe(): Promise<void> {
    await this.#database.query('drop publication if exists told')
    await this.#database.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1',
      [this.#slot],
    )
    this.#bags.clear()
  }

  async #bagOf(table: string): Promise<Bag> {
    const [columns] = await this.#database.query<{ list: string | null }>(
      // By the output functions, as subscribers are told: a cast of true says more than t.
      `select string_agg(format('case when num_nulls(%I) = 0 then format(''%%s'', %1$I) end', attname), ', ' order by attnum) as list
       from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
      [table],
    )
    const rows = await this.#database.query<{ row: (string | null)[] }>(
      `select array[${columns?.list ?? ''}]::text[] as row from ${table}`,
    )
    const bag: Bag = new Map()
    for (const { row } of rows) put(bag, textOf(row), 1)
    return bag
  }
}

/** The same views, with a subscriber who compares after each refresh. */
function watched(inner: Maintainer, subscriber: Subscriber, wrong: string[]): Maintainer {
  return {
    async install(database, views) {
      const done = await inner.install(database, views)
      await subscriber.subscribe(done.installed.map(({ name }) => name))
      return done
    },
    async refresh(database, look) {
      const done = await inner.refresh(database, look)
      wrong.push(...(await subscriber.differing()))
      return done
    },
    leave: (database, view) => inner.leave(database, view),
    async remove(database) {
      await subscriber.unsubscribe()
      await inner.remove(database)
    },
  }
}

test.each(['full', 'incremental'] as const)(
  `a table that is maintained by %s refresh equals its query after random histories, and so does what subscribers were told (seed ${seed})`,
  async (maintain) => {
    const unlike: string[] = []
    const subscriber = new Subscriber(on.database, `slot_${on.name}`)
    const maintainer = watched(maintainByPlan(maintain, 'table'), subscriber, unlike)
    const given = await generateCase(on, {
      seed,
      queries: casesOf(16),
      histories: 2,
      overViews: false,
    })
    const { views } = await runCase({ on, maintainer }, given)
    const wrong = views.filter(({ outcome }) => outcome === 'mismatch' || outcome === 'failed')
    expect(wrong.map(({ view, detail }) => `${view.sql}\n${detail}`)).toEqual([])
    expect(unlike).toEqual([])
    expect(views.filter(({ outcome }) => outcome === 'exact').length).toBeGreaterThan(casesOf(8))
    expect(subscriber.changes).toBeGreaterThan(casesOf(50))
  },
  300_000,
)
