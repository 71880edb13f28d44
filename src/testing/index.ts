export { recordCache } from './cache-record.ts'
export type { CacheRecord } from './cache-record.ts'
export { checkHistory } from './race/check-history.ts'
export type { History, InvalidationRecord, ReadRecord, Violation } from './race/check-history.ts'
export { playHistory } from './race/play-history.ts'
export type {
  RaceNode,
  RacePlay,
  RaceSize,
  RaceSource,
  RaceStage,
  RaceSubject,
  RaceValue,
} from './race/play-history.ts'
export { diceOf, pick } from '../base/dice.ts'
export type { Dice } from '../base/dice.ts'
export { Scheduler } from './race/scheduler.ts'
export { databaseSubject, raceDatabase, raceStores } from './race/database-subject.ts'
export type { RaceStore } from './race/database-subject.ts'
export { tidemarkSubject } from './race/tidemark-subject.ts'
