import { apply } from '../engine/define.ts'
import type { IndexOutcome } from '../engine/define.ts'
import type { Database } from '../engine/connect.ts'
import { titleOf } from '../engine/plan-files.ts'
import type { ApplyProgress, Populated } from '../engine/plan-files.ts'
import type { Plan } from '../model/plan.ts'
import type { Call } from './command.ts'
import { makeIndexes } from './make-indexes.ts'
import { usage } from './option-values.ts'
import { counted, tookText } from './render/figures.ts'
import { asJson } from './render/json.ts'
import { renderPlan } from './render/plan.ts'

/** What may be chosen about carrying out a plan. */
export interface PerformOptions {
  readonly yes?: boolean
  readonly allowDestructive?: boolean
  readonly populate?: boolean
  readonly createIndexes?: boolean
}

/**
 * Shows a plan, asks, and carries it out. With `--json` each step is a line of JSON, and the last line
 * sums up. Returns the exit status: 1 when somebody said no, or a first refresh or an index failed.
 */
export async function performPlan(
  call: Call<PerformOptions>,
  database: Database,
  plan: Plan,
): Promise<number> {
  const { surroundings, options } = call
  call.say(renderPlan(plan, call.style))
  const steps = plan.steps.filter(({ kind }) => kind !== 'warn')
  const allowed = options.allowDestructive === true
  // What apply will refuse is refused before anybody is asked.
  const refused = !allowed && steps.some(({ destructive }) => destructive)
  const indexes = options.createIndexes === true ? plan.indexes : []
  if (steps.length + indexes.length > 0 && !refused && !(await agreed(call))) {
    call.say(['Nothing was changed.'])
    return 1
  }
  const stopping = new AbortController()
  const stop = (): void => {
    stopping.abort(new Error('stopped; nothing of the step that ran remains'))
  }
  const deaf = surroundings.onStop(stop, stop)
  const teller = applyTeller(call)
  const begun = performance.now()
  try {
    const populated = await apply(database, plan, {
      allowDestructive: allowed,
      populate: options.populate !== false,
      onProgress: teller.onProgress,
      onPopulate: teller.onPopulate,
      signal: stopping.signal,
    })
    const made = await makeIndexes(call, database, { indexes, signal: stopping.signal })
    const tookMs = Math.round(performance.now() - begun)
    return conclude(call, { steps: steps.length, populated, indexes: made, tookMs })
  } finally {
    deaf()
  }
}

async function agreed(call: Call<PerformOptions>): Promise<boolean> {
  if (call.options.yes === true) return true
  const { confirm } = call.surroundings
  if (confirm === null || call.json) {
    throw usage(
      'Nobody can be asked here whether to carry out the plan',
      'Add --yes to say so beforehand.',
    )
  }
  return confirm('\nCarry it out?')
}

/** What tells how carrying out a plan goes. */
interface ApplyTeller {
  readonly onProgress: (progress: ApplyProgress) => void
  readonly onPopulate: (done: readonly Populated[], left: readonly string[]) => void
}

const restOfLine = '\u001B[K'

/** Tells each step when it is done; on a terminal also the one that runs, in place. */
function applyTeller(call: Call<object>): ApplyTeller {
  const { surroundings, style } = call
  const { colours } = style
  const inPlace = surroundings.interactive && !call.json
  const passing = (text: string): void => {
    if (inPlace) surroundings.out(`\r${text}${restOfLine}`)
  }
  const lasting = (text: string): void => {
    call.say([inPlace ? `\r${text}${restOfLine}` : text])
  }
  const filled = new Map<string, string>()
  return {
    onProgress: ({ kind, step, number, count, ms }) => {
      if (call.json) {
        const { noun, name } = step
        const body = {
          status: kind,
          step: step.kind,
          noun,
          name,
          number,
          count,
          ms: Math.round(ms),
        }
        surroundings.out(`${asJson('apply_step', body)}\n`)
        return
      }
      const place = colours.dim(`${String(number).padStart(String(count).length)}/${String(count)}`)
      const title = titleOf(step)
      if (kind === 'done')
        lasting(`${colours.green('✓')} ${place} ${title} ${colours.dim(tookText(ms))}`)
      else if (kind === 'failed') lasting(`${colours.red('✗')} ${place} ${title}`)
      else passing(`… ${place} ${title}${kind === 'waiting' ? ' waits for a lock' : ''}`)
    },
    onPopulate: (done, left) => {
      for (const { group, outcome } of done) {
        if (filled.get(group) === outcome) continue
        filled.set(group, outcome)
        if (outcome === 'completed') lasting(`${colours.green('✓')} filled ${group}`)
        else lasting(`${colours.red('✗')} ${group}: ${outcome}`)
      }
      const [next] = left
      if (next !== undefined) passing(`… filling ${next}`)
    },
  }
}

function conclude(
  call: Call<PerformOptions>,
  outcome: {
    readonly steps: number
    readonly populated: readonly Populated[]
    readonly indexes: readonly IndexOutcome[]
    readonly tookMs: number
  },
): number {
  const failed = outcome.populated.filter((one) => one.outcome !== 'completed')
  const missing = outcome.indexes.filter((one) => ['failed', 'stopped'].includes(one.outcome))
  call.answer('apply', outcome, ({ colours }) => [
    ...(outcome.steps === 0
      ? []
      : [`Done: ${counted(outcome.steps, 'step')} in ${tookText(outcome.tookMs)}.`]),
    ...(failed.length === 0
      ? []
      : [
          colours.yellow(
            `${counted(failed.length, 'first refresh', 'first refreshes')} failed; 'tidemark why VIEW' tells more, 'tidemark up' tries again.`,
          ),
        ]),
    ...(missing.length === 0
      ? []
      : [colours.yellow(`${counted(missing.length, 'index', 'indexes')} not made.`)]),
  ])
  return failed.length + missing.length === 0 ? 0 : 1
}
