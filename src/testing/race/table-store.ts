import type { Database } from '../../postgres/connection.ts'
import { must } from '../../base/assert.ts'
import type { Dice } from '../../base/dice.ts'
import { pick } from '../../base/dice.ts'
import { ServerClock } from './server-clock.ts'
import type { Scheduler } from './scheduler.ts'

const clock = 'race.clock'
const ownNow = 'clock_timestamp()'
const nowOfHistory = `to_timestamp((select last_value from ${clock}) / 1000.0)`

/**
 * Has the table that nodes share go by the clock of a history, for good: else the load of the machine would decide when leases and
 * entries end. For a database that serves nothing but the race kit.
 */
export async function goByHistory(database: Database): Promise<void> {
  await database.query(`create schema if not exists race`)
  await database.query(`create sequence if not exists ${clock} minvalue 0`)
  const [row] = await database.query<{ text: string }>(
    `select pg_get_functiondef('tidemark.use_store'::regproc) as text`,
  )
  const { text } = must(row, 'the store has a function')
  await database.query(text.replaceAll(ownNow, nowOfHistory))
}

/** The table that the nodes of one history share, and what may happen to it. */
export class TableStore {
  readonly #database: Database
  readonly #namespace: string
  readonly #clock: ServerClock
  #shown = ''

  constructor(database: Database, namespace: string, dice: Dice) {
    this.#database = database
    this.#namespace = namespace
    this.#clock = new ServerClock(dice)
  }

  /** Lets its clock show what it does when the history has come to `nowMs`. */
  async show(nowMs: number): Promise<void> {
    const shows = String(Math.floor(this.#clock.at(nowMs)))
    if (shows === this.#shown) return
    this.#shown = shows
    await this.#database.query(`select setval('${clock}', $1)`, [shows])
  }

  /** It forgets an entry or a lease, or all of it as after a crash, by the clock of another server. */
  upsets({ scheduler, dice }: { scheduler: Scheduler; dice: Dice }): (() => Promise<void>)[] {
    const real = (body: () => Promise<unknown>) => () => scheduler.real(body).then(() => undefined)
    return [
      real(() => this.#forget('shared_entry', dice)),
      real(() => this.#forget('shared_lease', dice)),
      real(() => {
        this.#clock.change()
        return this.empty()
      }),
    ]
  }

  async #forget(table: 'shared_entry' | 'shared_lease', dice: Dice): Promise<void> {
    const rows = await this.#database.query<{ key: string }>(
      `select key from tidemark.${table} where cache = $1 order by key`,
      [this.#namespace],
    )
    if (rows.length === 0) return
    const { key } = pick(dice, rows)
    await this.#database.query(`delete from tidemark.${table} where cache = $1 and key = $2`, [
      this.#namespace,
      key,
    ])
  }

  /** Lets nothing be left. */
  async empty(): Promise<void> {
    for (const table of ['shared_entry', 'shared_lease', 'shared_failure'])
      await this.#database.query(`delete from tidemark.${table} where cache = $1`, [
        this.#namespace,
      ])
  }
}
