import { must } from '../base/assert.ts'
import type { IncrementalProgram } from '../compile/emit/incremental.ts'
import type { PartitionWish } from '../compile/draft-partition.ts'
import { draftPartition } from '../compile/draft-partition.ts'
import type { StoredStage } from '../compile/emit/stored-stage.ts'
import type { IncrementalDraft, IncrementalWish, Obstacle } from '../compile/emit/draft.ts'
import {
  draftIncremental,
  finishIncremental,
  recomputingOf,
  storedStages,
} from '../compile/incremental.ts'
import { lookupsOf, proposedIndexes } from '../compile/propose/indexes.ts'
import { possibleIndexes, readLookupTables } from '../define/lookup-tables.ts'
import { unreadableSources } from '../define/privileges.ts'
import { probeTypes } from '../define/probe-types.ts'
import type { RelationName } from '../model/ids.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import type { ColumnType } from '../model/view.ts'
import type { Queryable } from '../postgres/connection.ts'
import { placed } from './placed.ts'

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
  const [made] = await programsOf(transaction, [wanted])
  return must(made, 'each wish is answered')
}

/** The programs of many, in their order; the server is asked about all of them at once. */
export async function programsOf(
  transaction: Queryable,
  wanted: readonly ProgramWish[],
): Promise<readonly MadeProgram[]> {
  const first = await finished(
    transaction,
    await Promise.all(
      wanted.map((wish) => (wish.maintain === 'partition' ? byPartition(wish) : byChanges(wish))),
    ),
  )
  const missed = first.filter(
    ({ wanted: { maintain }, made }) => maintain === 'auto' && made.program === null,
  )
  const second = await finished(
    transaction,
    await Promise.all(missed.map((one) => byPartition(one.wanted))),
  )
  return first.map((one) => {
    const other = second.find((each) => each.wanted === one.wanted)
    return other === undefined ? one.made : betterOf(one, other.made)
  })
}

/** A wish, with its query bound and cut as far as that went. */
interface Drafted {
  readonly wanted: ProgramWish
  readonly draft: IncrementalDraft | readonly Obstacle[]
}

interface Made {
  readonly wanted: ProgramWish
  readonly made: MadeProgram
}

const byChanges = async (wanted: ProgramWish): Promise<Drafted> => ({
  wanted,
  draft: await placed(wanted.wish.view, () => draftIncremental(wanted.wish)),
})

const byPartition = async (wanted: ProgramWish): Promise<Drafted> => ({
  wanted,
  draft: await placed(wanted.wish.view, () => draftPartition(wanted.wish, wanted.partition)),
})

/** The program by partition where there is one, and why it is not incremental; else why there is neither. */
function betterOf({ wanted, made }: Made, other: MadeProgram): MadeProgram {
  if (other.program !== null) return { ...other, obstacles: made.obstacles }
  // Why there is no partition either is of interest to who asked for one.
  const asked = wanted.partition.by !== null
  return asked ? { ...made, obstacles: [...made.obstacles, ...other.obstacles] } : made
}

async function finished(
  transaction: Queryable,
  drafted: readonly Drafted[],
): Promise<readonly Made[]> {
  const cut = drafted.flatMap(({ wanted, draft }) => ('stages' in draft ? [{ wanted, draft }] : []))
  const hidden = await unreadableSources(
    transaction,
    cut.map(({ wanted, draft }) => ({ role: wanted.owner, sources: draft.wish.query.sources })),
  )
  const shut = new Map(cut.map(({ wanted }, at) => [wanted, hidden[at] ?? []]))
  const open = cut.filter(
    ({ wanted, draft }) =>
      shut.get(wanted)?.length === 0 &&
      (wanted.maintain === 'incremental' || draft.obstacles.length === 0),
  )
  const types = await typesOf(
    transaction,
    open.map(({ draft }) => draft),
  )
  const made = await withIndexes(
    transaction,
    open.map(({ wanted, draft }, at) => ({ wanted, made: completed(draft, types[at] ?? []) })),
  )
  return drafted.map(
    ({ wanted, draft }) =>
      made.find((one) => one.wanted === wanted) ?? {
        wanted,
        made: unfinished(wanted, draft, shut.get(wanted) ?? []),
      },
  )
}

/** Why no program was made of a draft. */
function unfinished(
  { owner }: ProgramWish,
  draft: Drafted['draft'],
  hidden: readonly RelationName[],
): MadeProgram {
  if (!('stages' in draft)) return noProgram(draft)
  if (hidden.length === 0) return { ...noProgram(draft.obstacles), draft }
  const reason = `${owner}, who owns it, may not read ${hidden.join(', ')} itself`
  return noProgram([{ reason }])
}

/** What the server says of the probes of each draft. */
async function typesOf(
  transaction: Queryable,
  drafts: readonly IncrementalDraft[],
): Promise<readonly (readonly (readonly ColumnType[])[])[]> {
  const probes = drafts.flatMap((draft) => draft.probes.map(({ sql }) => ({ draft, sql })))
  const types = await probeTypes(
    transaction,
    probes.map(({ sql }) => sql),
  )
  return drafts.map((draft) => types.filter((_, at) => probes[at]?.draft === draft))
}

function completed(
  draft: IncrementalDraft,
  types: readonly (readonly ColumnType[])[],
): MadeProgram {
  const program = finishIncremental(draft, types)
  if (!('maintainSql' in program)) return { ...noProgram(program), draft }
  const stages = storedStages(draft, types)
  return { program, obstacles: draft.obstacles, draft, stages, indexes: [] }
}

/** No program, and why. */
export const noProgram = (obstacles: readonly Obstacle[]): MadeProgram => ({
  program: null,
  obstacles,
  draft: null,
  stages: [],
  indexes: [],
})

/** Programs with the indexes that their refreshes would look rows up by. */
async function withIndexes(
  transaction: Queryable,
  programs: readonly Made[],
): Promise<readonly Made[]> {
  const looking = programs.map((one) => ({ ...one, lookups: lookupsIn(one.made.stages) }))
  const tables = looking.flatMap(({ lookups }) =>
    lookups.flatMap(({ choices }) => choices.map(({ table }) => table)),
  )
  const facts = await readLookupTables(transaction, [...new Set(tables)])
  const indexed: Made[] = []
  for (const { wanted, made, lookups } of looking) {
    const indexes = await possibleIndexes(transaction, proposedIndexes(lookups, facts))
    indexed.push({ wanted, made: { ...made, indexes } })
  }
  return indexed
}

const lookupsIn = (stages: readonly StoredStage[]): ReturnType<typeof lookupsOf> =>
  lookupsOf(
    stages.map(({ stage }) => stage),
    ({ number }) => recomputingOf(stages.find(({ stage }) => stage.number === number)),
  )
