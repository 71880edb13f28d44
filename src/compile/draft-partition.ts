import { must } from '../base/assert.ts'
import type { RelationName } from '../model/ids.ts'
import type { ColumnType } from '../model/view.ts'
import { spanParts, timeIn } from './emit/cut.ts'
import { itemOf, newStatement } from './emit/relation.ts'
import { emitDelta } from './emit/delta.ts'
import type { StageContext } from './emit/stored-stage.ts'
import { freeIn } from './algebra/references.ts'
import { asksClock } from './algebra/clock.ts'
import type { ColumnId, Expression } from './algebra/expression.ts'
import {
  columnOf,
  columnsIn,
  replacedDeep,
  sameExpression,
  sqlOf,
  substituted,
} from './algebra/expression.ts'
import { functionName } from './syntax/functions.ts'
import type { BoundWish } from './incremental.ts'
import type { IncrementalDraft, IncrementalWish, Obstacle } from './emit/draft.ts'
import { boundWish, probingNames, refusalsOf } from './incremental.ts'
import { inferKey } from './key.ts'
import { parseQuery } from './syntax/parse.ts'
import type { Cutting } from './algebra/partition-cuts.ts'
import { byName, cutBy } from './algebra/partition-cuts.ts'
import type { Partition, Relation, Scan } from './algebra/relation.ts'
import { columnsOf, isKeyed, relationsIn, scansIn } from './algebra/relation.ts'
import { sqlName } from './syntax/sql-text.ts'
import type { Stage } from './algebra/stages.ts'
import { hasSubquery, nodesOf } from './syntax/walk.ts'
import type { TypeProbe } from './emit/type-probes.ts'
import { probesOf } from './emit/type-probes.ts'

/** How a view wants to be kept up partition by partition. */
export interface PartitionWish {
  /** The column of the view that is the partition key; null: whichever cuts best. */
  readonly by: string | null
  /** The keys of sources as declared, over their columns by name; none: they are to be found. */
  readonly keys: ReadonlyMap<RelationName, Expression>
  /** What functions read that PostgreSQL cannot look into; null when nobody has said. */
  readonly reads: readonly RelationName[] | null
}

/** An expression as the server printed it in `select <expression> from <table>`, over columns by name. */
export async function keyIn(printed: string): Promise<Expression> {
  const { select } = await parseQuery(printed)
  const [target] = select.targetList ?? []
  const value = target !== undefined && 'ResTarget' in target ? target.ResTarget.val : undefined
  return replacedDeep(must(value, 'a query that was made for it has one column'), (node) => {
    if (!('ColumnRef' in node)) return undefined
    const field = node.ColumnRef.fields?.at(-1)
    return field !== undefined && 'String' in field ? columnOf(field.String.sval ?? '') : undefined
  })
}

/**
 * Binds a query and makes one stage of it, by a column of its result.
 * Obstacles when it has none by which anything could be cut.
 */
export async function draftPartition(
  given: IncrementalWish,
  wanted: PartitionWish,
): Promise<IncrementalDraft | readonly Obstacle[]> {
  const refusals = refusedHere(given, wanted)
  if (refusals.length > 0) return refusals
  const more = new Map(
    [...wanted.keys].map(([name, key]) => [name as string, columnsIn(key)] as const),
  )
  const found = await boundWish(withColumns(given, more), more)
  if (!('bound' in found)) return found
  if (scansIn(found.bound.relation).some(({ of }) => of.kind === 'member'))
    return [{ reason: 'it reads a table of a tree by ONLY, or a partition by its name' }]
  const chosen = chosenCutting(found, wanted)
  if ('obstacle' in chosen) return [chosen.obstacle]
  // What functions read of a table that the query reads as well, no join tells.
  const read = wanted.reads?.filter((name) => isRead(found, name)) ?? []
  const rest = [...new Set([...chosen.cutting.rest, ...read])]
  const cutting = { ...chosen.cutting, rest }
  return draftOf(found, { ...chosen, cutting }, await pairingKey(found.wish))
}

const isRead = ({ wish }: BoundWish, name: RelationName): boolean =>
  wish.query.sources.some(({ relation }) => relation === name)

/** Names of functions that ask the clock, wherever they are called. */
const clocks = ['now', 'current_date', 'current_timestamp', 'localtimestamp', 'statement_timestamp']

function refusedHere(given: IncrementalWish, { reads }: PartitionWish): readonly Obstacle[] {
  const { query } = given
  return [
    ...refusalsOf({ ...given, query: { ...query, opaqueFunctions: [], copied: [] } }),
    ...(reads === null
      ? query.opaqueFunctions.map((name) => ({
          reason: `it calls ${name}; say under reads what it reads, reads: [] for nothing`,
          at: [{ kind: 'function' as const, name }],
        }))
      : []),
    ...(query.timeDependent
      ? [
          {
            reason: 'it asks the clock, which moves every partition',
            at: clocks.map((name) => ({ kind: 'function' as const, name })),
          },
        ]
      : []),
  ]
}

/** A declared key may be of columns that the query does not read. */
function withColumns(
  given: IncrementalWish,
  more: ReadonlyMap<string, ReadonlySet<string>>,
): IncrementalWish {
  const sources = given.query.sources.map(({ relation, columns }) => ({
    relation,
    columns: [...new Set([...columns, ...(more.get(relation) ?? [])])],
  }))
  return { ...given, query: { ...given.query, sources } }
}

interface Chosen {
  readonly by: ColumnId
  readonly cutting: Cutting
  readonly proven: boolean
}

type NoKey = { readonly obstacle: Obstacle }

function chosenCutting(found: BoundWish, wanted: PartitionWish): Chosen | NoKey {
  const { bound, facts, wish } = found
  const ids = columnsOf(bound.relation)
  const named = wish.query.columns.map(({ name, type }, at) => ({
    name,
    type,
    id: must(ids[at], 'a column has an id'),
  }))
  const possible = named.filter(({ name, type }) =>
    wanted.by === null ? !isArray(type) : name === wanted.by,
  )
  if (possible.length === 0) {
    if (wanted.by === null) return noKey(uncut)
    const list = named.map(({ name }) => name).join(', ')
    return noKey(`it has no column ${wanted.by} to be partitioned by; its columns are ${list}`)
  }
  const cuttings = possible.map(({ id }) => ({ by: id, cutting: cutBy(bound.relation, id, facts) }))
  if (wanted.keys.size > 0)
    return declaredCutting(found, wanted, must(cuttings[0], 'by is declared'))
  const usable = cuttings.filter(({ cutting }) => fault(cutting, found, wanted) === null)
  const best = usable.toSorted((one, other) => costOf(one.cutting) - costOf(other.cutting))[0]
  if (best !== undefined) return { ...best, proven: true }
  const reasons = cuttings.flatMap(({ cutting }) => fault(cutting, found, wanted) ?? [])
  return noKey(reasons.find((reason) => reason !== uncut) ?? uncut)
}

const noKey = (reason: string): NoKey => ({ obstacle: { reason } })

const uncut = 'no column of its result is a key by which a table could be read in part'

/** Why a cutting is of no use; null when it is. */
function fault(
  { cuts, affected, divided }: Cutting,
  { wish }: BoundWish,
  { reads }: PartitionWish,
): string | null {
  const [twice] = divided
  if (cuts.length === 0)
    return twice === undefined ? uncut : `it reads ${twice} twice, and only once by the key`
  const opaque = new Set(wish.query.opaqueFunctions.map((name) => name.replace(/\(.*$/s, '')))
  const calls = affected.some(({ key }) =>
    nodesOf(key).some(({ kind, node }) => kind === 'FuncCall' && opaque.has(functionName(node))),
  )
  if (calls) return 'the partition key is reckoned by a function that is not immutable'
  const read = cuts.find(({ name }) => reads?.includes(name) === true)
  return read === undefined ? null : `its functions read ${read.name}, of all partitions`
}

/** What concerns every partition is dearest; then keys that are reckoned from a time are what one expects. */
const costOf = ({ cuts, rest }: Cutting): number =>
  2 * rest.length + (cuts.some(({ key }) => timeIn(key) !== null) ? 0 : 1)

function declaredCutting(
  { bound }: BoundWish,
  wanted: PartitionWish,
  { by, cutting }: Pick<Chosen, 'by' | 'cutting'>,
): Chosen | NoKey {
  const scans = [...relationsIn(bound.relation)].filter((each) => each.kind === 'scan')
  const cuts: Partition['cuts'][number][] = []
  for (const [name, key] of wanted.keys) {
    const scan = scans.find(({ of }) => of.kind !== 'stage' && of.name === name)
    if (scan === undefined)
      return noKey(`it does not read ${name}, whose partition key is declared`)
    if (hasSubquery(key) || asksClock(key))
      return noKey(`the partition key of ${name} is no expression over its columns alone`)
    if (wanted.reads?.includes(name) === true)
      return noKey(`its functions read ${name}, of all partitions`)
    cuts.push({ scan, name, key: byId(scan, key) })
  }
  const same = cuts.every(({ name, scan, key }) => {
    const detected = cutting.cuts.find((cut) => cut.name === name)
    return (
      detected !== undefined &&
      sameExpression(byName(detected.scan, detected.key), byName(scan, key))
    )
  })
  if (same) return { by, cutting, proven: true }
  const cutNames = new Set<string>(cuts.map(({ name }) => name))
  const rest = scans.flatMap(({ of }) =>
    of.kind === 'stage' || cutNames.has(of.name) ? [] : [of.name],
  )
  return {
    by,
    proven: false,
    cutting: {
      cuts,
      affected: cuts.map(({ scan, key }) => ({ input: scan, key })),
      rest: [...new Set(rest)],
      alike: [],
      divided: [],
      isTight: false,
    },
  }
}

const byId = ({ columns }: Scan, key: Expression): Expression =>
  substituted(key, new Map(columns.map(({ id, name }) => [name, columnOf(id)])))

const pairingKey = async ({ key, query }: IncrementalWish): Promise<readonly string[] | null> =>
  key ??
  inferKey(await parseQuery(query.sql), {
    columns: query.columns.map(({ name }) => name),
    returnsSets: query.returnsSets,
  })

function draftOf(
  { wish: given, facts, bound }: BoundWish,
  { by, cutting, proven }: Chosen,
  key: readonly string[] | null,
): IncrementalDraft {
  const wish = { ...given, key }
  const { cuts, affected, rest, isTight } = cutting
  const core: Partition = {
    kind: 'partition',
    input: bound.relation,
    by,
    cuts,
    affected,
    rest,
    proven,
    isTight,
  }
  const stage: Stage = {
    number: 1,
    core,
    having: [],
    outputs: columnsOf(core).map((id) => ({ id, expression: columnOf(id) })),
    key: [{ id: 'key 1', expression: columnOf(by) }],
    linear: false,
    unique: false,
  }
  const context = { facts, names: probingNames(wish, facts, [stage]) }
  return {
    wish,
    facts,
    relation: bound.relation,
    stages: [stage],
    names: bound.names,
    obstacles: [],
    probes: [
      ...probesOf(context, stage),
      ...innerProbes(context, bound.relation),
      ...keyProbes(context, cutting),
    ],
    strategy: 'partition',
    judgeTypes: (typeOf) => judged(core, cutting, typeOf),
  }
}

/** What a stage of its own would be asked of, of every part that would be one. What depends on a row around it is not. */
const innerProbes = (context: StageContext, relation: Relation): readonly TypeProbe[] =>
  [...new Set(relationsIn(relation))]
    .filter((core) => isKeyed(core) && core.kind !== 'whole' && freeIn(core).size === 0)
    .flatMap((core) => {
      const outputs = columnsOf(core).map((id) => ({ id, expression: columnOf(id) }))
      return probesOf(context, {
        number: 0,
        core,
        having: [],
        outputs,
        key: [],
        linear: false,
        unique: false,
      })
    })

/** The types by which it is judged whether a column can be the key, and of the times that keys are reckoned from. */
function keyProbes(context: StageContext, { cuts, alike }: Cutting): readonly TypeProbe[] {
  const probe = (of: Relation, expressions: readonly Expression[]): TypeProbe => {
    const list = expressions.map((one, at) => `${sqlOf(one)} as ${sqlName(`p${String(at + 1)}`)}`)
    const { sql } = itemOf(newStatement(context.names, context.facts, emitDelta), of, 'new')
    return { sql: `select ${list.join(', ')}\nfrom ${sql}`, expressions }
  }
  return [
    ...cuts.map(({ scan, key }) => probe(scan, spanParts(key))),
    ...alike.map(({ of, expression }) => probe(of, [expression])),
  ]
}

function judged(
  { by, cuts }: Partition,
  { alike }: Cutting,
  typeOf: (expression: Expression) => ColumnType,
): readonly Obstacle[] {
  const arrays = isArray(typeOf(columnOf(by)).type)
    ? [{ reason: 'the partition key is an array' }]
    : []
  const looks = alike
    .filter(({ expression }) => !typeOf(expression).imageEqual)
    .map(({ expression }) => ({
      reason: `the partition key is reckoned from a group of ${typeOf(expression).type}, of which equal values may look different`,
    }))
  const wanted = plainType(typeOf(columnOf(by)))
  const types = cuts
    .filter(({ key }) => plainType(typeOf(key)) !== wanted)
    .map(({ name, key }) => ({
      reason: `the partition key is of type ${wanted}, and of ${name} it is of type ${plainType(typeOf(key))}`,
    }))
  return [...arrays, ...looks, ...types]
}

/** The keys of a refresh are an array, and there are no arrays of arrays. */
const isArray = (type: string): boolean => /\[\]$|vector$/.test(type)

/** Without length or precision. */
const plainType = ({ type }: ColumnType): string => type.replace(/\(\d+(,\d+)?\)/, '')
