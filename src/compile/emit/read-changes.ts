import type { RelationName } from '../../model/ids.ts'
import { pairWeight } from '../../model/capture.ts'
import { beforeName, captureNames, loggedName, objectName } from '../../model/names.ts'
import { sqlName, sqlText } from '../syntax/sql-text.ts'
import type { ReadInto, ReadView } from './inputs.ts'
import { readPublished } from './inputs.ts'
import { indented } from './relation.ts'
import type { StoredStage } from './stored-stage.ts'

/** A source of a view, and how its changes are read. */
export interface ReadSource {
  readonly name: RelationName
  /** An update is one row of its log, with what was before; see `logsPairs`. */
  readonly pairs: boolean
  readonly columns: readonly {
    readonly name: string
    /** The type in the change log, with the collation of the table. */
    readonly logType: string
  }[]
}

/** What a program reads changes of. */
export interface ReadParts {
  readonly view: RelationName
  readonly sources: readonly ReadSource[]
  /** Maintained views that it reads. */
  readonly inputs: readonly ReadView[]
  readonly stages: readonly StoredStage[]
}

/** More changes than this are not published, nor read of what is. */
export const changesMax = 300_000

/** So many changes are soon followed, whatever it takes to compute all. */
const lookedAt = 1_000

/** The type of a change of a source. */
export const sourceChangeType = (source: RelationName, view: RelationName): string =>
  `tidemark_state.${sqlName(objectName(`change of ${source} for ${view}`))}`

const variable = (text: string): string => sqlName(objectName(text))

/** The variable with the changes of a source. */
export const sourceChanges = (source: string): string => variable(`changes of ${source}`)

/** The variable that has their number. */
export const sourceCount = (source: string): string => variable(`count of ${source}`)

const sourceTruncated = (source: string): string => variable(`truncated ${source}`)

/** The variables of what is read. */
export const readingDeclarations = (parts: ReadParts): readonly string[] => [
  ...[...parts.sources, ...parts.inputs].flatMap(({ name }) => [
    `${sourceChanges(name)} ${sourceChangeType(name, parts.view)}[];`,
    `${sourceCount(name)} bigint := 0;`,
    `${sourceTruncated(name)} boolean := false;`,
  ]),
  ...(parts.sources.length === 0 ? [] : ['ended tidemark.ended_xids;']),
  ...(looksFirst(parts) ? ['counted bigint;'] : []),
]

/** The statements that read what changed; `since` is null after them where everything is sooner computed afresh. */
export function readingStatements(parts: ReadParts): string {
  const { view, sources, inputs } = parts
  const published = inputs.map((input) =>
    readPublished(view, input, { into: variablesOf(input.name, view), changesMax }),
  )
  const reading = [
    ...(sources.length === 0 ? [] : ['  ended := tidemark.ended_since(since);']),
    ...published,
    ...(looksFirst(parts)
      ? [readCounted(parts)]
      : sources.map((source) => readChanges(view, source, 'bounded'))),
  ].join('\n')
  return `${reading}
  if ${tooMuch(parts).join('\n    or ') || 'false'} then
    since := null;
  end if;`
}

/** SQL that is true of changes that are dearer to follow than everything is to compute, of each source. */
function tooMuch(parts: ReadParts): readonly string[] {
  const { view, sources, inputs, stages } = parts
  const read = [...sources, ...inputs]
  const core = stages.at(-1)?.stage.core
  if (core?.kind === 'partition') {
    return read.map(({ name }) => {
      const max = core.rest.includes(name) ? 0 : changesMax
      return `${sourceTruncated(name)} or ${sourceCount(name)} > ${String(max)}`
    })
  }
  const whole = [
    ...read.map(({ name }) => sourceTruncated(name)),
    ...inputs.map(({ name }) => `${sourceCount(name)} > ${String(changesMax)}`),
  ]
  if (looksFirst(parts)) return whole
  return [...whole, `tidemark.prefers_full(${sqlText(view)}, ${countOf(read)})`]
}

const countOf = (read: readonly { readonly name: RelationName }[]): string =>
  read.map(({ name }) => sourceCount(name)).join(' + ') || '0'

/** Changes are counted before all are read, if they are many. */
const looksFirst = ({ sources, stages }: ReadParts): boolean =>
  sources.length > 0 && stages.at(-1)?.stage.core.kind !== 'partition'

/**
 * The changes of tables, read in one go where they are few. More are counted first, and read if they are to be followed: to
 * read them takes longer than to compute some views afresh.
 */
function readCounted({ view, sources, inputs }: ReadParts): string {
  const none = sources.map(
    ({ name }) =>
      `${sourceChanges(name)} := null; ${sourceCount(name)} := 0; ${sourceTruncated(name)} := false;`,
  )
  const whole = sources.map(({ name }) => sourceTruncated(name)).join(' or ')
  const count = countOf([...sources, ...inputs])
  const size = [...sources, ...inputs]
    .map(({ name }) => `coalesce(pg_column_size(${sourceChanges(name)}), 0)`)
    .join(' + ')
  const read = (reach: Reach): string =>
    sources.map((source) => readChanges(view, source, reach)).join('\n')
  return `${read('first')}
  counted := ${count};
  if counted > ${String(lookedAt)} then
    -- These may be only the first.
    counted := ${countOf(inputs)};
${indented(sources.map(countChanges).join('\n'))}
  end if;
  if ${whole} or tidemark.prefers_full(${sqlText(view)}, counted, counted * (${size}) / greatest(1.0, ${count})) then
    since := null;
  elsif counted > ${String(lookedAt)} then
${indented(none.join('\n'))}
${indented(read('all'))}
  end if;`
}

const variablesOf = (input: RelationName, view: RelationName): ReadInto => ({
  changeType: sourceChangeType(input, view),
  changes: sourceChanges(input),
  count: sourceCount(input),
  whole: sourceTruncated(input),
})

/** How many of the changes in a bucket are read: those that are soon followed, those that are followed at all, or all. */
type Reach = 'first' | 'bounded' | 'all'

const outerLimit: Readonly<Record<Reach, string>> = {
  first: `\n      limit ${String(lookedAt + 1)}`,
  bounded: `\n      limit ${String(changesMax + 1)}`,
  all: '',
}

/**
 * What keeps PostgreSQL from reading all of a log for the few rows that came after a load. It takes a range of transactions that
 * comes from another table for a ninth of the log, and of a ninth the first thousand are soon met; behind a fence it takes it
 * for a two-hundredth. The first in the order of the index are not met soon by any other way.
 */
const innerLimit = (reach: Reach): string =>
  reach === 'first' ? `order by xid limit ${String(lookedAt + 1)}` : 'offset 0'

/**
 * Rows of the log that the last refresh did not reflect and this one's snapshot shows. A bucket that no such transaction wrote
 * to is left out: planning to read nothing took a tenth of a refresh of one row.
 */
function readChanges(view: RelationName, source: ReadSource, reach: Reach): string {
  const { name, columns, pairs } = source
  const [changes, count, truncated] = [
    sourceChanges(name),
    sourceCount(name),
    sourceTruncated(name),
  ]
  const list = columns.map((column) => sqlName(loggedName(column.name)))
  const before = pairs ? columns.map((column) => sqlName(beforeName(column.name))) : []
  const image = (values: readonly string[], weight: string): string =>
    `row(${[...values.map((column) => `l.${column}`), weight].join(', ')})::${sourceChangeType(name, view)}`
  const images = pairs
    ? `array_agg(${image(list, `least(l.w, 1)`)}) || array_agg(${image(before, '-1')}) filter (where ${isPair('l')})`
    : `array_agg(${image(list, 'l.w')})`
  const read = eachBucket(
    name,
    (log) =>
      `select ${changes} || ${images}, ${count} + ${counted(source, 'l')}, ${truncated} or coalesce(bool_or(${isUntold(source, 'l')}), false)
    into ${changes}, ${count}, ${truncated}
    from (
      select found.* from unnest(ended.lows, ended.highs) as r (low, high),
        lateral (select ${['w', ...list, ...before].join(', ')} from ${log} where xid >= r.low and xid < r.high ${innerLimit(reach)}) as found${outerLimit[reach]}
    ) as l;`,
  )
  return `  -- What was committed to ${name} since.\n${read}`
}

const isPair = (row: string): string => `${row}.w = ${String(pairWeight)}`

/** How many changes rows of a log are. */
const counted = ({ pairs }: ReadSource, row: string): string =>
  pairs ? `(count(*) + count(*) filter (where ${isPair(row)}))` : 'count(*)'

/**
 * That a row of a log tells less than what happened. So does one of an update to a program that knows of no images of before: an apply
 * that was cut short may have left one over a log that has them by now.
 */
const isUntold = ({ pairs }: ReadSource, row: string): string =>
  pairs ? `${row}.w = 0` : `${row}.w in (0, ${String(pairWeight)})`

/** Adds up how many changes a log has, and whether one of them says that there is more than it tells. */
function countChanges(source: ReadSource): string {
  const { name } = source
  const truncated = sourceTruncated(name)
  const more = `counted + ${counted(source, 'found')}`
  const whole = `${truncated} or coalesce(bool_or(${isUntold(source, 'found')}), false)`
  return eachBucket(
    name,
    (log) => `select ${more}, ${whole}
    into counted, ${truncated}
    from unnest(ended.lows, ended.highs) as r (low, high),
      lateral (select w from ${log} where xid >= r.low and xid < r.high offset 0) as found;`,
  )
}

/** A statement about each bucket of a log that has something new. */
const eachBucket = (source: RelationName, statement: (log: string) => string): string =>
  ([0, 1, 2] as const)
    .map(
      (bucket) => `  if ended.buckets[${String(bucket + 1)}] then
    ${statement(`tidemark.${sqlName(captureNames.log(source, bucket))}`)}
  end if;`,
    )
    .join('\n')
