import { formatDuration } from '../base/duration.ts'
import { partsOf } from '../model/ids.ts'
import { readCronSchedule, zoneOf } from './scan-intervals.ts'
import type { SlotsOf } from './scan-intervals.ts'
import type { ScannedQueue, ScannedRequest, ScannedView } from './scan-report.ts'

/** What a configuration is made of. */
export interface ConfigParts {
  readonly database: string
  readonly at: Date
  readonly views: readonly ScannedView[]
  readonly queues: readonly ScannedQueue[]
  readonly cronZone: string | null
  readonly slotsOf: SlotsOf
}

const indent = '      '

/**
 * A `tidemark.config.ts` that adopts every view as it is kept today: its present interval as target, its
 * cron schedules kept, its event triggers as rules. Always valid; what cannot be written as a value is
 * told in a comment.
 */
export function configText(parts: ConfigParts): string {
  const { views } = parts
  const adopted = views.filter((view) => !view.managed && isWritable(view))
  return [
    `import { defineConfig } from 'tidemark'`,
    '',
    comment(
      '',
      `Written by 'tidemark scan' on ${parts.at.toISOString().slice(0, 10)} from database ${parts.database}; nothing was changed there.`,
    ),
    comment('', `The database is TIDEMARK_DATABASE_URL. Next: tidemark plan`),
    'export default defineConfig({',
    '  views: {',
    ...views.flatMap((view) => viewLines(view, parts)),
    '  },',
    '})',
    ...afterwards(adopted, parts.queues),
    '',
  ].join('\n')
}

/** A name that a configuration can hold. */
function isWritable({ name }: ScannedView): boolean {
  const { schema, name: own } = partsOf(name)
  return [schema, own].every((part) => !/[."\p{Cc}]/u.test(part) && part === part.trim())
}

function viewLines(view: ScannedView, parts: ConfigParts): readonly string[] {
  const { schema, name } = partsOf(view.name)
  if (view.managed) return [comment('    ', `${view.name} is kept by Tidemark already.`)]
  if (!isWritable(view)) {
    return [comment('    ', `${view.name} cannot be named in a configuration: rename it first.`)]
  }
  const key = schema === 'public' ? name : view.name
  return [
    `    ${/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key) ? key : text(key)}: {`,
    `${indent}adopt: ${text(view.name)},`,
    ...targetLines(view),
    ...scheduleLines(view, parts),
    ...eventLines(view, parts.queues),
    '    },',
  ]
}

function targetLines({ staleness, tidemark, interval }: ScannedView): readonly string[] {
  const today =
    staleness !== null
      ? `Today up to ${formatDuration(staleness.mostMs)} stale.`
      : interval !== null
        ? `Today refreshed from outside, every ${formatDuration(interval.longestMs)} on average.`
        : 'Nothing in the database tells how stale it is today; write what its readers need.'
  const raised =
    interval !== null && tidemark.targetMs > interval.longestMs + 1_000
      ? [comment(indent, sentence(tidemark.advice))]
      : []
  return [
    comment(indent, today),
    ...raised,
    `${indent}target: ${text(durationText(tidemark.targetMs))},`,
  ]
}

/** `5m`, `1h 30m`, as people write a duration. */
export function durationText(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const
  let rest = Math.max(1_000, Math.round(ms / 1_000) * 1_000)
  const written = units.flatMap(([unit, size]) => {
    const count = Math.floor(rest / size)
    rest -= count * size
    return count === 0 ? [] : [`${count}${unit}`]
  })
  return written.join(' ')
}

function scheduleLines(view: ScannedView, parts: ConfigParts): readonly string[] {
  const zone = zoneOf(parts.cronZone)
  const comments: string[] = []
  const values: string[] = []
  for (const { name, job, onRequest } of view.refreshers) {
    if (job === null || onRequest) continue
    const cron = writableCron(job.schedule, parts)
    if (!job.active) {
      comments.push(`Paused today: pg_cron ${name}, ${job.schedule}.`)
    } else if (cron === null) {
      comments.push(
        `pg_cron ${name} runs at '${job.schedule}', which is no cron expression; the target stands for it.`,
      )
    } else {
      comments.push(
        `pg_cron ${name}. The target alone keeps the view fresh: remove it if nobody needs this very time.`,
      )
      values.push(scheduleValue(cron, zone, view.readsTheClock))
    }
  }
  if (view.readsTheClock) {
    comments.push(
      values.length > 0
        ? 'Its query asks for the time, so it is refreshed also when nothing was written (force).'
        : `Its query asks for the time: give it a schedule with 'force: true', such as { cron: '*/5 * * * *', force: true }.`,
    )
  }
  const lines = [...new Set(comments)].map((one) => comment(indent, one))
  return values.length === 0
    ? lines
    : [...lines, `${indent}schedules: [${[...new Set(values)].join(', ')}],`]
}

/** A schedule of pg_cron as a configuration takes it; null for one that it cannot. */
function writableCron(schedule: string, { at, cronZone, slotsOf }: ConfigParts): string | null {
  const read = readCronSchedule(schedule)
  if (read.kind === 'seconds') {
    const seconds = read.everyMs / 1_000
    return 60 % seconds === 0 ? `*/${seconds} * * * * *` : null
  }
  return slotsOf(read.cron, zoneOf(cronZone), at) === null ? null : read.cron
}

function scheduleValue(cron: string, zone: string, force: boolean): string {
  if (zone === 'UTC' && !force) return text(cron)
  const more = [
    ...(zone === 'UTC' ? [] : [`zone: ${text(zone)}`]),
    ...(force ? ['force: true'] : []),
  ]
  return `{ cron: ${text(cron)}, ${more.join(', ')} }`
}

function eventLines(view: ScannedView, queues: readonly ScannedQueue[]): readonly string[] {
  const comments: string[] = []
  const values: string[] = []
  for (const queue of queues.filter(({ views }) => views.includes(view.name))) {
    for (const request of queue.requests) {
      const isSource = view.sources.some(({ name }) => name === request.on)
      const told = `trigger ${request.trigger} on ${request.on} asks for a refresh through ${queue.name}`
      if (!isSource) {
        comments.push(`Left out: ${told}, and the view does not read that table.`)
      } else if (request.when === null) {
        comments.push(
          `Left out: ${told}, under a condition that could not be read; write it as events: [{ on, when }].`,
        )
      } else {
        comments.push(`Today ${told}.`)
        values.push(`{ ${eventValue(request, request.when, queue.everyMs)} }`)
      }
    }
  }
  const lines = comments.map((one) => comment(indent, one))
  return values.length === 0
    ? lines
    : [
        ...lines,
        `${indent}events: [`,
        ...values.map((value) => `${indent}  ${value},`),
        `${indent}],`,
      ]
}

/** A batch of more than a day is refused, and a rule that waits so long is none. */
const batchMsMax = 86_400_000

function eventValue(request: ScannedRequest, when: string, everyMs: number | null): string {
  const known = (['insert', 'update', 'delete'] as const).filter((change) =>
    request.events.includes(change),
  )
  const isDefault = known.length === 2 && known[0] === 'insert' && known[1] === 'update'
  return [
    `on: ${text(request.on)}`,
    `when: ${text(when)}`,
    ...(known.length === 0 || isDefault ? [] : [`changes: [${known.map(text).join(', ')}]`]),
    ...(request.priority === null || request.priority === 'normal'
      ? []
      : [`priority: ${text(request.priority)}`]),
    ...(everyMs === null || everyMs > batchMsMax ? [] : [`batch: ${text(durationText(everyMs))}`]),
  ].join(', ')
}

/** What must stop once the views are adopted: REFRESH of something that is no materialized view fails. */
function afterwards(
  views: readonly ScannedView[],
  queues: readonly ScannedQueue[],
): readonly string[] {
  const names = new Set(views.map(({ name }) => name))
  const refreshers = views.flatMap((view) => view.refreshers)
  const jobs = [...new Set(refreshers.flatMap(({ job }) => (job === null ? [] : [job.id])))]
  const others = [
    ...new Set(
      refreshers.flatMap(({ kind, name }) =>
        kind === 'trigger' || kind === 'function'
          ? [`${kind === 'function' ? 'whoever calls ' : ''}${name}`]
          : [],
      ),
    ),
    ...queues
      .filter((queue) => queue.views.some((view) => names.has(view)))
      .flatMap(({ requests }) => requests.map((one) => `trigger ${one.trigger} on ${one.on}`)),
  ]
  if (jobs.length === 0 && others.length === 0) return []
  return [
    '',
    comment(
      '',
      `After 'tidemark apply' these are no materialized views any more; stop what refreshed them:`,
    ),
    ...jobs.sort((a, b) => a - b).map((job) => `//   select cron.unschedule(${job});`),
    ...others.map((one) => comment('', `- ${one}`)),
  ]
}

const commentColumns = 80

/** Comment in lines that fit a terminal, whatever a name contains. */
function comment(before: string, words: string): string {
  const room = commentColumns - before.length - 3
  const lines: string[] = []
  for (const word of words.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ').split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || `${line} ${word}`.length > room) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines.map((line) => `${before}// ${line}`).join('\n')
}

const sentence = (words: string): string => `${words.charAt(0).toUpperCase()}${words.slice(1)}.`

/** A text as TypeScript: single quotes, as the examples of the manual have. */
const text = (value: string): string =>
  `'${JSON.stringify(value)
    .slice(1, -1)
    .replaceAll('\\"', '"')
    .replaceAll("'", String.raw`\'`)}'`
