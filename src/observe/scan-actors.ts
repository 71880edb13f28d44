import type { FunctionFact, JobFact, Oid, ScanFacts, TriggerFact } from './scan-facts.ts'
import type { ScannedRefresher } from './scan-report.ts'
import type { WrittenName } from './scan-sql-text.ts'
import {
  callsIn,
  deletesIn,
  insertsIn,
  mentions,
  refreshesIn,
  withoutComments,
} from './scan-sql-text.ts'

/** A function calls others at most this deep, as far as this look follows. */
const depthMax = 8

/** What running a text does to one relation, and through which functions. */
export interface Deed {
  readonly relation: Oid
  readonly through: readonly FunctionFact[]
}

/** A REFRESH that running a text leads to. */
export interface RefreshDeed extends Deed {
  readonly mode: 'plain' | 'concurrently'
}

/** A DELETE that running a text leads to. */
export interface DeleteDeed extends Deed {
  readonly byAge: boolean
  readonly age: string | null
}

/** What running a text leads to, as far as its words tell. */
export interface Effects {
  readonly refreshes: readonly RefreshDeed[]
  readonly deletes: readonly DeleteDeed[]
  readonly inserts: readonly Deed[]
}

const noEffects: Effects = { refreshes: [], deletes: [], inserts: [] }

interface Named {
  readonly oid: Oid
  readonly schema: string
  readonly name: string
}

/** A name without its schema is looked up near where it is written, then in public, then anywhere if there is one only. */
function lookUp<One extends Named>(
  named: ReadonlyMap<string, readonly One[]>,
  written: WrittenName,
  near: string,
): One | null {
  const found = named.get(written.name) ?? []
  if (written.schema !== null) return found.find(({ schema }) => schema === written.schema) ?? null
  return (
    found.find(({ schema }) => schema === near) ??
    found.find(({ schema }) => schema === 'public') ??
    (found.length === 1 ? (found[0] ?? null) : null)
  )
}

function byName<One extends Named>(all: readonly One[]): ReadonlyMap<string, readonly One[]> {
  const map = new Map<string, One[]>()
  for (const one of all) map.set(one.name, [...(map.get(one.name) ?? []), one])
  return map
}

interface Place {
  readonly near: string
  readonly through: readonly FunctionFact[]
  /** Texts from the outermost to this one: a name made at run time may stand in any of them. */
  readonly texts: readonly string[]
}

/** Who does what in a database, read from the words of jobs, functions and triggers. */
export class Actors {
  readonly #facts: ScanFacts
  readonly #views: ReadonlyMap<string, readonly Named[]>
  readonly #tables: ReadonlyMap<string, readonly Named[]>
  readonly #functions: ReadonlyMap<string, readonly FunctionFact[]>
  readonly #functionOf: ReadonlyMap<Oid, FunctionFact>

  constructor(facts: ScanFacts) {
    this.#facts = facts
    this.#views = byName(facts.views)
    this.#tables = byName(facts.tables)
    this.#functions = byName(facts.functions)
    this.#functionOf = new Map(facts.functions.map((one) => [one.oid, one]))
  }

  /** What a job does. */
  ofJob(job: JobFact): Effects {
    return this.#ofText(job.command, { near: 'public', through: [], texts: [] })
  }

  /** What a trigger does inside of the writer's transaction. */
  ofTrigger(trigger: TriggerFact): Effects {
    const called = this.#functionOf.get(trigger.function)
    return called === undefined ? noEffects : this.ofFunction(called)
  }

  /** What calling a function does. */
  ofFunction(called: FunctionFact): Effects {
    return this.#ofFunction(called, { near: called.schema, through: [], texts: [] })
  }

  /** The function of a trigger, if it is a user's. */
  functionOf(trigger: TriggerFact): FunctionFact | null {
    return this.#functionOf.get(trigger.function) ?? null
  }

  /** Names, `schema.function`, of what jobs and triggers call; the rest is called from outside, or never. */
  calledInside(): ReadonlySet<Oid> {
    const called = new Set<Oid>(this.#facts.triggers.map((trigger) => trigger.function))
    for (const job of this.#facts.jobs) {
      for (const one of this.#called(job.command, 'public')) called.add(one.oid)
    }
    // Who is called by a function that is called is called; a few rounds reach them all.
    for (let round = 0; round < depthMax; round += 1) {
      for (const one of this.#facts.functions.filter(({ oid }) => called.has(oid))) {
        for (const next of this.#called(one.body, one.schema)) called.add(next.oid)
      }
    }
    return called
  }

  #ofFunction(called: FunctionFact, place: Place): Effects {
    if (place.through.includes(called) || place.through.length >= depthMax) return noEffects
    return this.#ofText(`${called.arguments};\n${called.body}`, {
      near: called.schema,
      through: [...place.through, called],
      texts: place.texts,
    })
  }

  #ofText(written: string, place: Place): Effects {
    const text = withoutComments(written)
    const here: Place = { ...place, texts: [...place.texts, text] }
    const { through, near } = here
    const table = (name: WrittenName): Oid | null => lookUp(this.#tables, name, near)?.oid ?? null
    const own: Effects = {
      refreshes: refreshesIn(text).flatMap(({ view, mode }) =>
        this.#refreshed(view, here).map((relation) => ({ relation, mode, through })),
      ),
      deletes: deletesIn(text).flatMap(({ table: name, byAge, age }) => {
        const relation = table(name)
        const default_ = age ?? (byAge ? ageOfArguments(text) : null)
        return relation === null ? [] : [{ relation, byAge, age: default_, through }]
      }),
      inserts: insertsIn(text).flatMap((name) => {
        const relation = table(name)
        return relation === null ? [] : [{ relation, through }]
      }),
    }
    const further = this.#called(text, near).map((one) => this.#ofFunction(one, here))
    return {
      refreshes: [own, ...further].flatMap(({ refreshes }) => refreshes),
      deletes: [own, ...further].flatMap(({ deletes }) => deletes),
      inserts: [own, ...further].flatMap(({ inserts }) => inserts),
    }
  }

  #called(text: string, near: string): readonly FunctionFact[] {
    const called = callsIn(text).flatMap((name) => lookUp(this.#functions, name, near) ?? [])
    return [...new Set(called)]
  }

  /** A name that is put together at run time: the views that the texts name, or all of a loop over all. */
  #refreshed(view: WrittenName | null, { near, texts }: Place): readonly Oid[] {
    if (view !== null) {
      const found = lookUp(this.#views, view, near)
      return found === null ? [] : [found.oid]
    }
    const all = this.#facts.views
    if (texts.some((text) => mentions(text, 'pg_matviews'))) return all.map(({ oid }) => oid)
    return all
      .filter(({ name }) => texts.some((text) => mentions(text, name)))
      .map(({ oid }) => oid)
  }
}

/** `max_age interval DEFAULT '00:05:00'::interval`: the age that a cleaner takes unless told otherwise. */
function ageOfArguments(text: string): string | null {
  const head = text.slice(0, text.indexOf(';'))
  return /interval\s+default\s+'([^']{1,40})'/i.exec(head)?.[1] ?? null
}

/** A job as people name it. */
export const jobName = (job: JobFact): string =>
  job.name === null ? `job ${job.id}` : `job ${job.id} '${job.name}'`

/** A function as people name it. */
export const functionName = ({ schema, name }: FunctionFact): string => `${schema}.${name}()`

/** A trigger as people name it. */
export const triggerName = (trigger: TriggerFact): string =>
  `trigger ${trigger.name} on ${trigger.tableSchema}.${trigger.tableName}`

/** Modes of several ways to refresh as one. */
export function modeOf(modes: readonly ('plain' | 'concurrently')[]): ScannedRefresher['mode'] {
  const [first = 'plain'] = modes
  return modes.every((mode) => mode === first) ? first : 'both'
}
