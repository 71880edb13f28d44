import type { DemoModel, ViewLine } from './demo-model.ts'
import { grouped, span } from '../render/figures.ts'
import { minutes } from './figures.ts'
import { stateWords } from './state-words.ts'

/** One line that tells the state of the demonstration where no screen can be drawn. */
export function renderLine(model: DemoModel): string {
  const { load, writer, checks, engine } = model
  const loaded =
    load.lines >= load.linesTotal
      ? `${grouped(load.lines)} order lines`
      : `${grouped(load.lines)} of ${grouped(load.linesTotal)} order lines`
  return [
    minutes(model.elapsedMs),
    loaded,
    `${grouped(writer.writes)} writes`,
    viewsText(model.views),
    `${grouped(checks.made)} checks, ${grouped(checks.different)} different`,
    `engine ${engine.status === 'running' ? (engine.pid ?? '?') : engine.status}`,
  ].join('  ')
}

function viewsText(views: readonly ViewLine[]): string {
  const within = views.filter(({ state }) => state === 'fresh').length
  const worst = worstOf(views)
  const head = `${within} of ${views.length} views within target`
  if (worst === undefined) return head
  if (worst.stalenessMs === null) return `${head}, ${worst.name} ${stateWords[worst.state].word}`
  return `${head}, stalest ${worst.name} ${span(worst.stalenessMs)}`
}

/** The view that is furthest from its target; one whose staleness is unknown before all others. */
function worstOf(views: readonly ViewLine[]): ViewLine | undefined {
  const share = ({ stalenessMs, targetMs }: ViewLine): number =>
    stalenessMs === null ? Infinity : stalenessMs / targetMs
  return [...views].sort((one, other) => (share(one) < share(other) ? 1 : -1))[0]
}
