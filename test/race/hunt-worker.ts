/** One of the processes of npm run race: plays its share of the histories over servers of its own. */
import type { SubjectChoice } from './hunt-subject.ts'
import { huntSubject } from './hunt-subject.ts'
import type { HuntReport } from './race-hunt.ts'
import { raceHunt } from './race-hunt.ts'

/** What a worker is to play. */
export interface HuntOrder {
  readonly choice: SubjectChoice
  readonly seed: number
  readonly histories: number
}

/** What a worker says: a history has been played, or what all of them have shown. */
export type HuntMessage = 'played' | HuntReport

/** Throws where nobody listens any more, so that servers end as well. */
const tell = (message: HuntMessage): void => {
  if (!process.connected) throw new Error('the hunt has ended')
  process.send?.(message)
}

process.on('message', (order: HuntOrder) => {
  void play(order).then(() => {
    process.disconnect()
  })
})

async function play({ choice, seed, histories }: HuntOrder): Promise<void> {
  const { subject, close } = await huntSubject(choice)
  try {
    tell(await raceHunt(subject, { seed, histories, onHistory: () => tell('played') }))
  } finally {
    await close()
  }
}
