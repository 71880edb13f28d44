import { formatDuration } from '../../base/duration.ts'
import type { Choice, EndedRun, WhyFacts } from '../../engine/why.ts'
import { stateWords } from '../demo/state-words.ts'
import type { Colours, Style } from '../surroundings.ts'
import { counted, grouped, oneLine, relativeLong, utcText } from './figures.ts'
import { nameOf, paintOf } from './status.ts'
import { wrap } from './table.ts'

/** A link of the chain: its name, and what is known of it. */
type Link = readonly [name: string, text: string]

/** An engine looks several times a second; after this long without a look nobody decides what is due. */
const lookLateMs = 10_000
const nameWidth = 10
const textWidthMax = 110

/** Why a view is as stale as it is: one sentence, then the chain of what is not reflected, then that of the last run. */
export function renderWhy(facts: WhyFacts, style: Style): readonly string[] {
  const { colours } = style
  const { view, state } = facts.view.freshness
  const { sign, word } = stateWords[state]
  const head = `${nameOf(view)} is ${sign} ${word}:`
  const painted = `${colours.bold(nameOf(view))} is ${paintOf(state, colours)(`${sign} ${word}`)}:`
  const [first = '', ...more] = wrap(
    `${head} ${oneLine(sentence(facts))}`,
    Math.max(style.width, 60),
  )
  return [
    first.replace(head, () => painted),
    ...more,
    ...section('Now', nowLinks(facts), style),
    ...(facts.last === null
      ? ['', 'It has never been refreshed.']
      : section(
          `Last run, ${facts.last.id}: ${facts.last.status}`,
          runLinks(facts.last, facts.now),
          style,
        )),
    ...(facts.choice === null ? [] : section('How', choiceLinks(facts.choice), style)),
  ]
}

function section(title: string, links: readonly Link[], style: Style): readonly string[] {
  if (links.length === 0) return []
  const width = Math.min(textWidthMax, style.width) - nameWidth - 2
  return [
    '',
    style.colours.bold(title),
    ...links.flatMap((link) => linkLines(link, width, style.colours)),
  ]
}

function linkLines([name, text]: Link, width: number, colours: Colours): readonly string[] {
  return wrap(oneLine(text), width).map((line, i) => {
    const head = i === 0 ? name : ''
    return `  ${colours.dim(head.padEnd(nameWidth))}${line}`
  })
}

/** What is so and why, without the name and the state. */
export function sentence(facts: WhyFacts): string {
  const { freshness } = facts.view
  const { state, stalenessMs, targetMs, reason } = freshness
  switch (state) {
    case 'fresh':
      return stalenessMs === null || stalenessMs === 0
        ? 'it reflects every commit to its sources.'
        : `${formatDuration(stalenessMs)} behind, of ${formatDuration(targetMs)} that it may be.`
    case 'stale':
    case 'very_stale': {
      const beyond = (stalenessMs ?? 0) - targetMs
      return `${formatDuration(stalenessMs ?? 0)} behind, ${formatDuration(beyond)} beyond its target; ${cause(facts)}.`
    }
    case 'never_populated':
      return `${cause(facts)}.`
    case 'unknown':
      return `${(reason ?? 'nobody knows why').replace(/^[a-z_]+: /, '')}.`
  }
}

/** What keeps the next refresh from having been made already. */
function cause(facts: WhyFacts): string {
  const { now, running, pending, inputs, notBefore } = facts
  const { pausedReason, quarantineReason } = facts.view.freshness
  if (quarantineReason !== null) {
    return `it was set aside: ${quarantineReason}. When the cause is mended: tidemark resume`
  }
  if (pausedReason !== null) return `it is paused: ${pausedReason}`
  if (running !== null) return runningText(facts)
  if (pending === null) {
    return nobodyLooks(facts) ? nobodyText(facts) : `its refresh is asked for ${whenAsked(facts)}`
  }
  if (notBefore !== null && notBefore > now) {
    return `${counted(facts.failures, 'attempt')} failed, the next one comes ${relativeLong(notBefore, now)}`
  }
  if (inputs.length > 0) return `its refresh waits for ${inputs.join(', ')}, which it reads`
  if (pending.due > now) return `its refresh is due ${relativeLong(pending.due, now)}`
  return nobodyLooks(facts) ? nobodyText(facts) : 'its refresh waits for a worker'
}

function runningText({ running, now }: WhyFacts): string {
  if (running === null) return ''
  if (!running.atWork) return 'its refresh begins, or its worker has died and a tick takes over'
  if (running.waitsFor !== null) return `its refresh waits for ${running.waitsFor}`
  return `its refresh runs, since ${relativeLong(running.claimedAt, now)}`
}

const nobodyLooks = ({ lastLookAt, asleep, now }: WhyFacts): boolean =>
  !asleep && (lastLookAt === null || now.getTime() - lastLookAt.getTime() > lookLateMs)

function nobodyText({ lastLookAt, now }: WhyFacts): string {
  const since =
    lastLookAt === null ? 'yet' : `for ${formatDuration(now.getTime() - lastLookAt.getTime())}`
  return `nobody has decided what is due ${since}: start 'tidemark up'`
}

/** When the next look will ask for a refresh, by policy. */
function whenAsked({ view, usualMs, now }: WhyFacts): string {
  const { policy, oldestUnreflectedAt, targetMs } = view.freshness
  if (oldestUnreflectedAt === null || policy === 'eager') return 'at the next look'
  if (policy === 'budget') return 'when its budget allows'
  const at = new Date(oldestUnreflectedAt.getTime() + targetMs - usualMs * 1.5 - 1_000)
  return at <= now
    ? 'at the next look'
    : `${relativeLong(at, now)}, as late as the target allows (policy deadline)`
}

/** From the oldest commit that is not reflected to what its refresh waits for. */
function nowLinks(facts: WhyFacts): readonly Link[] {
  return [...commitLinks(facts), ...requestLinks(facts), ...deadlineLink(facts)]
}

function commitLinks({ behind, now, view, timeDependent }: WhyFacts): readonly Link[] {
  const { oldestUnreflectedAt } = view.freshness
  const [first] = behind
  const links: Link[] = []
  if (oldestUnreflectedAt !== null) {
    const clock = timeDependent ? 'no commit: its query reads the clock' : 'the oldest'
    const where = first === undefined ? clock : `the oldest to ${nameOf(first.source)}`
    const when = `${utcText(oldestUnreflectedAt)}, ${relativeLong(oldestUnreflectedAt, now)}`
    links.push(['commit', `${when}: ${where}`])
  }
  if (behind.length > 0) {
    const told = behind.map(
      ({ source, commits, via }) =>
        `${grouped(commits)} of ${nameOf(source)}${via === '' ? '' : ` (through ${nameOf(via)})`}`,
    )
    links.push(['captured', `commits that are not reflected: ${told.join(', ')}`])
  }
  return links
}

function requestLinks(facts: WhyFacts): readonly Link[] {
  const { pending, running, now, view } = facts
  const links: Link[] = []
  const asked = (at: Date, by: string): Link => [
    'queued',
    `asked for ${relativeLong(at, now)} (${by})`,
  ]
  if (running !== null) {
    links.push(asked(running.requestedAt, `${running.triggerType}, ${running.triggeredBy}`))
    links.push([running.waitsFor === null ? 'runs' : 'waits', runningText(facts)])
  }
  if (pending !== null) {
    const wishes =
      pending.requests === 1 ? '' : `, ${counted(pending.requests, 'wish', 'wishes')} in one`
    links.push(
      asked(pending.requestedAt, `${pending.triggerType}, ${pending.triggeredBy}${wishes}`),
    )
    if (running === null) links.push(['waits', cause(facts)])
  }
  if (links.length === 0 && view.freshness.oldestUnreflectedAt !== null) {
    links.push(['queued', `not yet: ${cause(facts)}`])
  }
  return links
}

function deadlineLink({ view, now }: WhyFacts): readonly Link[] {
  const { oldestUnreflectedAt, targetMs, state } = view.freshness
  if (oldestUnreflectedAt === null || state === 'unknown') return []
  const deadline = new Date(oldestUnreflectedAt.getTime() + targetMs)
  const tense = deadline < now ? 'passed' : 'is'
  return [
    ['deadline', `${tense} ${relativeLong(deadline, now)} (target ${formatDuration(targetMs)})`],
  ]
}

const between = (from: Date, to: Date): string =>
  formatDuration(Math.max(0, to.getTime() - from.getTime()))

/** commit → captured → queued → waited → ran, each with its time. */
function runLinks(run: EndedRun, now: Date): readonly Link[] {
  const { oldestCommitAt, requestedAt, startedAt, finishedAt } = run
  const asked = `${run.triggerType}, ${run.triggeredBy}`
  const links: Link[] = []
  if (oldestCommitAt !== null) {
    links.push(['commit', `${utcText(oldestCommitAt)}, the oldest that it was for`])
    links.push(['captured', 'in the same transaction'])
    links.push(['queued', `${between(oldestCommitAt, requestedAt)} later (${asked})`])
  } else {
    links.push(['queued', `${utcText(requestedAt)} (${asked}); no commit was waiting`])
  }
  const waitedFor = run.waitedFor === null ? '' : `, for ${run.waitedFor}`
  links.push(['waited', `${between(requestedAt, startedAt)}${waitedFor}`])
  links.push([
    'ran',
    `${run.durationMs === null ? '' : `${formatDuration(run.durationMs)}: `}${outcomeText(run)}${run.worker === null ? '' : ` (${run.worker})`}`,
  ])
  if (finishedAt !== null) {
    const after =
      oldestCommitAt === null ? '' : `, ${between(oldestCommitAt, finishedAt)} after the commit`
    const shown = run.status === 'completed' || run.status === 'skipped' ? 'visible' : 'ended'
    links.push([shown, `${utcText(finishedAt)}, ${relativeLong(finishedAt, now)}${after}`])
  }
  return links
}

/** From how many changes on the view is refreshed in full, and by which numbers. */
function choiceLinks({ fullFrom, sourceRows, ...known }: Choice): readonly Link[] {
  const { fixedMs, changeMs, fullMs } = known
  const learnt =
    changeMs === null || fullMs === null
      ? `a quarter of the ${grouped(sourceRows)} rows that it reads, or 1,000; how long refreshes of it take is not known yet`
      : `${formatDuration(fixedMs ?? 0)} and ${grouped(changeMs * 1_000)} µs a change, against ${formatDuration(fullMs)} in full`
  return [['in full', `from ${counted(fullFrom, 'change')} on: ${learnt}`]]
}

/** What a run did, in a few words. */
function outcomeText(run: EndedRun): string {
  if (run.status === 'skipped') return 'nothing had changed, nothing was written'
  if (run.status !== 'completed')
    return `${run.status.replace('_', ' ')}${run.message === null ? '' : `: ${run.message}`}`
  const { rowsInserted, rowsUpdated, rowsDeleted, rowsTotal, changes: read } = run
  const changes =
    rowsInserted === null && rowsUpdated === null && rowsDeleted === null
      ? []
      : [
          `+${grouped(rowsInserted ?? 0)} ~${grouped(rowsUpdated ?? 0)} −${grouped(rowsDeleted ?? 0)}`,
        ]
  return [
    ...(read === null
      ? []
      : [`${counted(read, 'change')}${run.method === 'diff' ? ', in full' : ''}`]),
    ...changes,
    ...(rowsTotal === null ? [] : [`${counted(rowsTotal, 'row')} in all`]),
    ...comparedText(run),
  ].join(', ')
}

function comparedText({ differing, groupsChecked }: EndedRun): readonly string[] {
  if (differing === null) return []
  if (differing > 0) return [`${grouped(differing)} rows DIFFERED from its query`]
  const groups = groupsChecked === null ? '' : `${counted(groupsChecked, 'group')} `
  return [`${groups}compared with its query: equal`]
}
