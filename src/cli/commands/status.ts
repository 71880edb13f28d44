import { pause } from '../../base/clock.ts'
import { readStatus, withinTarget } from '../../engine/status.ts'
import type { Status } from '../../engine/status.ts'
import { viewNamed } from '../../engine/named-view.ts'
import type { Database } from '../../engine/connect.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import type { Terminal } from '../demo/terminal.ts'
import { faultIn } from '../render/fault.ts'
import { oneLine } from '../render/figures.ts'
import { fitted, renderStatus, statusBody } from '../render/status.ts'

interface StatusOptions {
  readonly watch?: boolean
  readonly exitCode?: boolean
}

const drawEveryMs = 1_000

/** `status --exit-code` ends with this when a view is beyond its target, or nobody knows. */
const beyondTarget = 3

/** `tidemark status`: the truth about every view, worst first. */
export const statusCommand: CommandMaker = makeCommand<StatusOptions>({
  name: 'status',
  summary: 'the truth about every view: state, staleness against target, worst first',
  examples: [
    ['tidemark status', 'all views, worst first'],
    ['tidemark status sales_by_day', 'one view'],
    ['tidemark status --watch', 'draws anew each second; q ends it'],
    ['tidemark status --exit-code', 'for CI: status 3 when a view is beyond its target'],
  ],
  arrange: (command) => {
    command
      .argument('[view]', 'only this view')
      .option('--watch', 'draw anew each second')
      .option('--exit-code', 'end with status 3 when a view is beyond its target or unknown')
  },
  run: (call) =>
    call.installed(async (database) => {
      const [text] = call.words
      const view = text === undefined ? undefined : await viewNamed(database, text)
      const status =
        call.options.watch === true
          ? await watch(call, database, view)
          : await readStatus(database, view)
      if (call.options.watch !== true) {
        call.answer('status', statusBody(status), (style) => renderStatus(status, style))
      }
      const late = status.views.some(({ freshness }) => !withinTarget(freshness))
      return call.options.exitCode === true && late ? beyondTarget : 0
    }),
})

/**
 * Shows the status each second until somebody ends it, and returns the last. A database that goes away
 * is told below what was known last, and asked again.
 */
async function watch(
  call: Call<StatusOptions>,
  database: Database,
  view: string | undefined,
): Promise<Status> {
  const end = new AbortController()
  const stop = (): void => {
    end.abort()
  }
  const deaf = call.surroundings.onStop(stop, stop)
  // Asked once before the terminal is taken over, so that a fault is told where it stays.
  let status = await readStatus(database, view)
  let problem: string | null = null
  const terminal = call.json ? null : (call.surroundings.openTerminal?.() ?? null)
  terminal?.onKey((key) => {
    if (key === 'q') stop()
  })
  try {
    for (;;) {
      show(call, terminal, status, problem)
      await pause(drawEveryMs, end.signal)
      if (end.signal.aborted) return status
      const looked = await look(database, view)
      problem = typeof looked === 'string' ? looked : null
      if (typeof looked !== 'string') status = looked
    }
  } finally {
    terminal?.close()
    deaf()
  }
}

/** The status, or in words why it cannot be read now. */
async function look(database: Database, view: string | undefined): Promise<Status | string> {
  try {
    return await readStatus(database, view)
  } catch (error) {
    return faultIn(error)?.what ?? String(error)
  }
}

function show(
  call: Call<StatusOptions>,
  terminal: Terminal | null,
  status: Status,
  problem: string | null,
): void {
  if (terminal === null) {
    if (problem !== null) call.surroundings.err(`error: ${oneLine(problem)}; trying again\n`)
    else call.answer('status', statusBody(status), (style) => [...renderStatus(status, style), ''])
    return
  }
  const { colours } = call.style
  const hint = terminal.hasKeys ? colours.dim('q quits') : ''
  const told = problem === null ? '' : colours.red(`✗ ${oneLine(problem)}; trying again`)
  terminal.draw(fitted([...renderStatus(status, call.style), told, hint], terminal.height))
}
