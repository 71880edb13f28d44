import { pause } from '../../base/clock.ts'
import { tickOnce } from '../../engine/tick-once.ts'
import type { TickedOnce } from '../../engine/tick-once.ts'
import { makeCommand } from '../command.ts'
import type { Call, CommandMaker } from '../command.ts'
import { counted } from '../render/figures.ts'
import { asJson } from '../render/json.ts'

interface TickOptions {
  readonly loop?: boolean
  /** Commander's word for `--no-work`. */
  readonly work: boolean
}

const loopEveryMs = 1_000

/** `tidemark tick`: one look and its work, for the cron of the operating system. */
export const tickCommand: CommandMaker = makeCommand<TickOptions>({
  name: 'tick',
  summary: 'decide what is due and do it, once: for the cron of the operating system',
  examples: [
    ['* * * * * tidemark tick', 'a line of a crontab: targets of a few minutes without an engine'],
    ['tidemark tick --loop', 'again each second until Ctrl-C'],
    ['tidemark tick --no-work', 'only decide; somebody else does the work'],
  ],
  arrange: (command) => {
    command
      .option('--loop', 'again each second until it is told to stop')
      .option('--no-work', 'decide what is due, and leave it to others')
  },
  run: (call) =>
    call.installed(async (database) => {
      const end = new AbortController()
      const stop = (): void => {
        end.abort()
      }
      const deaf = call.surroundings.onStop(stop, () => process.exit(130))
      const order = {
        worker: `tick ${process.pid}`,
        work: call.options.work,
        signal: end.signal,
      }
      try {
        for (;;) {
          const ticked = await tickOnce(database, order)
          tell(call, ticked)
          if (call.options.loop !== true) return statusOf(ticked)
          await pause(loopEveryMs, end.signal)
          if (end.signal.aborted) return 0
        }
      } finally {
        deaf()
      }
    }),
})

const statusOf = ({ outcome, done }: TickedOnce): number =>
  outcome.problem === null && done.every((one) => one.outcome === 'completed') ? 0 : 1

function tell(call: Call<TickOptions>, ticked: TickedOnce): void {
  const { outcome, done } = ticked
  if (call.json) {
    call.surroundings.out(`${asJson('tick', ticked)}\n`)
    return
  }
  const { colours } = call.style
  const quiet = call.options.loop === true && done.length === 0 && outcome.problem === null
  if (quiet) return
  if (outcome.problem !== null) {
    call.say([`${colours.red('✗')} ${outcome.problem}`])
    return
  }
  call.say([
    ...done.map((one) =>
      one.outcome === 'completed'
        ? `${colours.green('✓')} ${one.group}`
        : `${colours.red('✗')} ${one.group}: ${one.outcome}`,
    ),
    `${counted(outcome.fired, 'slot')} fired, ${counted(outcome.events, 'event')} taken, ${counted(outcome.asked, 'target')} asked, ${counted(done.length, 'group')} refreshed`,
  ])
}
