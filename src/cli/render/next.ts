import type { NextRun, ScheduleAhead } from '../../engine/next.ts'
import type { NextRefresh, Status } from '../../engine/status.ts'
import type { Style } from '../surroundings.ts'
import { relativeLong } from './figures.ts'
import { nameOf } from './status.ts'
import type { Column } from './table.ts'
import { renderTable } from './table.ts'

/** What is about to run: slots of schedules in the zone's time and in UTC, and what targets ask for. */
export function renderNext(
  status: Status,
  schedules: readonly ScheduleAhead[],
  style: Style,
): readonly string[] {
  const now = status.at
  const due = status.views.filter(({ next }) => next !== null && next.kind !== 'slot')
  return [
    ...schedules.flatMap((schedule) => renderSchedule(schedule, now, style)),
    ...(due.length === 0 ? [] : [style.colours.bold('By target, event or hand')]),
    ...due.map(({ freshness, next }) => `  ${nameOf(freshness.view)}: ${nextLine(next, now)}`),
    ...(schedules.length === 0 && due.length === 0
      ? ['Nothing is due: no schedule is declared, and every commit is reflected.']
      : []),
  ]
}

function nextLine(next: NextRefresh | null, now: Date): string {
  if (next === null) return ''
  const when = relativeLong(next.at, now)
  switch (next.kind) {
    case 'running':
      return `runs since ${when}`
    case 'queued':
      return next.at <= now ? `asked for and due since ${when}` : `asked for, due ${when}`
    case 'slot':
      return `its slot is ${when}`
    case 'target':
      return next.at <= now
        ? `the deadline of its target passed ${when}`
        : `within its target, which ends ${when}`
  }
}

/** A schedule and its next slots. */
export function renderSchedule(
  schedule: ScheduleAhead,
  now: Date,
  style: Style,
): readonly string[] {
  const { colours } = style
  const { name, cron, zone, businessHours, active, pauseReason, runs } = schedule
  const hours =
    businessHours === null
      ? ''
      : `, within business hours ${businessHours.from}–${businessHours.to} ${businessHours.zone}`
  const paused = active ? '' : colours.yellow(` ‖ paused: ${pauseReason ?? 'no reason given'}`)
  const title = `${colours.bold(name)} → ${nameOf(schedule.view)}: ${cron} in ${zone}${hours}${paused}`
  if (runs.length === 0) return [title, '  never', '']
  return [title, ...renderTable(slotColumns(zone, now, style), runs, style), '']
}

const slotColumns = (zone: string, now: Date, { colours }: Style): readonly Column<NextRun>[] => [
  { title: ' ', cell: ({ mark }) => (mark === null ? ' ' : { text: '!', paint: colours.yellow }) },
  {
    title: zone.toUpperCase(),
    cell: ({ local, offset }) => `${weekday(local)} ${local} ${offset}`,
  },
  { title: 'UTC', importance: 2, cell: ({ utc }) => utc.replace('T', ' ') },
  { title: 'IN', importance: 1, cell: ({ at }) => relativeLong(at, now).replace(/^in /, '') },
  {
    title: 'CLOCKS CHANGE',
    below: true,
    cell: ({ note }) => ({ text: note ?? '', paint: colours.yellow }),
  },
]

const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const

/** The day of the week of a local date. */
const weekday = (local: string): string =>
  weekdays[new Date(`${local.slice(0, 10)}T00:00:00Z`).getUTCDay()] ?? ''
