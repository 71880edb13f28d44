import type { AnswerState } from '../../model/answer.ts'
import type { History, InvalidationRecord, ReadRecord } from './check-history.ts'
import type { Dice } from '../../base/dice.ts'
import { pick } from '../../base/dice.ts'
import { must } from '../../base/assert.ts'
import { Scheduler } from './scheduler.ts'

/** A value of the source, as a cache under test keeps it. */
export interface RaceValue {
  readonly version: number
}

/** A node of the cache under test. */
export interface RaceNode {
  readonly read: (
    key: string,
  ) => Promise<{ readonly value: RaceValue; readonly state: AnswerState }>
  /** Resolves when the invalidation is acknowledged. */
  readonly invalidate: (key: string, way: number) => Promise<void>
  /** The same, but an answer that says so may be what was there before. Not every cache has this, nor the next two. */
  readonly expire?: (key: string, way: number) => Promise<void>
  /** Has a load, which begins now, bring what takes the place of the entry; when it resolves, what was there is invalidated. */
  readonly set?: (key: string) => Promise<unknown>
  /** Has an entry loaded anew, whatever is there. */
  readonly renew?: (key: string) => Promise<void>
  /** Has the entries of all keys ready before anybody asks. Not every cache has this. */
  readonly warm?: () => Promise<unknown>
  /** How many entries it has loaded before anybody asked: at start, when it was told to, behind invalidations. */
  readonly warmed?: () => number
  /** Ends the node; what it waits for need not come. */
  readonly kill: () => void
}

/** What a history is played on. */
export interface RaceStage {
  readonly scheduler: Scheduler
  readonly dice: Dice
  /** Reads the source: what a load of the cache under test calls. */
  readonly load: (key: string) => Promise<RaceValue>
  /** The keys that the history is about. */
  readonly keys: readonly string[]
}

/** A cache under test. */
export interface RaceSubject {
  readonly name: string
  /** Begins a history: makes nodes that share nothing yet. */
  readonly begin: (stage: RaceStage, nodes: number) => Promise<RacePlay>
}

/** A cache under test in one history. */
export interface RacePlay {
  readonly makeNode: () => RaceNode
  /** Where the cache reads from, if its promise is about what is committed there, by whomever. */
  readonly source?: RaceSource
  /** Things that go wrong beside nodes and messages: time passes, the store forgets. */
  readonly upsets: readonly (() => Promise<void>)[]
  /** Saves what the nodes share, and returns what has that be all there is, as if nothing had come since. */
  readonly save?: () => Promise<() => Promise<void>>
  readonly end: () => Promise<void>
}

/** A source whose commits a cache promises to reflect, without being told. */
export interface RaceSource {
  /** How long after a commit a read may begin that does not reflect it; 0: not at all. */
  readonly lagMs: number
  /** Changes keys in one transaction; `committed` is called for each, as soon as its new version is visible. */
  readonly write: (
    keys: readonly string[],
    committed: (key: string, version: number) => void,
  ) => Promise<void>
}

/** How large a history is. */
export interface RaceSize {
  readonly nodes: number
  readonly keys: number
  readonly operations: number
}

/** How often an operation begins while others are under way, of all steps: from nearly one after another to all at once. */
const paces = [0.02, 0.1, 0.3]

/** After so many steps a history has come to its end or never will. */
const stepsMax = 20_000

/**
 * Plays one history: readers and writers on several nodes, begun, interleaved and upset as the dice say. Returns what
 * everybody saw. A writer changes the source and then invalidates, in one of the ways that the cache has.
 */
export async function playHistory(
  subject: RaceSubject,
  dice: Dice,
  size: RaceSize,
): Promise<History> {
  const scheduler = new Scheduler(dice)
  const versions = new Map<string, number>()
  const load = async (key: string): Promise<RaceValue> => {
    await scheduler.turn()
    const version = versions.get(key) ?? 0
    await scheduler.turn()
    return { version }
  }
  const keys = Array.from({ length: size.keys }, (_, at) => `key_${at}`)
  const play = await subject.begin({ scheduler, dice, load, keys }, size.nodes)
  const nodes = new Nodes(() => play.makeNode(), size.nodes)
  const pace = pick(dice, paces)
  let left = size.operations
  const record = new Recorder(() => scheduler.now)
  const writing = new Set<string>()
  const begin = async (): Promise<void> => {
    const at = Math.floor(dice() * size.nodes)
    const { name, node } = nodes.at(at)
    const key = pick(dice, keys)
    const what = dice()
    if (what < 0.06 && node.renew !== undefined) return record.renewal(node.renew(key))
    if (what < 0.09 && node.warm !== undefined) return ended(node.warm())
    if (what < 0.6) return record.read(name, key, () => node.read(key))
    if (play.source !== undefined && what < 0.94) {
      const changed = (dice() < 0.2 ? keys : [key]).filter((each) => !writing.has(each))
      return writeThrough(play.source, { node, keys: changed, writing, record, dice })
    }
    if (what < 0.94 || play.upsets.length === 0) {
      const version = (versions.get(key) ?? 0) + 1
      versions.set(key, version)
      return tell(node, { key, version }, { record, dice })
    }
    if (what < 0.97) return pick(dice, play.upsets)()
    if (what < 0.985 && play.save !== undefined) return comeBack(await play.save())
    nodes.replace(at)
  }
  // What was saved lacks something that was acknowledged; often nobody is left who has heard of it.
  const comeBack = async (back: () => Promise<void>): Promise<void> => {
    const before = record.told
    while (record.told === before && left > 0) await scheduler.turn()
    if (dice() < 0.5) nodes.replaceAll()
    await back()
  }
  const running = new Set<Promise<void>>()
  for (let step = 0; step < stepsMax && (left > 0 || running.size > 0); step += 1) {
    if (left > 0 && (running.size === 0 || dice() < pace)) {
      left -= 1
      const operation: Promise<void> = begin().finally(() => running.delete(operation))
      running.add(operation)
    }
    await scheduler.step()
  }
  nodes.kill()
  await play.end()
  return { ...record.seen(play.source?.lagMs ?? 0), warmed: nodes.warmed }
}

/** Nobody is answered by it, however it ends. */
const ended = (of: Promise<unknown>): Promise<void> => of.then(nothing, nothing)
const nothing = (): void => undefined

/** Who stands in a place; the name is his alone. */
interface NamedNode {
  readonly name: number
  readonly node: RaceNode
}

/** The nodes of a history. Who takes the place of one that was killed is another: it knows nothing of what that one has answered. */
class Nodes {
  readonly #makeNode: () => RaceNode
  readonly #places: NamedNode[] = []
  readonly #all: RaceNode[] = []

  constructor(makeNode: () => RaceNode, count: number) {
    this.#makeNode = makeNode
    for (let at = 0; at < count; at += 1) this.replace(at)
  }

  at(at: number): NamedNode {
    return must(this.#places[at], 'each place has a node')
  }

  /** Kills a node; another takes its place. */
  replace(at: number): void {
    const before = this.#places[at]
    const node = this.#makeNode()
    this.#places[at] = { name: this.#all.length, node }
    this.#all.push(node)
    before?.node.kill()
  }

  replaceAll(): void {
    for (const at of this.#places.keys()) this.replace(at)
  }

  /** How many entries all of them, those that were killed as well, have loaded before anybody asked. */
  get warmed(): number {
    return this.#all.reduce((sum, { warmed }) => sum + (warmed?.() ?? 0), 0)
  }

  /** Kills all, for good. */
  kill(): void {
    for (const { node } of this.#places) node.kill()
  }
}

/** A write to a source of its own. Whoever wrote sometimes invalidates as well, and then need not wait for the bound. */
async function writeThrough(
  source: RaceSource,
  of: {
    readonly node: RaceNode
    readonly keys: readonly string[]
    /** What is being written: two writers of one row would wait for one another within the server. */
    readonly writing: Set<string>
    readonly record: Recorder
    readonly dice: Dice
  },
): Promise<void> {
  const { node, keys, writing, record, dice } = of
  for (const key of keys) writing.add(key)
  const written: { readonly key: string; readonly version: number }[] = []
  try {
    await source.write(keys, (key, version) => {
      record.commit(key, version)
      written.push({ key, version })
    })
  } catch {
    // It was not committed, or its answer was lost; what was committed is recorded.
  } finally {
    for (const key of keys) writing.delete(key)
  }
  if (dice() < 0.7) return
  for (const one of written) await tell(node, one, { record, dice })
}

/** Tells a cache of what was written, in one of the ways that it has. */
function tell(
  node: RaceNode,
  written: { readonly key: string; readonly version: number },
  { record, dice }: { readonly record: Recorder; readonly dice: Dice },
): Promise<void> {
  const { expire, set } = node
  const { key } = written
  const what = dice()
  if (what < 0.2 && set !== undefined)
    return record.invalidation({ ...written, by: 'set' }, () => set(key))
  const way = dice()
  if (what < 0.5 && expire !== undefined)
    return record.invalidation({ ...written, by: 'expire' }, () => expire(key, way))
  return record.invalidation({ ...written, by: 'remove' }, () => node.invalidate(key, way))
}

/** Notes what begins and ends, and when. */
class Recorder {
  readonly #clock: () => number
  readonly #reads: ReadRecord[] = []
  readonly #invalidations: InvalidationRecord[] = []
  /** What is visible in the source, with the milliseconds at which it became so. */
  readonly #commits: (InvalidationRecord & { readonly visibleMs: number })[] = []
  /** When reads began, in milliseconds. */
  readonly #beginnings: { readonly at: number; readonly ms: number }[] = []
  #renewals = 0
  #time = 0

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** How many invalidations and commits have been acknowledged so far. */
  get told(): number {
    return this.#invalidations.length + this.#commits.length
  }

  async read(node: number, key: string, body: () => ReturnType<RaceNode['read']>): Promise<void> {
    const beganAt = (this.#time += 1)
    this.#beginnings.push({ at: beganAt, ms: this.#clock() })
    try {
      const { value, state } = await body()
      const endedAt = (this.#time += 1)
      this.#reads.push({ node, key, beganAt, endedAt, version: value.version, state })
    } catch {
      // An error is no wrong answer.
    }
  }

  async invalidation(
    of: Omit<InvalidationRecord, 'acknowledgedAt'>,
    body: () => Promise<unknown>,
  ): Promise<void> {
    try {
      await body()
      this.#invalidations.push({ ...of, acknowledgedAt: (this.#time += 1) })
    } catch {
      // It was not acknowledged; nothing is promised.
    }
  }

  async renewal(renewed: Promise<void>): Promise<void> {
    try {
      await renewed
      this.#renewals += 1
    } catch {
      // Nobody was answered.
    }
  }

  commit(key: string, version: number): void {
    this.#commits.push({
      key,
      version,
      by: 'commit',
      acknowledgedAt: (this.#time += 1),
      visibleMs: this.#clock(),
    })
  }

  /** A commit counts like an invalidation that is acknowledged `lagMs` after it was visible. */
  seen(lagMs: number): Omit<History, 'warmed'> {
    const told = this.#commits.map(({ visibleMs, ...commit }): InvalidationRecord => {
      if (lagMs === 0) return commit
      const first = this.#beginnings.find(({ ms }) => ms > visibleMs + lagMs)
      return { ...commit, acknowledgedAt: first === undefined ? Infinity : first.at - 0.5 }
    })
    const invalidations = [...this.#invalidations, ...told]
    return { reads: this.#reads, invalidations, renewals: this.#renewals }
  }
}
