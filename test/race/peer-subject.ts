import type { PeerBus, PeerCache, PeerName } from '../../bench/peers/peers.ts'
import { installPeers, peerOf } from '../../bench/peers/peers.ts'
import { pick } from '../../src/base/dice.ts'
import type { AnswerState } from '../../src/model/answer.ts'
import type {
  RaceNode,
  RacePlay,
  RaceStage,
  RaceSubject,
  RaceValue,
} from '../../src/testing/index.ts'
import type { Client } from '../../src/testing/race/race-commands.ts'
import { connected } from '../../src/testing/race/race-commands.ts'
import { faultsOf } from '../../src/testing/race/tidemark-subject.ts'

/** What a peer keeps in Redis goes through these. */
const commands = ['get', 'getMany', 'set', 'setMany', 'delete', 'deleteMany', 'has', 'hasMany']

/** Never: what a killed node waits for. */
const never = new Promise<never>(() => undefined)

/** What the nodes of one history share. */
interface Surroundings extends Pick<RaceStage, 'scheduler' | 'dice'> {
  readonly calm: boolean
  readonly faults: { readonly lostCommands: number; readonly lostAnswers: number }
  readonly isDown: () => boolean
  /** Those who hear what is published. */
  readonly inboxes: Set<(topic: string, message: unknown) => void>
}

/**
 * A cache that Tidemark's is compared with, as its manual sets it up, its nodes sharing a real Redis, for the race kit.
 *
 * Fair to it: messages come in the order in which they were sent, all nodes have one clock, on which each step takes a
 * millisecond, and `calm` histories have no faults at all: nothing is lost or forgotten, no node is killed, and what is
 * published has been heard by every node when that is acknowledged.
 */
export async function peerSubject(
  name: PeerName,
  { redisUrl, calm }: { readonly redisUrl: string; readonly calm: boolean },
): Promise<{ readonly subject: RaceSubject; readonly close: () => Promise<void> }> {
  installPeers()
  const peer = await peerOf(name)
  const client = await connected(redisUrl)
  const clock = stepClock()
  const subject: RaceSubject = {
    name: peer.name,
    async begin(stage) {
      await client.flushAll()
      const open = (through: Through, bus: PeerBus): PeerCache =>
        peer.onRedis({ redisUrl, entriesMax: 100, store: scheduled(through), bus }, tagsOf)
      const load: RaceStage['load'] = (key) => clock.step(() => stage.load(key))
      return playOn({ ...stage, load }, { client, clock, calm, open })
    },
  }
  return {
    subject,
    close() {
      clock.stop()
      client.destroy()
      return Promise.resolve()
    },
  }
}

const tagsOf = (key: string): readonly string[] => [`tag_${key}`]

/** Sends something to a server and gets its answer, each of which waits for its turn and may be lost. */
type Through = <Result>(ask: () => Promise<Result>) => Promise<Result>

interface Parts {
  readonly client: Client
  readonly clock: StepClock
  readonly calm: boolean
  readonly open: (through: Through, bus: PeerBus) => PeerCache
}

function playOn({ scheduler, dice, load }: RaceStage, parts: Parts): RacePlay {
  const { client, clock, calm, open } = parts
  let down = false
  const surroundings: Surroundings = {
    scheduler,
    dice,
    calm,
    faults: calm ? { lostCommands: 0, lostAnswers: 0 } : pick(dice, faultsOf),
    isDown: () => down,
    inboxes: new Set(),
  }
  const caches: PeerCache[] = []
  const forget = async (): Promise<void> => {
    const keys = await scheduler.real(() => client.keys('*'))
    if (keys.length > 0) await scheduler.real(() => client.del(pick(dice, keys.toSorted())))
  }
  const upsets = [
    () => {
      clock.pass(dice() * 300)
      return Promise.resolve()
    },
    forget,
    () => Promise.resolve(void (down = !down)),
  ]
  return {
    makeNode() {
      const node = new PeerNode(surroundings)
      const through: Through = (ask) => clock.step(() => node.through(ask))
      const cache = open(through, node.bus(through))
      caches.push(cache)
      return node.over(cache, load)
    },
    upsets: calm ? [] : upsets,
    async end() {
      await Promise.all(caches.map((cache) => cache.close()))
    },
  }
}

/** One node of a peer, cut off from everything when it is killed. */
class PeerNode {
  readonly #surroundings: Surroundings
  #isDead = false
  readonly #left: (() => void)[] = []

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings
  }

  readonly through: Through = async (ask) => {
    const { scheduler, faults } = this.#surroundings
    await this.#turn(faults.lostCommands)
    const answer = await scheduler.real(ask)
    await this.#turn(faults.lostAnswers)
    return answer
  }

  async #turn(lost: number): Promise<void> {
    const { scheduler, dice, isDown } = this.#surroundings
    await scheduler.turn()
    if (this.#isDead) return never
    if (isDown() || dice() < lost) throw new Error('the connection broke')
  }

  /** Publishes to all nodes, each of which hears messages in their order, if it does. */
  bus(through: Through): PeerBus {
    const { inboxes } = this.#surroundings
    return {
      publish: (topic, message) =>
        through(() => {
          for (const inbox of inboxes) inbox(topic, message)
          return Promise.resolve()
        }),
      subscribe: (topic, handler) => {
        const inbox = this.#inbox(topic, handler)
        inboxes.add(inbox)
        this.#left.push(() => inboxes.delete(inbox))
      },
      close: () => undefined,
    }
  }

  #inbox(
    own: string,
    handler: (message: unknown) => void,
  ): (topic: string, message: unknown) => void {
    const { calm, faults } = this.#surroundings
    let before = Promise.resolve()
    return (topic, message) => {
      if (topic !== own) return
      if (calm) {
        handler(message)
        return
      }
      before = before
        .then(() => this.#turn(faults.lostAnswers))
        .then(
          () => {
            handler(message)
          },
          () => undefined,
        )
    }
  }

  over(cache: PeerCache, load: (key: string) => Promise<RaceValue>): RaceNode {
    return {
      async read(key) {
        let state: AnswerState = 'hit'
        const value = await cache.getOrSet(key, () => {
          state = 'miss'
          return load(key)
        })
        if (value === undefined) throw new Error('no value came')
        return { value: value as RaceValue, state }
      },
      async invalidate(key, way) {
        await (way < 0.5 ? cache.remove(key) : (cache.removeTag ?? cache.remove)(tagOf(cache, key)))
      },
      kill: () => {
        this.#isDead = true
        for (const leave of this.#left) leave()
      },
    }
  }
}

const tagOf = ({ removeTag }: PeerCache, key: string): string =>
  removeTag === null ? key : `tag_${key}`

/** Has the commands of a peer's own store go through something. */
function scheduled(through: Through): <Store extends object>(own: Store) => Store {
  return (own) =>
    new Proxy(own, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property, target)
        if (typeof value !== 'function') return value
        const call = value.bind(target) as (...args: unknown[]) => Promise<unknown>
        if (!commands.includes(String(property))) return call
        return (...args: unknown[]) => through(() => call(...args))
      },
      set: (target, property, value) => Reflect.set(target, property, value, target),
    })
}

/** The clock of all nodes, for peers compare times; it goes with the history, so that a seed plays it again. */
interface StepClock {
  readonly pass: (ms: number) => void
  /** Has what is done take time. */
  readonly step: <Result>(body: () => Promise<Result>) => Promise<Result>
  readonly stop: () => void
}

function stepClock(): StepClock {
  const system = Date.now
  let now = system()
  Date.now = () => now
  return {
    pass(ms) {
      now += Math.ceil(ms)
    },
    async step(body) {
      now += 1
      try {
        return await body()
      } finally {
        now += 1
      }
    },
    stop: () => void (Date.now = system),
  }
}
