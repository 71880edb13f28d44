import { formatDuration } from '../../base/duration.ts'
import type { Feasibility, Plan, PlanStep } from '../../model/plan.ts'
import { stepSigns } from '../../model/plan.ts'
import type { Colours, Style } from '../surroundings.ts'
import { oneLine } from './figures.ts'
import { lengthOf, wrap } from './table.ts'

/** Longer lines than this tire the eye, however wide the terminal. */
const textWidthMax = 110
const indent = '      '
/** A detail that is no longer stands beside its name. */
const detailLengthShort = 40

/** A plan for people; the last line counts. */
export function renderPlan(plan: Plan, style: Style): readonly string[] {
  const done = plan.steps.filter(({ kind }) => kind !== 'warn')
  return [
    ...warningsOnce(plan.steps).flatMap((step) => renderStep(step, style)),
    ...(done.length === 0 ? ['Nothing to do: the database is as declared.'] : []),
    ...renderFeasibility(plan.feasibility, style),
    '',
    planSummary(plan),
  ]
}

/** What is to be said of several alike is said once, with all of their names, at the first of them. */
function warningsOnce(steps: readonly PlanStep[]): readonly PlanStep[] {
  return steps.flatMap((step, at) => {
    if (step.kind !== 'warn') return [step]
    const alike = ({ kind, noun, detail }: PlanStep): boolean =>
      kind === 'warn' && noun === step.noun && detail === step.detail
    if (steps.findIndex(alike) < at) return []
    const names = steps.filter(alike).map(({ name }) => name)
    return [{ ...step, name: names.join(', ') }]
  })
}

/** `Plan: 2 to add, 1 to change, 0 to drop.` */
export function planSummary({ steps }: Plan): string {
  const count = (...kinds: readonly PlanStep['kind'][]): string =>
    String(steps.filter(({ kind }) => kinds.includes(kind)).length)
  return `Plan: ${count('create')} to add, ${count('change', 'replace')} to change, ${count('drop')} to drop.`
}

function renderStep(step: PlanStep, style: Style): readonly string[] {
  const { colours } = style
  const paint = paintOf(step.kind, colours)
  const facts = [
    ...(step.lock === null ? [] : [`lock ${step.lock}`]),
    ...(step.expectedMs === null ? [] : [`takes about ${formatDuration(step.expectedMs)}`]),
    ...(step.ownTransaction ? ['a transaction of its own'] : []),
  ].join(' · ')
  const destructive = step.destructive ? ` ${colours.red('needs --allow-destructive')}` : ''
  const sign = stepSigns[step.kind].padStart(4)
  const name = oneLine(step.name)
  const title = `${paint(sign)}  ${paint(step.noun)} ${colours.bold(name)}`
  const detail = oneLine(step.detail)
  const besideLength = lengthOf(`${sign}  ${step.noun} ${name}: ${detail}`)
  const short = lengthOf(detail) <= detailLengthShort && besideLength <= style.width
  if (short && facts === '' && destructive === '') return [`${title}: ${detail}`]
  return [
    title + destructive,
    ...indented(detail, style, (line) => line),
    ...(facts === '' ? [] : indented(facts, style, colours.dim)),
  ]
}

function indented(text: string, style: Style, paint: (line: string) => string): readonly string[] {
  if (text === '') return []
  const width = Math.min(textWidthMax, style.width) - indent.length
  return wrap(text, width).map((line) => indent + paint(line))
}

function paintOf(kind: PlanStep['kind'], colours: Colours): (text: string) => string {
  switch (kind) {
    case 'create':
      return colours.green
    case 'change':
      return colours.yellow
    case 'replace':
      return colours.magenta
    case 'drop':
      return colours.red
    case 'warn':
      return colours.yellow
  }
}

function renderFeasibility(feasibility: readonly Feasibility[], style: Style): readonly string[] {
  if (feasibility.length === 0) return []
  const { colours } = style
  return [
    '',
    'Targets',
    ...feasibility.flatMap(({ view, targetMs, feasible, advice }) => {
      const sign =
        feasible === null ? colours.dim('?') : feasible ? colours.green('✓') : colours.red('✗')
      const word = feasible === false ? ' cannot be held' : ''
      return [
        `   ${sign}  ${colours.bold(oneLine(view))} within ${formatDuration(targetMs)}${word}`,
        ...indented(advice, style, colours.dim),
      ]
    }),
  ]
}

/** The SQL of a plan, each step under a comment that says what it is for. */
export function renderPlanSql(plan: Plan): readonly string[] {
  return plan.steps.flatMap((step) => [
    `-- ${stepSigns[step.kind]} ${step.noun} ${oneLine(step.name)}: ${oneLine(step.detail)}`,
    ...step.sql.map((statement) => `${statement.trimEnd().replace(/;$/, '')};`),
    '',
  ])
}
