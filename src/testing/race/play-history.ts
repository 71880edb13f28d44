import type { AnswerState } from '../../model/answer.ts'
import type { History, InvalidationRecord, ReadRecord } from './check-history.ts'
import type { Dice } from './dice.ts'
import { pick } from './dice.ts'
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
  /** Ends the node; what it waits for need not come. */
  readonly kill: () => void
}

/** What a history is played on. */
export interface RaceStage {
  readonly scheduler: Scheduler
  readonly dice: Dice
  /** Reads the source: what a load of the cache under test calls. */
  readonly load: (key: string) => Promise<RaceValue>
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
  /** Things that go wrong beside nodes and messages: time passes, the store forgets. */
  readonly upsets: readonly (() => Promise<void>)[]
  readonly end: () => Promise<void>
}

/** How large a history is. */
export interface RaceSize {
  readonly nodes: number
  readonly keys: number
  readonly operations: number
}

/** After so many steps a history has come to its end or never will. */
const stepsMax = 20_000

/**
 * Plays one history: readers and writers on several nodes, begun, interleaved and upset as the dice say. Returns what
 * everybody saw. A writer changes the source and then invalidates.
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
  const play = await subject.begin({ scheduler, dice, load }, size.nodes)
  const nodes = Array.from({ length: size.nodes }, () => play.makeNode())
  const record = new Recorder()
  const keys = Array.from({ length: size.keys }, (_, at) => `key_${at}`)
  const begin = async (): Promise<void> => {
    const at = Math.floor(dice() * nodes.length)
    const node = nodes[at]
    const key = pick(dice, keys)
    const what = dice()
    if (node === undefined || what < 0.6) return record.read(at, key, () => node?.read(key))
    if (what < 0.94 || play.upsets.length === 0) {
      const version = (versions.get(key) ?? 0) + 1
      versions.set(key, version)
      return record.invalidation({ key, version }, () => node.invalidate(key, dice()))
    }
    if (what < 0.97) return pick(dice, play.upsets)()
    nodes[at] = play.makeNode()
    node.kill()
  }
  const running = new Set<Promise<void>>()
  let left = size.operations
  for (let step = 0; step < stepsMax && (left > 0 || running.size > 0); step += 1) {
    if (left > 0 && (running.size === 0 || dice() < 0.3)) {
      left -= 1
      const operation: Promise<void> = begin().finally(() => running.delete(operation))
      running.add(operation)
    }
    await scheduler.step()
  }
  for (const node of nodes) node.kill()
  await play.end()
  return record.history()
}

/** Notes what begins and ends, and when. */
class Recorder {
  readonly #reads: ReadRecord[] = []
  readonly #invalidations: InvalidationRecord[] = []
  #time = 0

  async read(
    node: number,
    key: string,
    body: () => ReturnType<RaceNode['read']> | undefined,
  ): Promise<void> {
    const beganAt = (this.#time += 1)
    try {
      const answer = await body()
      if (answer === undefined) return
      const { value, state } = answer
      const endedAt = (this.#time += 1)
      this.#reads.push({ node, key, beganAt, endedAt, version: value.version, state })
    } catch {
      // An error is no wrong answer.
    }
  }

  async invalidation(
    of: Pick<InvalidationRecord, 'key' | 'version'>,
    body: () => Promise<void>,
  ): Promise<void> {
    try {
      await body()
      this.#invalidations.push({ ...of, acknowledgedAt: (this.#time += 1) })
    } catch {
      // It was not acknowledged; nothing is promised.
    }
  }

  history(): History {
    return { reads: this.#reads, invalidations: this.#invalidations }
  }
}
