import type {
  ExplainedError,
  ExplainedFile,
  ExplainedReason,
  Explanation,
  StageSummary,
} from '../../engine/explain.ts'
import { methodWords } from '../../engine/explain.ts'
import type { IndexProposal } from '../../model/index-proposal.ts'
import type { Style } from '../surroundings.ts'
import { counted, oneLine } from './figures.ts'
import { nameOf } from './status.ts'
import { wrap } from './table.ts'

const indent = '  '

/** How a view is maintained, for people. */
export function renderExplanation(explanation: Explanation, style: Style): readonly string[] {
  return [titleOf(explanation, style), ...bodyOf(explanation, style, true)]
}

/** How the queries of a file would be maintained. */
export function renderFile(
  { queries, passedOver }: ExplainedFile,
  style: Style,
): readonly string[] {
  const full = queries.filter(({ strategy }) => strategy === 'full').length
  const wrong = queries.filter(({ error }) => error !== null).length
  const refused = queries.filter(({ error }) => wordOf(error) === 'refused').length
  const parted = queries.filter(({ strategy }) => strategy === 'partition').length
  const parts = [
    `${String(queries.length - full - parted - wrong)} incremental`,
    ...(parted === 0 ? [] : [`${String(parted)} by partition`]),
    `${String(full)} in full`,
    ...(refused === 0 ? [] : [`${String(refused)} refused`]),
    ...(wrong === refused ? [] : [`${String(wrong - refused)} not understood`]),
    ...(passedOver === 0 ? [] : [`${counted(passedOver, 'other statement')} passed over`]),
  ]
  return [
    ...queries.flatMap((query) => [titleOf(query, style), ...bodyOf(query, style, false), '']),
    `${counted(queries.length, 'query', 'queries')}: ${parts.join(', ')}.`,
  ]
}

/** A query from whose reader rows are hidden is understood well enough. */
const wordOf = (error: ExplainedError | null): string =>
  error?.code === 'TIDEMARK_ROW_SECURITY' ? 'refused' : 'not understood'

function titleOf({ statement, name, place, strategy, error }: Explanation, style: Style): string {
  const { colours } = style
  const what = name === null ? statement : `${statement} ${nameOf(oneLine(name))}`
  const word =
    strategy === null
      ? colours.red(wordOf(error))
      : strategy !== 'full'
        ? colours.green(strategy)
        : colours.yellow('full')
  return `${place === null ? '' : `${colours.dim(place)}  `}${colours.bold(what)}  ${word}`
}

function bodyOf(
  { reasons, stages, indexes, error }: Explanation,
  style: Style,
  titled: boolean,
): readonly string[] {
  if (error !== null) {
    const at = error.place === null ? '' : ` at ${error.place}`
    return paragraph(`${error.what}${at}`, style, indent)
  }
  return [
    ...reasons.flatMap((reason) => paragraph(reasonText(reason), style, indent)),
    ...(titled && stages.length > 0 ? ['', style.colours.bold('Stages')] : []),
    ...(titled ? stages.flatMap((stage) => stageLines(stage, style)) : []),
    ...(titled && indexes.length > 0
      ? ['', style.colours.bold('Indexes that refreshes would look rows up by')]
      : []),
    ...indexes.flatMap((index) => indexLines(index, style)),
  ]
}

const reasonText = ({ reason, place }: ExplainedReason): string =>
  place === null ? reason : `${reason}, at ${place}`

const paragraph = (text: string, style: Style, before: string): readonly string[] =>
  wrap(oneLine(text), style.width - before.length).map((line) => before + line)

function stageLines(stage: StageSummary, style: Style): readonly string[] {
  const { number, kind, method, table, stores, key, reads } = stage
  const facts = [
    methodWords[method],
    ...(key.length === 0 ? [] : [`key ${key.join(', ')}`]),
    `reads ${reads.join(', ')}`,
    `stores ${stores.join(', ')} in ${table}`,
  ]
  return [
    `${indent}${String(number)}  ${style.colours.bold(kind)}`,
    ...facts.flatMap((fact) => paragraph(fact, style, indent.repeat(3))),
  ]
}

function indexLines({ sql, uses, rows }: IndexProposal, style: Style): readonly string[] {
  const size = rows === null ? 'of unknown size' : `of ${counted(rows, 'row')}`
  const why = `a table ${size}; ${uses.join('; ')}`
  return [
    `${indent}${sql};`,
    ...paragraph(why, style, indent.repeat(2)).map((line) => style.colours.dim(line)),
  ]
}
