import type { Database } from '../engine/connect.ts'
import { createIndexes } from '../engine/define.ts'
import type { IndexOutcome, IndexProgress } from '../engine/define.ts'
import type { IndexProposal } from '../model/index-proposal.ts'
import type { Call } from './command.ts'
import { renderFault } from './render/fault.ts'
import { tookText } from './render/figures.ts'
import { asJson } from './render/json.ts'

/**
 * Makes the indexes that a plan proposes, and tells how that goes: each when it is done, on a terminal also how far the one
 * is that is made. With `--json` each is a line of kind `apply_index`.
 */
export function makeIndexes(
  call: Call<object>,
  database: Database,
  work: { readonly indexes: readonly IndexProposal[]; readonly signal: AbortSignal },
): Promise<readonly IndexOutcome[]> {
  const { surroundings } = call
  const inPlace = surroundings.interactive && !call.json
  return createIndexes(database, work.indexes, {
    signal: work.signal,
    onProgress: (progress) => {
      if (inPlace) surroundings.out(`\r${progressText(progress)}\u001B[K`)
    },
    onOutcome: (outcome) => {
      if (call.json) {
        surroundings.out(`${asJson('apply_index', outcome)}\n`)
        return
      }
      const [first = '', ...rest] = outcomeLines(call, outcome)
      call.say([inPlace ? `\r${first}\u001B[K` : first, ...rest])
    },
  })
}

function progressText({ table, name, number, count, ...seen }: IndexProgress): string {
  const { phase, share, waitsFor } = seen
  return [
    `… ${String(number)}/${String(count)} index ${name} on ${table}`,
    ...(phase === null ? [] : [phase]),
    ...(share === null ? [] : [`${String(Math.floor(share * 100))} %`]),
    ...(waitsFor === null ? [] : [`waits for pid ${String(waitsFor)}`]),
  ].join(' · ')
}

function outcomeLines(
  { style }: Call<object>,
  { table, name, outcome, ms, error }: IndexOutcome,
): readonly string[] {
  const { colours } = style
  const title = `index ${name} on ${table}`
  switch (outcome) {
    case 'made':
      return [`${colours.green('✓')} + ${title} ${colours.dim(tookText(ms))}`]
    case 'present':
      return [`${colours.green('✓')} ${title}: one of this definition is there`]
    case 'stopped':
      return [
        `${colours.yellow('!')} ${title}: stopped; what is left of it is not valid, and 'tidemark apply --create-indexes' makes it anew`,
      ]
    case 'failed':
      return [
        `${colours.red('✗')} + ${title}`,
        ...(error === null ? [] : renderFault(error, style)),
      ]
  }
}
