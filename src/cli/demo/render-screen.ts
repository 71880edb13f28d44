import { createColors } from 'picocolors'
import type { DemoModel, EngineLine, LoadLine, ViewLine } from './demo-model.ts'
import { bar, grouped, span, tookText } from '../render/figures.ts'
import { minutes } from './figures.ts'
import { stateWords } from './state-words.ts'

/** What the terminal can do. */
export interface ScreenStyle {
  /** Characters in a line; less than 80 is taken for 80, more than 120 for 120. */
  readonly width: number
  readonly colour: boolean
  /** The keys are shown when somebody can press them. */
  readonly keys: boolean
}

type Colours = ReturnType<typeof createColors>
type Paint = (text: string) => string

interface Cell {
  readonly text: string
  readonly paint?: Paint
}

interface Column {
  readonly title: string
  readonly width: number
  readonly align: 'left' | 'right'
  readonly cell: (view: ViewLine, colours: Colours) => Cell
}

const widthMin = 80
const widthMax = 120
const wideFrom = 113
const eventsShown = 4

/**
 * Draws the whole screen as lines, none longer than the width. Depends on nothing but its arguments.
 * Whatever a colour says is said by a word or a sign as well.
 */
export function renderScreen(model: DemoModel, style: ScreenStyle): readonly string[] {
  const width = Math.min(widthMax, Math.max(widthMin, style.width))
  const colours = createColors(style.colour)
  return [
    ...title(model, width, colours),
    ...table(model, width, colours),
    '',
    ...facts(model, width, colours),
    ...(style.keys ? ['', keys(colours)] : []),
    '',
    ...events(model, width, colours),
  ]
}

function title(model: DemoModel, width: number, colours: Colours): readonly string[] {
  const left = `Tidemark keeps the dashboards of a shop · ${model.server}`
  const right = minutes(model.elapsedMs)
  return [colours.bold(left) + colours.dim(right.padStart(width - left.length)), '']
}

function table(model: DemoModel, width: number, colours: Colours): readonly string[] {
  const wide = width >= wideFrom
  const own = ownColumns(wide)
  const twin = twinColumns(wide)
  const gap = wide ? '  ' : ' '
  const draw = (columns: readonly Column[], cells: readonly Cell[]): string =>
    columns.map((column, i) => fitted(column, cells[i] ?? { text: '' })).join(gap)
  const row = (cellOf: (column: Column) => Cell): string =>
    `${draw(own, own.map(cellOf))} ${colours.dim('│')}${gap}${draw(twin, twin.map(cellOf))}`
  const head = row(({ title: text }) => ({ text, paint: colours.dim }))
  return [
    head,
    ...model.views.map((view) => row(({ cell }) => cell(view, colours))),
    colours.dim('twin: the same query as a materialized view, REFRESH … CONCURRENTLY every minute'),
  ]
}

function ownColumns(wide: boolean): readonly Column[] {
  const columns: readonly (Column | null)[] = [
    { title: 'VIEW', width: 18, align: 'left', cell: ({ name }) => ({ text: name }) },
    { title: 'STATE', width: 12, align: 'left', cell: stateCell },
    {
      title: wide ? 'STALE / TARGET' : 'STALE/TARG',
      width: wide ? 14 : 10,
      align: 'right',
      cell: ({ stalenessMs, targetMs }) => {
        const stale = stalenessMs === null ? '?' : span(stalenessMs)
        const target = span(targetMs)
        return {
          text: wide ? `${stale} / ${target.padStart(4)}` : `${stale}/${target.padStart(4)}`,
        }
      },
    },
    {
      title: wide ? 'LAST REFRESH' : 'REFRESHED',
      width: wide ? 15 : 10,
      align: 'right',
      cell: ({ refreshedAgoMs, durationMs }) => {
        if (refreshedAgoMs === null) return { text: '–' }
        const took = durationMs === null ? '' : tookText(durationMs).padStart(5)
        return { text: `${span(refreshedAgoMs)}${wide ? ' ago,' : ''} ${took}` }
      },
    },
    {
      title: wide ? 'STRATEGY' : 'BY',
      width: wide ? 11 : 4,
      align: 'left',
      cell: ({ strategy }) => ({ text: wide ? strategy : strategy.slice(0, 4) }),
    },
    {
      title: 'ROWS',
      width: 6,
      align: 'right',
      cell: ({ rows }) => ({ text: rows === null ? '–' : grouped(rows) }),
    },
    wide
      ? {
          title: 'SPENT',
          width: 5,
          align: 'right',
          cell: ({ spentMs }) => ({ text: span(spentMs) }),
        }
      : null,
  ]
  return columns.filter((column) => column !== null)
}

function twinColumns(wide: boolean): readonly Column[] {
  return [
    {
      title: wide ? 'TWIN AGE' : 'TWIN',
      width: wide ? 8 : 5,
      align: 'right',
      cell: ({ twin, targetMs }, colours) => {
        if (twin.ageMs === null) return { text: '–' }
        const late = twin.ageMs > targetMs
        return late
          ? { text: `${span(twin.ageMs)}!`, paint: colours.yellow }
          : { text: `${span(twin.ageMs)} ` }
      },
    },
    {
      title: 'SPENT',
      width: wide ? 6 : 5,
      align: 'right',
      cell: ({ twin }) => ({ text: `${twin.refreshing ? '↻' : ''}${span(twin.spentMs)}` }),
    },
  ]
}

function stateCell(view: ViewLine, colours: Colours): Cell {
  const { sign, word } = stateWords[view.state]
  const paints: Readonly<Record<ViewLine['state'], Paint>> = {
    fresh: colours.green,
    stale: colours.yellow,
    very_stale: colours.red,
    unknown: colours.magenta,
    never_populated: colours.dim,
  }
  return { text: `${sign} ${word}`, paint: paints[view.state] }
}

function fitted(column: Column, cell: Cell): string {
  const text = cut(cell.text, column.width)
  const filled = column.align === 'left' ? text.padEnd(column.width) : text.padStart(column.width)
  return cell.paint === undefined ? filled : cell.paint(filled)
}

function facts(model: DemoModel, width: number, colours: Colours): readonly string[] {
  const { writer, checks } = model
  const fact = (name: string, text: string): string => colours.dim(name.padEnd(9)) + text
  const failed = writer.failed === 0 ? '' : ` · ${grouped(writer.failed)} failed`
  return [
    fact('Load', loadText(model.load, width - 9)),
    fact(
      'Writers',
      `${writer.rate.toFixed(0)} commits a second · ${grouped(writer.writes)} orders, payments, refunds${failed}`,
    ),
    fact('Engine', engineText(model.engine)),
    fact(
      'Checks',
      checks.different === 0
        ? `${grouped(checks.made)} refreshes compared with their query: all equal`
        : `${grouped(checks.different)} of ${grouped(checks.made)} refreshes DIFFERED from their query`,
    ),
  ]
}

function loadText(load: LoadLine, width: number): string {
  const share = load.linesTotal === 0 ? 1 : Math.min(1, load.lines / load.linesTotal)
  if (share === 1) {
    const took = load.elapsedMs === 0 ? 'from before' : `in ${span(load.elapsedMs)}`
    return `${grouped(load.lines)} order lines, loaded ${took}`
  }
  const numbers = `${grouped(load.lines)} of ${grouped(load.linesTotal)} order lines, ${grouped(load.rate)} a second`
  const cells = Math.max(8, Math.min(32, width - numbers.length - 2))
  return `${bar(share, cells)}  ${numbers}`
}

function engineText(engine: EngineLine): string {
  const times = engine.restarts === 1 ? 'once' : `${grouped(engine.restarts)} times`
  const restarts = engine.restarts === 0 ? 'never restarted' : `restarted ${times}`
  switch (engine.status) {
    case 'running':
      return `process ${engine.pid ?? '?'} · ${restarts}`
    case 'starting':
      return `process ${engine.pid ?? '?'}, starting · ${restarts}`
    case 'killed':
      return `killed, comes back in a second · ${restarts}`
    case 'stopped':
      return 'stopped'
  }
}

function events(model: DemoModel, width: number, colours: Colours): readonly string[] {
  const shown = model.events.slice(-eventsShown)
  const lines = shown.map(
    ({ at, text }) => colours.dim(at.toTimeString().slice(0, 8)) + ' ' + cut(text, width - 9),
  )
  // As many lines whatever there is to tell, so that the answer below stays where it is.
  const blank = Array.from({ length: eventsShown - shown.length }, () => '')
  if (model.why.length === 0) return [...lines, ...blank]
  return [...lines, ...blank, '', ...model.why.map((line) => cut(line, width))]
}

function keys(colours: Colours): string {
  const list = [
    ['p', 'pay an order'],
    ['k', 'kill −9 the engine'],
    ['w', 'ask why'],
    ['q', 'quit'],
  ] as const
  return list.map(([key, text]) => `${colours.inverse(` ${key} `)} ${text}`).join('   ')
}

const cut = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, width - 1)}…`
