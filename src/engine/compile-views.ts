import { compileView, textsOf } from '../compile/compile-view.ts'
import type { ReadView } from '../compile/emit/inputs.ts'
import type { IncrementalWish } from '../compile/emit/draft.ts'
import { placedReason } from '../compile/syntax/written-place.ts'
import type { Actual } from '../define/actual.ts'
import type { DesiredView } from '../define/desired.ts'
import { inLayers } from '../define/groups.ts'
import { probeTypes } from '../define/probe-types.ts'
import type { SourceShape } from '../model/capture.ts'
import type { Configuration, ViewDeclaration } from '../model/declaration.ts'
import { TidemarkError } from '../model/errors.ts'
import type { RelationName } from '../model/ids.ts'
import type { CanonicalQuery } from '../model/view.ts'
import type { Queryable } from '../postgres/connection.ts'
import { identifier } from '../postgres/identifier.ts'
import { computedAltogether } from './altogether.ts'
import { isCached } from './journals.ts'
import { partitionWish } from './partition.ts'
import { placed } from './placed.ts'
import type { MadeProgram, ProgramWish } from './program.ts'
import { noProgram, programsOf } from './program.ts'
import type { HiddenFrom } from './row-security.ts'
import { hiddenReason, hiddenRows, rowSecurityFault } from './row-security.ts'

/** A view compiled, with what led there. */
export interface ViewInMaking extends DesiredView {
  readonly made: MadeProgram
}

/** What the server has said of the queries of a configuration and of the tables that they read. */
export interface Understood {
  readonly queries: ReadonlyMap<RelationName, CanonicalQuery>
  /** What there was of the declared names. */
  readonly before: Actual
  readonly shapes: ReadonlyMap<RelationName, SourceShape>
  /** Tables that cannot be captured. */
  readonly refused: ReadonlyMap<RelationName, string>
}

/**
 * Compiles the views of a configuration, those that read one another after their inputs; the server is asked about all of a
 * layer at once. Leaves nothing in the database.
 */
export async function compileViews(
  transaction: Queryable,
  configuration: Configuration,
  understood: Understood,
): Promise<readonly ViewInMaking[]> {
  const done = new Map<RelationName, ViewInMaking>()
  const known = configuration.views.flatMap((declaration) => {
    const found = understood.queries.get(declaration.name)
    if (found === undefined) return []
    return [{ name: declaration.name, inputs: found.inputs, declaration, found }]
  })
  // Whether a view tells what changes in it is known once it is compiled.
  for (const layer of inLayers(known)) {
    const wanted = layer.map(({ declaration, found }) => ({
      declaration,
      wish: wishOf(configuration, understood, { declaration, found, done }),
      owner:
        understood.before.relations.get(declaration.name)?.relation.owner ?? understood.before.role,
    }))
    const hidden = await hiddenFromOwners(transaction, wanted)
    const programs = await madePrograms(transaction, wanted, hidden)
    const hashable = await hashableColumns(transaction, wanted)
    for (const [at, { declaration, wish }] of wanted.entries()) {
      const made = programs[at] ?? noProgram([])
      const { program, obstacles, indexes } = made
      const compiled = await placed(declaration.name, async () => {
        await refuseUnmade(declaration, wish, made)
        return compileView({
          declaration,
          query: wish.query,
          timeZone: wish.timeZone,
          uniqueBesidesKey: wish.uniqueIndexes,
          hashable: hashable.get(declaration.name) ?? [],
          incremental: program ?? obstacles,
          obstacles,
          altogether: computedAltogether(
            made.stages,
            await textsOf(declaration.definition, wish.query),
          ),
        })
      })
      done.set(declaration.name, { declaration, compiled, indexes, made })
    }
  }
  return configuration.views.flatMap(({ name }) => done.get(name) ?? [])
}

interface ViewInReading {
  readonly declaration: ViewDeclaration
  readonly found: CanonicalQuery
  readonly done: ReadonlyMap<RelationName, ViewInMaking>
}

function wishOf(
  configuration: Configuration,
  { queries, before, shapes, refused }: Understood,
  { declaration, found, done }: ViewInReading,
): IncrementalWish {
  const { name, key } = declaration
  const isDeclared = (input: RelationName): boolean =>
    configuration.views.some((view) => view.name === input)
  const leaves = (input: RelationName): boolean => !isDeclared(input)
  const query = {
    ...found,
    sources: found.sources.filter(({ relation }) => !refused.has(relation)),
    inputs: found.inputs.filter(isDeclared),
    uncaptured: [
      ...found.uncaptured,
      ...found.inputs.filter(leaves),
      ...found.sources.map(({ relation }) => relation).filter((source) => refused.has(source)),
    ].sort(),
    // Given back, it is a materialized view of somebody else's.
    copied: [...found.copied, ...found.inputsRead.filter((input) => leaves(input.name))],
  }
  return {
    view: name,
    query,
    shapes,
    timeZone: configuration.timeZone,
    uniqueIndexes: hasUniqueIndex(declaration, before),
    floatSums: declaration.floatSums,
    key,
    inputs: query.inputs.flatMap((input) => toldBy(done.get(input))),
    publishes:
      isCached(configuration, name) ||
      configuration.views.some((reader) => listens(reader, queries.get(reader.name), name)),
  }
}

/** A view as others can read what changes in it; nothing when it does not tell. */
const toldBy = (input: DesiredView | undefined): readonly ReadView[] =>
  input === undefined || input.compiled.incremental === null
    ? []
    : [{ name: input.compiled.name, columns: input.compiled.query.columns }]

/** Whether a view may want to know what changes in another. */
const listens = (
  { as, maintain }: ViewDeclaration,
  query: CanonicalQuery | undefined,
  input: RelationName,
): boolean => as !== 'matview' && maintain !== 'full' && query?.inputs.includes(input) === true

interface MaybeIncremental {
  readonly declaration: ViewDeclaration
  readonly wish: IncrementalWish
  /** Who owns the view, and so its program. */
  readonly owner: string
}

/**
 * What row-level security hides from the owners of views.
 * Throws `TIDEMARK_ROW_SECURITY` for one that could not be computed. Of a materialized view PostgreSQL computes what its
 * owner may see.
 */
async function hiddenFromOwners(
  transaction: Queryable,
  views: readonly MaybeIncremental[],
): Promise<readonly HiddenFrom[]> {
  const hidden = await hiddenRows(
    transaction,
    views.map(({ owner, wish: { query } }) => ({ role: owner, query })),
  )
  for (const [at, { declaration }] of views.entries()) {
    const [first] = hidden[at]?.query ?? []
    if (first === undefined || declaration.as === 'matview') continue
    await placed(declaration.name, () => Promise.reject(rowSecurityFault(declaration.name, first)))
  }
  return hidden
}

/** The programs of those views that may be maintained from what changes. */
async function madePrograms(
  transaction: Queryable,
  views: readonly MaybeIncremental[],
  hidden: readonly HiddenFrom[],
): Promise<readonly MadeProgram[]> {
  const wanted = new Map<MaybeIncremental, ProgramWish>()
  const programs = new Map<MaybeIncremental, MadeProgram>()
  for (const [at, view] of views.entries()) {
    const { declaration, wish, owner } = view
    const { name, as, maintain } = declaration
    if (as === 'matview' || maintain === 'full') continue
    const changes = hidden[at]?.changes ?? []
    if (changes.length > 0) {
      programs.set(view, noProgram([{ reason: hiddenReason(owner, changes) }]))
      continue
    }
    const partition = await placed(name, () =>
      partitionWish(transaction, declaration, wish.inputs ?? []),
    )
    wanted.set(view, { wish, owner, maintain, partition })
  }
  const made = await programsOf(transaction, [...wanted.values()])
  for (const [at, view] of [...wanted.keys()].entries()) {
    programs.set(view, made[at] ?? noProgram([]))
  }
  return views.map((view) => programs.get(view) ?? noProgram([]))
}

/** Throws `TIDEMARK_NOT_INCREMENTAL` or `TIDEMARK_NOT_PARTITIONED` when that was asked for and cannot be had. */
async function refuseUnmade(
  { name, as, maintain, definition }: ViewDeclaration,
  { query }: IncrementalWish,
  { program, obstacles }: MadeProgram,
): Promise<void> {
  if (as === 'matview' || maintain === 'full' || maintain === 'auto' || program !== null) return
  const texts = await textsOf(definition, query)
  const reasons = obstacles.map((obstacle) => placedReason(obstacle, texts))
  throw new TidemarkError({
    ...(maintain === 'incremental'
      ? {
          code: 'TIDEMARK_NOT_INCREMENTAL',
          what: `${name} cannot be maintained incrementally: ${reasons.join('; ')}`,
        }
      : {
          code: 'TIDEMARK_NOT_PARTITIONED',
          what: `${name} cannot be maintained partition by partition: ${reasons.join('; ')}`,
        }),
    mend: "Change the query there, or say maintain: 'auto'.",
  })
}

/** The columns of the results of those that are tables by whose hash rows may be looked up. */
async function hashableColumns(
  transaction: Queryable,
  views: readonly MaybeIncremental[],
): Promise<ReadonlyMap<RelationName, readonly string[]>> {
  const tables = views.filter(({ declaration }) => declaration.as === 'table')
  // Of the types alone: what the query reads may be no more than planned.
  const nulls = tables.map(({ wish: { query } }) =>
    query.columns.map(({ name, type }) => `null::${type} as ${identifier(name)}`).join(', '),
  )
  const types = await probeTypes(
    transaction,
    nulls.map((list) => `select ${list}`),
  )
  return new Map(
    tables.map(({ declaration, wish: { query } }, n) => [
      declaration.name,
      query.columns.flatMap(({ name }, at) => (types[n]?.[at]?.hashable === true ? [name] : [])),
    ]),
  )
}

/** An adopted view may have unique indexes of its own; they come along. */
function hasUniqueIndex(declaration: ViewDeclaration, actual: Actual): boolean {
  const row = actual.catalogue.view.find(({ name }) => name === declaration.name)
  return (
    declaration.definition.kind === 'adopt' ||
    row?.['adopted'] === true ||
    // Those of a table are not on its state.
    (declaration.as !== 'table' && declaration.indexes.some((index) => /^unique\s/i.test(index)))
  )
}
