import { pauseByHand, resumeByHand } from '../../engine/by-hand.ts'
import { makeCommand } from '../command.ts'
import type { CommandMaker } from '../command.ts'
import { nameOf } from '../render/status.ts'

interface PauseOptions {
  readonly reason: string
}

/** `tidemark pause`: no refresh starts until resume. */
export const pauseCommand: CommandMaker = makeCommand<PauseOptions>({
  name: 'pause',
  summary: 'keep a view or a schedule from being refreshed, with a reason that others see',
  examples: [
    ["tidemark pause sales_by_day --reason 'loading history'", 'a view: nothing refreshes it'],
    ["tidemark pause 'nightly sales'", 'a schedule: its slots are skipped, targets still hold'],
  ],
  arrange: (command) => {
    command
      .argument('<name>', 'a view, or a schedule by name or number')
      .option('--reason <text>', 'shown by status and why', 'no reason given')
  },
  run: (call) =>
    call.installed(async (database) => {
      const { reason } = call.options
      const paused = await pauseByHand(database, call.words[0] ?? '', reason)
      call.answer('pause', { noun: paused.kind, name: paused.name, reason }, () => [
        `The ${paused.kind} ${nameOf(paused.name)} is paused: ${reason}`,
        `To go on: tidemark resume ${quoted(paused.name)}`,
      ])
      return 0
    }),
})

/** `tidemark resume`: ends a pause or a quarantine. */
export const resumeCommand: CommandMaker = makeCommand({
  name: 'resume',
  summary: 'end the pause of a view or a schedule, and the quarantine of a view',
  examples: [['tidemark resume sales_by_day', 'asks for a refresh at once']],
  arrange: (command) => {
    command.argument('<name>', 'a view, or a schedule by name or number')
  },
  run: (call) =>
    call.installed(async (database) => {
      const resumed = await resumeByHand(database, call.words[0] ?? '')
      call.answer('resume', { noun: resumed.kind, name: resumed.name }, () => [
        `The ${resumed.kind} ${nameOf(resumed.name)} goes on${resumed.kind === 'view' ? '; a refresh is asked for' : ''}.`,
      ])
      return 0
    }),
})

/** A name as a shell takes it for one word. */
const quoted = (name: string): string =>
  /^[\w.-]+$/.test(name) ? nameOf(name) : `'${name.replaceAll("'", `'\\''`)}'`
