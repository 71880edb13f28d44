import type { IncrementalProgram } from '../compile/emit-incremental.ts'
import type { PartitionWish } from '../compile/draft-partition.ts'
import { draftPartition } from '../compile/draft-partition.ts'
import type { StoredStage } from '../compile/emit-stage.ts'
import type { IncrementalDraft, IncrementalWish, Obstacle } from '../compile/incremental.ts'
import {
  draftIncremental,
  finishIncremental,
  recomputingOf,
  storedStages,
} from '../compile/incremental.ts'
import { lookupsOf, proposedIndexes } from '../compile/indexes.ts'
import { possibleIndexes, readLookupTables } from '../define/lookup-tables.ts'
import { unreadableSources } from '../define/privileges.ts'
import { probeTypes } from '../define/probe-types.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import type { Queryable } from '../postgres/connection.ts'

/** What became of a query that was to be maintained from what changes. */
export interface MadeProgram {
  /** Null: it is computed in full. */
  readonly program: IncrementalProgram | null
  /** Why there is none; of one that was asked for, the parts of it that have no rule. */
  readonly obstacles: readonly Obstacle[]
  /** The query bound and cut; null where that was of no use. */
  readonly draft: IncrementalDraft | null
  readonly stages: readonly StoredStage[]
  readonly indexes: readonly IndexProposal[]
}

/** A query, and who would run its program. */
export interface ProgramWish {
  readonly wish: IncrementalWish
  /** Who owns the view, and so its program. */
  readonly owner: string
  readonly maintain: 'auto' | 'incremental' | 'partition'
  readonly partition: PartitionWish
}

/**
 * The program of a query that is maintained from what changes. With `incremental` also one with parts that are computed as
 * a whole whenever something changes; with `auto` one in which everything has a rule, else one that computes afresh the
 * partitions in which something changed. Leaves nothing in the database.
 */
export async function programOf(transaction: Queryable, wanted: ProgramWish): Promise<MadeProgram> {
  const { wish, maintain, partition } = wanted
  if (maintain === 'partition')
    return madeOf(transaction, await draftPartition(wish, partition), wanted)
  const made = await madeOf(transaction, await draftIncremental(wish), wanted)
  if (made.program !== null || maintain === 'incremental') return made
  const other = await madeOf(transaction, await draftPartition(wish, partition), wanted)
  if (other.program !== null) return { ...other, obstacles: made.obstacles }
  // Why there is no partition either is of interest to who asked for one.
  const asked = partition.by !== null
  return asked ? { ...made, obstacles: [...made.obstacles, ...other.obstacles] } : made
}

async function madeOf(
  transaction: Queryable,
  draft: IncrementalDraft | readonly Obstacle[],
  { owner, maintain }: ProgramWish,
): Promise<MadeProgram> {
  const forced = maintain === 'incremental'
  if (!('stages' in draft)) return noProgram(draft)
  const unreadable = await unreadableSources(transaction, owner, draft.wish.query.sources)
  if (unreadable.length > 0) {
    const reason = `${owner}, who owns it, may not read ${unreadable.join(', ')} itself`
    return noProgram([{ reason }])
  }
  if (!forced && draft.obstacles.length > 0) return { ...noProgram(draft.obstacles), draft }
  const types = await probeTypes(
    transaction,
    draft.probes.map(({ sql }) => sql),
  )
  const program = finishIncremental(draft, types)
  if (!('maintainSql' in program)) return { ...noProgram(program), draft }
  const stages = storedStages(draft, types)
  return {
    program,
    obstacles: draft.obstacles,
    draft,
    stages,
    indexes: await indexesFor(transaction, stages),
  }
}

/** No program, and why. */
export const noProgram = (obstacles: readonly Obstacle[]): MadeProgram => ({
  program: null,
  obstacles,
  draft: null,
  stages: [],
  indexes: [],
})

async function indexesFor(
  transaction: Queryable,
  stages: readonly StoredStage[],
): Promise<readonly IndexProposal[]> {
  const lookups = lookupsOf(
    stages.map(({ stage }) => stage),
    ({ number }) => recomputingOf(stages.find(({ stage }) => stage.number === number)),
  )
  const tables = lookups.flatMap(({ choices }) => choices.map(({ table }) => table))
  const facts = await readLookupTables(transaction, [...new Set(tables)])
  return possibleIndexes(transaction, proposedIndexes(lookups, facts))
}
