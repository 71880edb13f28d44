import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CacheManager } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import type { Dice } from '../../src/base/dice.ts'
import { pick } from '../../src/base/dice.ts'
import { planAndApply } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createTestDatabase } from '../support/database.ts'
import { long, seed, seeded } from '../support/random.ts'
import { casesOf } from '../support/shares.ts'

const rules = [['t'], ['u'], ['s'], ['t', 'u'], []]
const columns = ['id', 't', 'u', 's'] as const
const queriesMax = long ? 200 : casesOf(50)
const steps = long ? 60 : 20

let db: TestDatabase
let cache: CacheManager

beforeAll(async () => {
  db = await createTestDatabase()
  for (const table of ['a', 'b', 'c']) {
    await db.sql(`create table ${table} (id int primary key, t int, u bigint, s varchar(5))`)
  }
  await db.sql(`
    create view joined as select a.id, a.t, b.u, a.s from a left join b on b.t = a.t;
    create view counted as select count(*)::int as id, t, max(u) as u, s from a group by t, s;
  `)
  await planAndApply(db.database, {
    views: {},
    caches: { shop: { dependsOn: { a: rules, b: rules, c: rules } } },
  })
  cache = createCache({ namespace: 'shop', database: db.url, maxLag: 0 })
})
afterAll(async () => {
  await cache.close()
  await db.drop()
})

/** Writes random queries; each relation has the columns id, t, u and s. */
class Writer {
  readonly #dice: Dice
  readonly values: unknown[] = []
  #aliases = 0

  constructor(dice: Dice) {
    this.#dice = dice
  }

  /** A query, with the aliases around it that it may refer to. */
  select(depth: number, outer: readonly string[] = []): string {
    const { from, aliases } = this.#from(depth)
    const all = [...aliases, ...outer]
    const own = pick(this.#dice, aliases)
    const where = this.#chance(0.9) ? `where ${this.#condition(all, depth)}` : ''
    const other = pick(this.#dice, aliases)
    const plain = `${own}.id, ${own}.t, ${other}.u, ${own}.s`
    if (this.#chance(0.15)) {
      const group = `${own}.t, ${own}.s`
      return `select count(*)::int as id, ${own}.t, max(${other}.u) as u, ${own}.s from ${from} ${where} group by ${group}`
    }
    const distinct = this.#chance(0.15) ? 'distinct ' : ''
    const query = `select ${distinct}${plain} from ${from} ${where}`
    if (depth > 0 && this.#chance(0.15)) {
      const kind = pick(this.#dice, ['union', 'union all', 'except', 'intersect'])
      return `(${query}) ${kind} (${this.select(depth - 1, outer)})`
    }
    return this.#chance(0.1) ? `${query} order by 1, 2, 3, 4 limit 3` : query
  }

  #chance(share: number): boolean {
    return this.#dice() < share
  }

  #from(depth: number): { from: string; aliases: string[] } {
    const first = this.#relation(depth)
    let { from } = first
    const aliases = [first.alias]
    while (aliases.length < 3 && this.#chance(0.45)) {
      const right = this.#relation(depth)
      const join = pick(this.#dice, ['join', 'left join', 'right join', 'full join', 'cross join'])
      const both = [...aliases, right.alias]
      const on =
        join === 'cross join'
          ? ''
          : join === 'full join'
            ? `on ${pick(this.#dice, aliases)}.t = ${right.alias}.t`
            : `on ${this.#condition(both, 0)}`
      from = `(${from} ${join} ${right.from} ${on})`
      aliases.push(right.alias)
    }
    return { from, aliases }
  }

  #relation(depth: number): { from: string; alias: string } {
    this.#aliases += 1
    const alias = `r${String(this.#aliases)}`
    if (depth > 0 && this.#chance(0.3))
      return { from: `(${this.select(depth - 1)}) ${alias}`, alias }
    const table = pick(this.#dice, ['a', 'a', 'b', 'b', 'c', 'joined', 'counted'])
    return { from: `${table} ${alias}`, alias }
  }

  #condition(aliases: readonly string[], depth: number): string {
    const among = (): string => pick(this.#dice, aliases)
    const column = pick(this.#dice, ['t', 'u'] as const)
    const left = `${among()}.${column}`
    const roll = Math.floor(this.#dice() * 12)
    if (roll < 3) return `${left} = ${this.#operand(column)}`
    if (roll === 3) return `${among()}.s = ${this.#operand('s')}`
    if (roll === 4) return `${left} in (${this.#operand(column)}, ${this.#operand(column)})`
    if (roll === 5) return `${left} is null`
    if (roll === 6) return `${left} = ${among()}.${pick(this.#dice, ['t', 'u'] as const)}`
    if (roll === 7) return `not (${this.#condition(aliases, 0)})`
    if (roll === 8) return `(${this.#condition(aliases, 0)} or ${this.#condition(aliases, 0)})`
    if (roll === 9 && depth > 0) return `exists (${this.select(0, aliases)})`
    if (roll === 10 && depth > 0) {
      return `${left} = (select max(x.t) from (${this.select(0, aliases)}) x)`
    }
    return `${this.#condition(aliases, 0)} and ${this.#condition(aliases, 0)}`
  }

  #operand(column: 't' | 'u' | 's'): string {
    const number = Math.floor(this.#dice() * 4)
    const value = column === 's' ? `v${String(number)}` : number
    if (this.#chance(0.5)) return column === 's' ? `'${String(value)}'` : String(value)
    this.values.push(this.#chance(0.05) ? null : value)
    const type = { t: 'int', u: 'bigint', s: 'text' }[column]
    return this.#chance(0.5)
      ? `$${String(this.values.length)}::${type}`
      : `$${String(this.values.length)}`
  }
}

/** A statement that changes something. */
function change(dice: Dice): string {
  const table = pick(dice, ['a', 'b', 'c'])
  const id = Math.floor(dice() * 12)
  const value = (): string => (dice() < 0.2 ? 'null' : String(Math.floor(dice() * 4)))
  const text = dice() < 0.2 ? 'null' : `'v${String(Math.floor(dice() * 4))}'`
  const roll = dice()
  if (roll < 0.02) return `truncate ${table}`
  if (roll < 0.2) return `delete from ${table} where id = ${String(id)}`
  if (roll < 0.5)
    return `update ${table} set ${pick(dice, ['t', 'u'] as const)} = ${value()} where id = ${String(id)}`
  return `insert into ${table} values (${String(id)}, ${value()}, ${value()}, ${text})
          on conflict (id) do update set t = excluded.t, u = excluded.u, s = excluded.s`
}

const bag = (rows: readonly object[]): readonly string[] =>
  rows.map((row) => JSON.stringify(row)).toSorted()

test('law: whenever the result of a query has changed, its entry was invalidated', async () => {
  const dice = seeded(seed)
  for (let n = 0; n < 60; n += 1) await db.sql(change(dice))
  const queries: { sql: string; values: readonly unknown[] }[] = []
  while (queries.length < queriesMax) {
    const writer = new Writer(dice)
    const sql = `select ${columns.join(', ')} from (${writer.select(2)}) result`
    const { values } = writer
    // Some compare what cannot be compared, such as a parameter with nothing that tells its type.
    const known = await cache.query(sql, values).then(
      () => true,
      () => false,
    )
    if (known) queries.push({ sql, values })
  }
  const states = { hit: 0, other: 0 }
  for (let step = 0; step < steps; step += 1) {
    const changed = change(dice)
    await db.sql(changed)
    for (const { sql, values } of queries) {
      const { value, state } = await cache.query(sql, values)
      const now = await db.database.query(sql, values)
      expect(bag(value), `${changed}\n${sql}\n${JSON.stringify(values)}`).toEqual(bag(now))
      states[state === 'hit' ? 'hit' : 'other'] += 1
    }
  }
  // That nothing is ever kept would pass as well.
  expect(states.hit).toBeGreaterThan(states.other / 4)
})
