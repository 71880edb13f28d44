import { onePerGroup, refreshByHand } from '../../engine/by-hand.ts'
import type { Refreshed } from '../../engine/by-hand.ts'
import type { Database } from '../../engine/connect.ts'
import { viewNamed } from '../../engine/named-view.ts'
import type { RelationName } from '../../model/ids.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import { usage } from '../option-values.ts'
import { faultBody, faultIn, renderFault } from '../render/fault.ts'
import { counted, tookText } from '../render/figures.ts'
import { nameOf } from '../render/status.ts'

interface RefreshOptions {
  readonly all?: boolean
  readonly force?: boolean
  /** Commander's word for `--no-wait`. */
  readonly wait: boolean
}

/** `tidemark refresh`: refreshes a view now. */
export const refreshCommand: CommandMaker = makeCommand<RefreshOptions>({
  name: 'refresh',
  summary: 'refresh a view and its group now, at one snapshot',
  examples: [
    [
      'tidemark refresh sales_by_day',
      'waits for the end; does nothing when every commit is reflected',
    ],
    ['tidemark refresh sales_by_day --force', 'also when every commit is reflected'],
    ['tidemark refresh --all --no-wait', 'asks for all and leaves the work to the engine'],
  ],
  arrange: (command) => {
    command
      .argument('[view]', 'the view')
      .option('--all', 'every view')
      .option('--force', 'also when every commit is reflected')
      .option('--no-wait', 'ask, and leave the work to the engine')
  },
  run: (call) => {
    const [text] = call.words
    if ((text === undefined) === (call.options.all !== true)) {
      throw usage(
        text === undefined
          ? 'tidemark refresh needs the name of a view'
          : 'A view and --all are both given',
        "Write 'tidemark refresh VIEW' or 'tidemark refresh --all'.",
      )
    }
    return call.installed((database) =>
      text === undefined ? refreshAll(call, database) : refreshOne(call, database, text),
    )
  },
})

const askedBy = (options: RefreshOptions): { force: boolean; wait: boolean; by: string } => ({
  force: options.force === true,
  wait: options.wait,
  by: `tidemark refresh, process ${process.pid}`,
})

async function refreshOne(
  call: Call<RefreshOptions>,
  database: Database,
  text: string,
): Promise<number> {
  const view = await viewNamed(database, text)
  const refreshed = await refreshByHand(database, view, askedBy(call.options))
  call.answer('refresh', { refreshed: [refreshed], failed: [] }, () => [lineOf(refreshed)])
  return 0
}

/** Goes on after a view that failed; the status then is 1. */
async function refreshAll(call: Call<RefreshOptions>, database: Database): Promise<number> {
  const refreshed: Refreshed[] = []
  const failed: (object & { readonly view: RelationName })[] = []
  for (const view of await onePerGroup(database)) {
    try {
      const one = await refreshByHand(database, view, askedBy(call.options))
      refreshed.push(one)
      call.say([lineOf(one)])
    } catch (error) {
      const fault = faultIn(error)
      if (fault === null) throw error
      failed.push({ view, ...faultBody(fault) })
      call.say(renderFault(fault, call.style))
    }
  }
  call.answer('refresh', { refreshed, failed }, () =>
    failed.length === 0 ? [] : [`${counted(failed.length, 'refresh', 'refreshes')} failed.`],
  )
  return failed.length === 0 ? 0 : 1
}

function lineOf({ view, status, durationMs, rows }: Refreshed): string {
  const name = nameOf(view)
  switch (status) {
    case 'fresh':
      return `= ${name} reflects every commit; --force refreshes it all the same`
    case 'skipped':
      return `= ${name} had nothing to do`
    case 'queued':
      return `… ${name} is asked for`
    default:
      return `✓ ${name} ${status}${durationMs === null ? '' : ` in ${tookText(durationMs)}`}${rows === null ? '' : `, ${counted(rows, 'row')}`}`
  }
}
